"""Networks with outputs at many places of an image: boxes, or a class for each pixel."""
