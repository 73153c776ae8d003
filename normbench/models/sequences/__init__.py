"""Models of sequences: ``model(input_shape, num_outputs, norm, *, ...)``, with shapes as in `normbench.shapes`."""
