"""Several models of one structure as one module: state stacked along a first dimension R, applied by `torch.vmap`."""

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from normbench.models.sequences.cells import RecurrentCell
from normbench.norms.factory import norm_layers
from normbench.norms.statistics import BatchStatistics


class Stack(nn.Module):
    """R models of one structure as a single model with a first dimension R.

    Its modules are those of a skeleton, whose modes and statistics settings control the forward pass. Its parameters
    and buffers are the stacked ones.

    Args:
        models: The models; their parameters and buffers are copied.
        skeleton: A model of the same structure whose own state does not matter.

    Shape:
        Each input (R, B, ...) to outputs (R, B, ...).
    """

    def __init__(self, models: Sequence[nn.Module], skeleton: nn.Module) -> None:
        super().__init__()
        # Not registered: the skeleton's parameters are not part of the stack.
        object.__setattr__(self, "skeleton", skeleton)
        self.train(skeleton.training)
        self.stacked_params = _stacked([_named(model, trained=True) for model in models])
        # Parameters that are not trained are constants of the step, like buffers.
        self.stacked_buffers = _stacked(
            [_named(model, trained=False) | dict(model.named_buffers()) for model in models]
        )

    skeleton: nn.Module

    @property
    def size(self) -> int:
        """R, the number of models."""
        return len(next(iter(self.stacked_params.values())))

    def forward(self, *inputs: Tensor) -> Tensor:
        """Apply each model to its own inputs."""
        outputs: Tensor = torch.vmap(self._call_one)(self.stacked_params, self.stacked_buffers, inputs)
        return outputs

    def _call_one(self, params: dict[str, Tensor], buffers: dict[str, Tensor], inputs: tuple[Tensor, ...]) -> Tensor:
        outputs: Tensor = functional_call(self.skeleton, (params, buffers), inputs)
        return outputs

    def train(self, mode: bool = True) -> "Stack":
        """Put the skeleton in training or evaluation mode."""
        self.skeleton.train(mode)
        return self

    def modules(self, remove_duplicate: bool = True) -> Iterator[nn.Module]:
        """Yield the modules of the skeleton: contexts that set which statistics norms read act on them."""
        return self.skeleton.modules(remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the stacked buffers."""
        yield from self.stacked_buffers.items()

    def state_of(self, run: int) -> dict[str, Tensor]:
        """Return parameters and buffers of one model."""
        return {name: tensor[run] for name, tensor in {**self.stacked_params, **self.stacked_buffers}.items()}


def _named(model: nn.Module, *, trained: bool) -> dict[str, Tensor]:
    return {name: param for name, param in model.named_parameters() if param.requires_grad == trained}


def _stacked(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}


_KNOWN = (nn.Linear, nn.Embedding, RecurrentCell)


def unknown_layers(model: nn.Module) -> list[str]:
    """Return the types of layers with weights whose rounding in a stack is unknown; see `run_multiple`."""
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return []
    norms = set(norm_layers(model).values())
    own = [module for module in model.modules() if any(True for _ in module.parameters(recurse=False))]
    return sorted({type(module).__name__ for module in own if module not in norms and not isinstance(module, _KNOWN)})


_LANES = 32
"""Channels per vectorised reduction of batch norm: the rest of a row is summed in another order."""
_UNEVEN = (nn.ELU, nn.SiLU, nn.Sigmoid)
"""Activations whose results depend on the place of a value in its tensor; gelu and tanh do not."""


def run_multiple(model: nn.Module) -> int:
    """Return the number that a stack's size must be a multiple of, so that no run's bits depend on its neighbours.

    Observed with torch 2.15 on x86: stacked batch norm over features sums R x C channels 32 at a time, and the rest in
    another order; a matrix product uses another kernel if rows of an odd number of floats are not aligned; and some
    activations take the last values of a tensor, what its size leaves beyond whole vectors, by another formula.

    Args:
        model: One of the models to be stacked.

    Returns:
        The number; 0 if no size works.
    """
    if any(isinstance(module, nn.Conv2d) for module in model.modules()):
        return 1
    widths = [module.out_features for module in model.modules() if isinstance(module, nn.Linear)]
    norms = [module.num_features for module in model.modules() if isinstance(module, BatchStatistics)]
    if any(width % 2 for width in widths[:-1]) or any(channels % 4 for channels in norms):
        return 0
    uneven = any(isinstance(module, _UNEVEN) for module in model.modules())
    rows = [*norms, *(widths[:-1] if uneven else ())]
    return math.lcm(1, *(_LANES // math.gcd(_LANES, row) for row in rows))
