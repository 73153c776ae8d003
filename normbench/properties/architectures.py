"""The norms of published architectures, read off the code that builds them."""

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import torch
from torch import nn

from normbench.properties.finding import Citation, Finding

BERT = Citation(
    ("Devlin", "Chang", "Lee", "Toutanova"),
    2018,
    "BERT: Pre-training of Deep Bidirectional Transformers for Language Understanding",
    "NAACL 2019, arXiv:1810.04805; code: github.com/google-research/bert, modeling.py",
    "the released code normalises by its function layer_norm, over the last dimension",
)


def resnet_uses_bn(build: Callable[[], nn.Module] | None = None) -> Finding:
    """Judge whether a ResNet has batch norm in each convolutional block, by following a forward pass.

    Args:
        build: Makes the network, for images (3, 64, 64); None takes torchvision's own resnet18 (He et al. 2016).

    Returns:
        `supported` if batch norm directly follows every convolution, otherwise `refuted`.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = (build or _resnet18)()
        called: list[nn.Module] = []
        for module in model.modules():
            if not any(module.children()):
                module.register_forward_pre_hook(lambda module, _: called.append(module))
        model.train()(torch.zeros(2, 3, 64, 64))
    after = [following for layer, following in pairwise([*called, model]) if isinstance(layer, nn.Conv2d)]
    normed = sum(isinstance(layer, nn.BatchNorm2d) for layer in after)
    evidence = f"Of the {len(after)} convolutions of {type(model).__name__}, {normed} are followed by BatchNorm2d."
    numbers = {"convolutions": float(len(after)), "followed_by_batch_norm": float(normed)}
    return Finding("supported" if after and normed == len(after) else "refuted", "read off", evidence, numbers)


def bert_uses_bn(build: Callable[[], nn.Module] | None = None, *, source: Citation = BERT) -> Finding:
    """Judge whether BERT uses batch norm: by its source, and by its encoder layer.

    Args:
        build: Makes an encoder layer; None uses torch's, of Vaswani et al. 2017, which BERT's layers follow.
        source: What BERT's authors wrote and released.

    Returns:
        `refuted` if the layer has layer norm and no batch norm, as the source says; otherwise `inconclusive`.
    """
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        layer = (build or _encoder_layer)()
    kinds = Counter(type(module) for module in layer.modules())
    layer_norms = kinds[nn.LayerNorm]
    batch_norms = sum(kinds[kind] for kind in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
    numbers = {"layer_norms": float(layer_norms), "batch_norms": float(batch_norms)}
    built = f"{type(layer).__name__} has {layer_norms} layer norms and {batch_norms} batch norms"
    if layer_norms and not batch_norms:
        return Finding("refuted", "cited and read off", f"{source}: {source.shows}; {built}.", numbers)
    evidence = f"{source}: {source.shows}; but {built}."
    return Finding("inconclusive", "the source and the layer disagree", evidence, numbers)


def _resnet18() -> nn.Module:
    # Torchvision takes seconds to import; no other check needs it.
    import torchvision

    model = torchvision.models.resnet18()
    assert isinstance(model, nn.Module)
    return model


def _encoder_layer() -> nn.Module:
    return nn.TransformerEncoderLayer(d_model=8, nhead=2, dim_feedforward=16)
