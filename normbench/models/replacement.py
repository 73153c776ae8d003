"""Replacement of the normalization layers of somebody else's model by the run's norm."""

import inspect
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.models.found_norms import FoundNorm, find_norm, why_irreplaceable
from normbench.norms.factory import NormFactory, mark_norm_layer
from normbench.norms.keep import Keep

_NAMED = 3
"""Number of layers that a message names before it counts the rest."""


def replace_norms(model: nn.Module, norm: NormFactory, *, name: str) -> nn.Module:
    """Replace each normalization layer of a model by the run's norm.

    Every layer keeps its name, its number of channels and the entries of its state dict that the norm also has, so that
    a checkpoint of the original model fits. Channels in the last dimension, (N, ..., C), are moved to dimension 1 for
    the norm and back. Arguments that the run leaves at the norm's default (eps, momentum, track_running_stats,
    num_groups, affine) are taken from the layer: arms differ only in the norm, and a norm of the layer's type changes
    nothing. Dropout and activation of timm's combined layers stay, except the activation if the norm includes one. A
    layer used in two places stays shared. With the norm `keep`, nothing is changed.

    Args:
        model: The model, changed in place.
        norm: Makes the layers.
        name: Name of the model for messages.

    Returns:
        The model, with the attribute ``norm_note``: a note for the user on what was done.

    Raises:
        ImpossibleRunError: If a normalization layer cannot be replaced, there is none, or the norm cannot replace
            these.
    """
    found = {path: known for path, module in model.named_modules() if (known := find_norm(module)) is not None}
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(_kind(known) for known in found.values()).items())
    if norm.norm is Keep:
        _refuse_synchronized(found.values(), name)
        for known in found.values():
            mark_norm_layer(known.layer)
        note = f"{kinds or 'no norms'} kept, so its three test accuracies are the same"
    else:
        _refuse_irreplaceable(model, name)
        if not found:
            raise ImpossibleRunError(f"model={name} has no normalization layer to replace; use norm=keep.")
        _refuse_unfit(norm, found, name)
        made = {id(known.layer): _made(known, norm) for known in found.values()}
        for parent in list(model.modules()):
            # Not named_children(), which skips the second name of a shared layer.
            for child, module in list(parent._modules.items()):
                if id(module) in made:
                    parent._modules[child] = made[id(module)]
        note = f"{kinds} replaced by {type(next(iter(made.values()))).__name__}"
        _leave_fast_paths(model)
    object.__setattr__(model, "norm_note", f"model={name}: {note}.")
    return model


def _made(known: FoundNorm, norm: NormFactory) -> nn.Module:
    """Return the run's norm that replaces a layer."""
    layer = replace(norm, args={**norm.args, **_kept_arguments(known, norm)})(
        known.num_features, activated=known.activates
    )
    mark_norm_layer(layer, in_place_of=_kind(known))
    _take_state(layer, known.layer)
    if known.place == "last":
        layer.register_forward_pre_hook(_to_channels_first)
        layer.register_forward_hook(_to_channels_last)
    if known.with_activation:
        layer.drop = known.layer.drop
        layer.act = nn.Identity() if norm.includes_activation else known.layer.act
        layer.register_forward_hook(_drop_and_activate)
    # Otherwise an in-place activation would change the input of a norm that returns its input.
    layer.register_forward_hook(_not_the_input, prepend=True)
    return layer


def _kept_arguments(known: FoundNorm, norm: NormFactory) -> dict[str, Any]:
    """Return the layer's arguments that the norm accepts and the run leaves at the norm's default."""
    defaults = {key: parameter.default for key, parameter in inspect.signature(norm.norm).parameters.items()}
    return {
        key: value
        for key, value in known.args.items()
        if key in defaults and norm.args.get(key, defaults[key]) == defaults[key]
    }


@torch.no_grad()
def _take_state(layer: nn.Module, old: nn.Module) -> None:
    """Copy initial values that an architecture sets in its norm, such as a zero scale, and what it does not train."""
    state, theirs = layer.state_dict(), old.state_dict()
    fitting = {key: value for key, value in theirs.items() if key in state and state[key].shape == value.shape}
    layer.load_state_dict(fitting, strict=False)
    trained = dict(old.named_parameters())
    for key, parameter in layer.named_parameters():
        parameter.requires_grad_(trained[key].requires_grad if key in trained else True)


def _to_channels_first(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
    return (args[0].movedim(-1, 1),)


def _to_channels_last(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.movedim(1, -1)


def _drop_and_activate(layer: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return layer.act(layer.drop(output))  # type: ignore[no-any-return, operator]  # its modules, nothing else


def _not_the_input(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.clone() if output is args[0] else output


def _leave_fast_paths(model: nn.Module) -> None:
    """Disable the evaluation fast path of torch's transformer layers, which expects the weights of a layer norm."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.activation_relu_or_gelu = 0


def _refuse_synchronized(found: Iterable[FoundNorm], name: str) -> None:
    if any(isinstance(known.layer, nn.SyncBatchNorm) for known in found):
        raise ImpossibleRunError(
            f"norm=keep: model={name} has SyncBatchNorm, which needs several GPUs; norm=batch is equivalent here."
        )


def _refuse_irreplaceable(model: nn.Module, name: str) -> None:
    reasons = {path: reason for path, module in model.named_modules() if (reason := why_irreplaceable(module))}
    if reasons:
        raise ImpossibleRunError(
            f"model={name} has norms that cannot be replaced: {shortened(reasons)}; use norm=keep."
        )


def _refuse_unfit(norm: NormFactory, found: dict[str, FoundNorm], name: str) -> None:
    if norm.changes_weights:
        raise ImpossibleRunError(
            f"the norm changes the weights of the layer before it, which is not known in model={name}; "
            "use model=resnet, or another norm."
        )
    if not norm.includes_activation:
        return
    bare = {path: _kind(known) for path, known in found.items() if not known.with_activation}
    if bare:
        raise ImpossibleRunError(
            f"the norm includes an activation, and model={name} has separate activations for {shortened(bare)}; "
            "use model=resnet, or another norm."
        )


def shortened(reasons: dict[str, str]) -> str:
    """Return names with their reasons, such as ``bn1 (BatchNorm2d), bn2 (BatchNorm2d) and 7 more``."""
    named = ", ".join(f"{path} ({reason})" for path, reason in list(reasons.items())[:_NAMED])
    return named + (f" and {len(reasons) - _NAMED} more" if len(reasons) > _NAMED else "")


def _kind(known: FoundNorm) -> str:
    return type(known.layer).__name__
