"""What stands behind the commands of `normbench.cli`: what each does, says and shows on a terminal."""
