"""Networks that repaint images."""
