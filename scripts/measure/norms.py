"""The cost of each norm relative to batch norm: time forward and backward, and memory kept for the backward pass."""

import csv
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter

import torch
from torch import Tensor, nn

from normbench.errors import ImpossibleRunError
from normbench.norms import REGISTRY, NormFactory
from normbench.norms.standardized_weights import standardized
from normbench.record.provenance import commit, processor

SHAPES: Mapping[str, tuple[int, ...]] = {
    "mlp": (32, 128),
    "resnet stage 1": (32, 16, 32, 32),
    "resnet stage 2": (32, 32, 16, 16),
    "resnet stage 3": (32, 64, 8, 8),
}
"""Inputs (N, C) and (N, C, H, W): the default MLP's, and those of the three stages of the ResNet on CIFAR."""

COLUMNS = (
    "norm", "shape", "input", "time_us", "time_ratio", "time_ratio_low", "time_ratio_high", "saved_kb", "saved_ratio",
    "pairs", "machine", "git_commit", "git_dirty",
)  # fmt: skip
"""Ratios are to batch norm on the same input; low and high are the quartiles over the pairs."""

_SECONDS = 0.02
"""Of one timing: many times the clock's resolution, and short enough that both of a pair see the same machine load."""

BEGIN, END = "<!-- norm costs: written by scripts/bench --norms -->\n", "<!-- end of norm costs -->\n"


class Part(nn.Module):
    """What a choice of norm adds to a model of ReLUs: the norm and the activation, and the work on the weights before.

    Args:
        name: Of the norm.
        shape: (N, C) or (N, C, H, W), of a layer that keeps the number of channels.
    """

    def __init__(self, name: str, shape: Sequence[int]) -> None:
        super().__init__()
        factory, channels = NormFactory(REGISTRY[name]), shape[1]
        self.norm = factory(channels)
        self.activation = nn.Identity() if factory.includes_activation else nn.ReLU()
        self.before: nn.Module | None = None
        if factory.changes_weights:
            linear = len(shape) == 2
            plain = (nn.Linear if linear else partial(nn.Conv2d, kernel_size=3))(channels, channels, bias=False)
            self.before = factory.weighted(plain)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return all that has a gradient."""
        y = self.activation(self.norm(x))
        if self.before is None:
            return (y,)
        return y, standardized(self.before.get_parameter("weight"), by_fan_in=bool(self.before.by_fan_in))


@dataclass
class Cost:
    """A norm on an input.

    Attributes:
        norm: Its name.
        shape: One of `SHAPES`.
        saved: Bytes kept for the backward pass.
        batch_saved: The same of batch norm.
        pairs: Seconds forward and backward of batch norm and of it, taken in turns.
    """

    norm: str
    shape: str
    saved: int
    batch_saved: int
    pairs: list[tuple[float, float]] = field(default_factory=list)

    @property
    def ratios(self) -> list[float]:
        """Its time by batch norm's, for each pair, ascending."""
        return sorted(own / batch for batch, own in self.pairs)


def measure(name: str, shape: str, *, pairs: int) -> Cost | None:
    """Return what a norm costs on one of `SHAPES`; None if it cannot run on it.

    Args:
        name: Of the norm.
        shape: Of the input.
        pairs: How many pairs of timings of batch norm and it.
    """
    try:
        own = _pass(name, SHAPES[shape])
        own()
    except ImpossibleRunError:
        return None
    batch = _pass("batch", SHAPES[shape])
    cost = Cost(name, shape, saved=saved_bytes(name, shape), batch_saved=saved_bytes("batch", shape))
    turns = _turns(batch), _turns(own)
    for _ in range(pairs):
        cost.pairs.append((_seconds(batch, turns[0]), _seconds(own, turns[1])))
    return cost


def saved_bytes(name: str, shape: str) -> int:
    """Return the bytes of all tensors that a forward pass keeps for its backward, parameters and buffers left out."""
    part, x = Part(name, SHAPES[shape]), torch.randn(SHAPES[shape], requires_grad=True)
    state = {tensor.untyped_storage().data_ptr() for tensor in (*part.parameters(), *part.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in state:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        # Alive until they are counted: a freed address may come again.
        _alive = part(x)
    return sum(kept.values())


def _pass(name: str, shape: Sequence[int]) -> Callable[[], object]:
    part, x = Part(name, shape), torch.randn(*shape, requires_grad=True)
    inputs = [x, *part.parameters()]
    above = [torch.randn_like(y) for y in part(x)]

    def once() -> object:
        return torch.autograd.grad(part(x), inputs, above)

    return once


def _turns(once: Callable[[], object]) -> int:
    for _ in range(3):
        once()
    return max(1, round(_SECONDS / _seconds(once, 5)))


def _seconds(once: Callable[[], object], turns: int) -> float:
    start = perf_counter()
    for _ in range(turns):
        once()
    return (perf_counter() - start) / turns


def rows(costs: Sequence[Cost]) -> Iterator[dict[str, str]]:
    """Yield costs as rows of norm_costs.csv."""
    head = commit()
    machine = f"{processor()}, {os.cpu_count()} cores, one thread, torch {torch.__version__}"
    for cost in costs:
        ratios = cost.ratios
        yield {
            "norm": cost.norm,
            "shape": cost.shape,
            "input": "x".join(map(str, SHAPES[cost.shape])),
            "time_us": f"{median(own for _, own in cost.pairs) * 1e6:.4g}",
            "time_ratio": f"{median(ratios):.3g}",
            "time_ratio_low": f"{ratios[len(ratios) // 4]:.3g}",
            "time_ratio_high": f"{ratios[-1 - len(ratios) // 4]:.3g}",
            "saved_kb": f"{cost.saved / 1e3:.4g}",
            "saved_ratio": f"{cost.saved / cost.batch_saved:.3g}",
            "pairs": str(len(cost.pairs)),
            "machine": machine,
            "git_commit": head["git_commit"],
            "git_dirty": str(head["git_dirty"]),
        }


def table(found: Sequence[Mapping[str, str]]) -> str:
    """Return rows as a table in Markdown: one line per norm, time and saved memory by batch norm's on each input."""
    inputs = dict.fromkeys((row["shape"], row["input"]) for row in found)
    cells = {
        (row["norm"], row["shape"]): f"{float(row['time_ratio']):.2f} / {float(row['saved_ratio']):.2f}"
        for row in found
    }
    lines = [
        "| norm | " + " | ".join(f"{shape}, {size}" for shape, size in inputs) + " |",
        "|---|" + "---|" * len(inputs),
    ]
    for norm in dict.fromkeys(row["norm"] for row in found):
        lines.append(f"| `{norm}` | " + " | ".join(cells.get((norm, shape), "-") for shape, _ in inputs) + " |")
    return "\n".join(lines) + "\n"


def write(found: Sequence[Mapping[str, str]], path: Path) -> None:
    """Write rows as CSV."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(found)


def show(found: Sequence[Mapping[str, str]], page: Path) -> None:
    """Put the table of rows into a page of Markdown, between `BEGIN` and `END`."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{page} has no place for the table"
    page.write_text(f"{before}{BEGIN}\n{table(found)}\n{END}{after}", encoding="utf-8")


def main(*, quick: bool, pairs: int | None, output: Path | None, results: Path) -> None:
    """Measure every norm, print the table, and keep it.

    Args:
        quick: Two pairs; written nowhere unless `output` is given.
        pairs: How many pairs of timings of batch norm and each norm.
        output: CSV to write.
        results: The folder of ``reference/norm_costs.csv`` and of the page that shows it.
    """
    count = pairs or (2 if quick else 21)
    costs = [measure(name, shape, pairs=count) for name in REGISTRY for shape in SHAPES]
    found = list(rows([cost for cost in costs if cost is not None]))
    print(table(found), end="")
    if output is None and not quick:
        output = results / "reference" / "norm_costs.csv"
        show(found, results / "README.md")
    if output is not None:
        write(found, output)
        print(f"written: {output}")
