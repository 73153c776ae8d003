"""Models of images: ``model(input_shape, num_classes, norm, *, ...)`` maps (N, C, H, W) to logits (N, K)."""
