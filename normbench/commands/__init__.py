"""The commands of `normbench.cli`: what each does and prints."""
