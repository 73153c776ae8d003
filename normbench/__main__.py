"""``python -m normbench``."""

from normbench.cli import main

main()
