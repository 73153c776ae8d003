"""The models by name."""

from collections.abc import Callable

from torch import nn

from normbench.errors import ImpossibleRunError
from normbench.models.dense.fcn import fcn
from normbench.models.dense.ssd import ssd
from normbench.models.dense.torchvision_nets import torchvision_detector, torchvision_segmenter
from normbench.models.dense.unet import unet
from normbench.models.images.mlp import mlp
from normbench.models.images.plain import plain
from normbench.models.images.resnet import resnet
from normbench.models.images.timm_models import timm
from normbench.models.images.torchvision_models import torchvision
from normbench.models.images.torchvision_resnet import resnet18, resnet34, resnet50
from normbench.models.images.vgg import vgg
from normbench.models.own import own
from normbench.models.sequences.rnn import rnn
from normbench.models.sequences.seq2seq import seq2seq
from normbench.models.sequences.transformer import transformer
from normbench.models.style.stylizer import stylizer
from normbench.shapes import BoxShape, PairShape, PictureShape, PixelShape, SequenceShape

REGISTRY: dict[str, Callable[..., nn.Module]] = {
    "mlp": mlp,
    "resnet": resnet,
    "plain": plain,
    "vgg": vgg,
    "resnet18": resnet18,
    "resnet34": resnet34,
    "resnet50": resnet50,
    "torchvision": torchvision,
    "timm": timm,
    "own": own,
    "rnn": rnn,
    "transformer": transformer,
    "seq2seq": seq2seq,
    "unet": unet,
    "fcn": fcn,
    "ssd": ssd,
    "torchvision_segmenter": torchvision_segmenter,
    "torchvision_detector": torchvision_detector,
    "stylizer": stylizer,
}

IMAGES, SEQUENCES, PAIRS = "images", "sequences", "pairs of sequences"
BOXES, PIXELS = "images with boxes", "images with a class for each pixel"
PICTURES = "pictures to repaint"
_GIVES: dict[type, str] = {
    SequenceShape: SEQUENCES,
    PairShape: PAIRS,
    BoxShape: BOXES,
    PixelShape: PIXELS,
    PictureShape: PICTURES,
}

TAKES: dict[str, tuple[str, ...]] = {
    "own": (IMAGES, SEQUENCES, PAIRS, BOXES, PIXELS, PICTURES),
    "rnn": (SEQUENCES,),
    "transformer": (SEQUENCES,),
    "seq2seq": (PAIRS,),
    "unet": (PIXELS,),
    "fcn": (PIXELS,),
    "ssd": (BOXES,),
    "torchvision_segmenter": (PIXELS,),
    "torchvision_detector": (BOXES,),
    "stylizer": (PICTURES,),
}
"""The inputs that a model takes; models that are not listed take images."""


def refuse_other_inputs(model: str, input_shape: tuple[object, ...], task: str) -> None:
    """Raise if a shipped model does not take the inputs of a task.

    Args:
        model: A key of `REGISTRY`.
        input_shape: `Task.input_shape`.
        task: Name of the task, for the message.

    Raises:
        ImpossibleRunError: If so.
    """
    gives = _GIVES.get(type(input_shape), IMAGES)
    takes = TAKES.get(model, (IMAGES,))
    if gives not in takes:
        fitting = [f"model={name}" for name in REGISTRY if gives in TAKES.get(name, (IMAGES,)) and name != "own"]
        raise ImpossibleRunError(
            f"model={model} takes {' or '.join(takes)}, and task={task} gives {gives}; choose {' or '.join(fitting)}."
        )
