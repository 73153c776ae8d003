"""A model as a function of its parameters, used by every probe, for one run or under `torch.vmap` for R runs."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.func import functional_call

from normbench.data import Batch
from normbench.models.activations import ACTIVATIONS
from normbench.norms.sequence import SequenceNorm, norm_sites
from normbench.norms.statistics import own_batch
from normbench.tasks import Task
from normbench.training.precision import in_float32
from normbench.training.probing.watching import Summary, watch

Named = Mapping[str, Tensor]

_WEIGHT_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
_ACTIVATIONS = tuple(getattr(nn, activation.module) for activation in ACTIVATIONS.values())


class Moment(NamedTuple):
    """One optimizer step of one run, and the fixed samples to measure on; read-only.

    A tree of tensors: if stacked along a first dimension R, `torch.vmap` maps over it.

    Attributes:
        before: Trainable parameters before the step, by name in the order of the model.
        params: The same after the step.
        earlier: The same at the previous measurement; at the first one, those at the start of training.
        buffers: The rest of the model's state after the step: buffers, and parameters that are not trained.
        grads: Gradients of the loss on the samples at `before`, by name; empty for a probe that reads none.
        lr: Learning rate of the step, ().
        batch: The samples, each field (B, ...).
    """

    before: Named
    params: Named
    earlier: Named
    buffers: Named
    grads: Named
    lr: Tensor
    batch: Named


@dataclass(frozen=True, eq=False)
class View:
    """The structure of a model: a pure function of parameters, buffers and a batch, with names for its layers.

    Dropout is off, and so is the noise of norms but in `outputs_with_noise`. Norms with statistics over samples use
    those of each `norm_batch_size` samples, as in training, and no buffer is changed.

    Attributes:
        skeleton: A private copy of the model, in evaluation mode; its state does not matter.
        task: The task.
        norm_batch_size: Samples that share statistics; None takes the whole batch.
        weights: Names of the linear and convolutional layers, in calling order.
        norms: The same for the norms: the layers that a `NormFactory` made, but a `SequenceNorm` as one.
        activations: The same for the activations.
        channels_last: Those of all these, and of the weight layers, that have the channels in the last dimension.
    """

    skeleton: nn.Module
    task: Task
    norm_batch_size: int | None
    weights: tuple[str, ...]
    norms: tuple[str, ...]
    activations: tuple[str, ...]
    channels_last: frozenset[str]

    @classmethod
    def of(cls, model: nn.Module, task: Task, batch: Batch, *, norm_batch_size: int | None) -> Self:
        """Return the view of a model; it is copied, and in float32 whatever precision the run trains in.

        Args:
            model: The model, or any model of the same structure.
            task: The task.
            batch: A few samples to determine the order of the layers, each field (B, ...).
            norm_batch_size: Samples that share statistics.
        """
        skeleton = in_float32(copy.deepcopy(model)).eval()
        for module in skeleton.modules():
            # Otherwise the next layer would overwrite the input or output of a layer.
            if getattr(module, "inplace", False):
                module.inplace = False  # type: ignore[assignment]  # nn.Module takes any attribute
        called, channels_last = _called(skeleton, task, batch)
        made = norm_sites(skeleton)
        return cls(
            skeleton=skeleton,
            task=task,
            norm_batch_size=norm_batch_size,
            weights=tuple(name for name, module in called.items() if isinstance(module, _WEIGHT_LAYERS)),
            norms=tuple(name for name in called if name in made),
            activations=tuple(name for name, module in called.items() if isinstance(module, _ACTIVATIONS)),
            channels_last=channels_last,
        )

    @property
    def sites(self) -> tuple[str, ...]:
        """Layers at which distributions are measured: the norms, or without any, all weight layers except the last.

        The norm `none` is a layer too, so arms with and without a norm are measured at the same places.
        """
        return self.norms or self.weights[:-1]

    def outputs(self, params: Named, buffers: Named, batch: Batch) -> Tensor:
        """Return the outputs for a batch as in training, but without dropout and without noise of norms."""
        with own_batch(self.skeleton, self.norm_batch_size):
            return self._call(params, buffers, batch)

    def outputs_with_noise(self, params: Named, buffers: Named, batch: Batch, *, later: int) -> Tensor:
        """Return the outputs for a batch as in training, the noise of norms included.

        Args:
            params: Trainable parameters.
            buffers: The rest of the model's state.
            batch: The samples.
            later: Which step's noise: 0 for the next step's, -1 for the last one's.
        """
        with own_batch(self.skeleton, self.norm_batch_size, noise=later):
            return self._call(params, buffers, batch)

    def outputs_by_running(self, params: Named, buffers: Named, batch: Batch) -> Tensor:
        """Return the outputs for a batch with running statistics."""
        return self._call(params, buffers, batch)

    def outputs_by_population(self, params: Named, buffers: Named, batch: Batch) -> Tensor:
        """Return the outputs for a batch with the statistics of all its samples."""
        with own_batch(self.skeleton, None):
            return self._call(params, buffers, batch)

    def loss(self, params: Named, buffers: Named, batch: Batch) -> Tensor:
        """Return the loss () of a batch."""
        return self.task.loss(self.outputs(params, buffers, batch), batch)

    def gradients(self, params: Named, buffers: Named, batch: Batch) -> dict[str, Tensor]:
        """Return the gradient of `loss` for every entry of `params`."""
        found: dict[str, Tensor] = torch.func.grad(self.loss)(dict(params), buffers, batch)
        return found

    @contextmanager
    def watching(self, layers: Iterable[str], summary: Summary) -> Iterator[dict[str, list[Tensor]]]:
        """Summarise the units in front of some layers and behind them during the forward passes inside the context.

        Args:
            layers: Names of layers, in calling order.
            summary: Maps the units in front of a layer and behind it to their summary.

        Yields:
            For each layer one summary per call, filled during the passes; see `watching.watch`.
        """
        places = {name: -1 if name in self.channels_last else 1 for name in layers}
        with watch(self.skeleton, places, summary) as seen:
            yield seen

    def _call(self, params: Named, buffers: Named, batch: Batch) -> Tensor:
        inputs = self.task.inputs_of(batch)
        outputs: Tensor = functional_call(self.skeleton, (dict(params), dict(buffers)), inputs)
        return outputs


@torch.no_grad()
def _called(model: nn.Module, task: Task, batch: Batch) -> tuple[dict[str, nn.Module], frozenset[str]]:
    """Return the layers that a forward pass calls, in the order of their first call, and those with channels last.

    Linear layers and norms of sequences have them last. An activation has them where the weight layer before it has
    them whose output has as many dimensions.
    """
    called: dict[str, nn.Module] = {}
    last: set[str] = set()
    linear: dict[int, bool] = {}

    def begins(name: str) -> Callable[[nn.Module, Any], None]:
        return lambda module, _: called.update({name: module})

    def ends(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def keep(module: nn.Module, _: Any, output: Any) -> None:
            if isinstance(module, _WEIGHT_LAYERS):
                linear[output.ndim] = isinstance(module, nn.Linear)
            elif not isinstance(module, _ACTIVATIONS) or not linear.get(output.ndim, False):
                return
            if linear[output.ndim]:
                last.add(name)

        return keep

    hooks = [
        hook
        for name, module in model.named_modules()
        for hook in (module.register_forward_pre_hook(begins(name)), module.register_forward_hook(ends(name)))
    ]
    with own_batch(model, None):
        task.call(model, batch)
    for hook in hooks:
        hook.remove()
    sequences = {name for name, module in called.items() if isinstance(module, SequenceNorm)}
    return called, frozenset(last | sequences)


def length(x: Tensor) -> Tensor:
    """Return the Euclidean norm () of a tensor as a vector, even if its squares would underflow to zero."""
    largest = x.abs().amax()
    norm: Tensor = torch.linalg.vector_norm(x / torch.where(largest == 0, 1, largest))
    return largest * norm


def cosine(one: Tensor, other: Tensor) -> Tensor:
    """Return the cosine () of the angle between two tensors as vectors, however small; NaN if one is zero."""
    return (one / length(one) * (other / length(other))).sum()


def mean_of(scalars: Iterable[Tensor]) -> Tensor:
    """Return the mean () of scalars, ignoring NaN."""
    return torch.stack(list(scalars)).nanmean()


def hidden(view: View) -> tuple[str, ...]:
    """Return the weight layers except the head: its size is the number of classes, and no norm follows it."""
    return view.weights[:-1]
