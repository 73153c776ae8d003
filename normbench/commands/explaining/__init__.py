"""What normbench knows of a name, read from files alone: needs neither torch nor pandas."""
