"""What a model is told of the inputs of its task, where a plain shape does not say enough."""

from typing import NamedTuple

BOX_SCALES = 0.1, 0.2
"""What a detector's deltas are multiplied by (Liu et al. 2016): shifts of the centre, in sizes of the anchor, and
logarithms of the size over that of the anchor."""


class SequenceShape(NamedTuple):
    """The inputs and outputs of a model of sequences.

    Attributes:
        length: L, the steps of a sequence; shorter ones are padded at their end.
        features: D, the numbers at each step; 0 if steps are tokens.
        vocabulary: V, the number of tokens; 0 if steps are numbers.
        padded: Whether sequences differ in length. The model is then called with their lengths, (N,), too.
        every_step: Whether there is an output at every step, from that step and those before it alone, (N, L, K);
            otherwise there is one output of the whole sequence, (N, K).
    """

    length: int
    features: int = 0
    vocabulary: int = 0
    padded: bool = False
    every_step: bool = False


class PairShape(NamedTuple):
    """The inputs of a model that writes a target sequence after reading a source, both padded tokens.

    Attributes:
        source: The sequence that is read.
        target: The sequence that is written, with an output at every step.
    """

    source: SequenceShape
    target: SequenceShape


class BoxShape(NamedTuple):
    """The inputs of a model that finds boxes in images.

    Attributes:
        channels: C.
        height: H, in pixels.
        width: W.
        boxes: M, the most boxes of an image.
    """

    channels: int
    height: int
    width: int
    boxes: int


class PixelShape(NamedTuple):
    """The inputs of a model that classifies each pixel of an image, to outputs (N, K, H, W).

    Attributes:
        channels: C.
        height: H, in pixels.
        width: W.
    """

    channels: int
    height: int
    width: int


class PictureShape(NamedTuple):
    """The inputs and outputs of a model that repaints pictures, (N, C, H, W) both.

    Attributes:
        channels: C.
        height: H, in pixels.
        width: W.
    """

    channels: int
    height: int
    width: int
