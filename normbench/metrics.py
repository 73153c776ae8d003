"""Definition of each metric: its direction, its display, and its possible values."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Part = Literal["train", "val", "test", "chance"]
Statistics = Literal["running", "precise", "batch"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, as in tables.

    Attributes:
        meaning: What it is, in words.
        higher_is_better: Whether the higher of two values is the better one.
        scale: The factor for display: 100 for a share, which is shown in points.
        unit: The unit of a difference between two shown values; empty if it has none.
        low: The lowest possible value, or None.
        high: The highest possible value, or None.
        digits: The fewest and the most decimals of a displayed unscaled value.
    """

    meaning: str
    higher_is_better: bool
    scale: float = 1.0
    unit: str = ""
    low: float | None = None
    high: float | None = None
    digits: tuple[int, int] = (3, 6)

    @property
    def sign(self) -> float:
        """The factor that makes higher better: 1 or -1."""
        return 1.0 if self.higher_is_better else -1.0

    @property
    def best(self) -> float | None:
        """The best possible value, or None."""
        return self.high if self.higher_is_better else self.low


class MetricColumn(NamedTuple):
    """The parts of a column name such as ``test_accuracy_precise``.

    Attributes:
        part: The part of the data, or ``chance``: the score without skill.
        metric: A key of `METRICS`.
        statistics: The statistics that the norms used in the evaluation.
    """

    part: Part
    metric: str
    statistics: Statistics = "running"


def _share(unit: str, meaning: str) -> Metric:
    return Metric(meaning, higher_is_better=True, scale=100.0, unit=unit, low=0.0, high=1.0, digits=(3, 4))


METRICS: dict[str, Metric] = {
    "loss": Metric(
        "mean of what the training minimises over samples, tokens or pixels", higher_is_better=False, unit="nats"
    ),
    "accuracy": _share("accuracy points", "share of samples whose class is the model's first choice"),
    "balanced_accuracy": _share(
        "balanced accuracy points", "mean over classes of the share of their samples that are right"
    ),
    "top5_accuracy": _share(
        "top-5 accuracy points", "share of samples whose class is among the model's first five choices"
    ),
    "exact_match": _share(
        "exact match points", "share of target sequences that greedy decoding writes without a fault"
    ),
    "map": _share("mAP points", "mean average precision of boxes, averaged over overlaps from .5 to .95 as on COCO"),
    "map50": _share("mAP50 points", "mean average precision of boxes that overlap the truth by half or more"),
    "miou": _share("mIoU points", "intersection over union of the pixels of a class, mean over the classes that occur"),
    "pixel_accuracy": _share("pixel accuracy points", "share of pixels with the right class"),
    "bits_per_char": Metric(
        "cross-entropy of the next character in bits", higher_is_better=False, unit="bits per character", low=0.0
    ),
    "perplexity": Metric(
        "exponential of the cross-entropy of a token", higher_is_better=False, unit="perplexity", low=1.0, digits=(2, 4)
    ),
    "bleu": Metric(
        "n-grams of the written texts that the references have (Papineni et al. 2002), by sacrebleu",
        higher_is_better=True,
        unit="BLEU points",
        low=0.0,
        high=100.0,
        digits=(1, 2),
    ),
    "r2": Metric(
        "share of the targets' variance that the model explains",
        higher_is_better=True,
        unit="R²",
        high=1.0,
        digits=(3, 4),
    ),
    "mse": Metric("mean of the squared error", higher_is_better=False, unit="squared error", low=0.0),
    "rmse": Metric("root of the mean squared error", higher_is_better=False, unit="error", low=0.0),
    "mae": Metric("mean of the absolute error", higher_is_better=False, unit="error", low=0.0),
    "leak": Metric(
        "largest change of an earlier output when later inputs change",
        higher_is_better=False,
        unit="change of an output",
        low=0.0,
    ),
    "style_loss": Metric(
        "squared distance of the Gram matrices of features from those of the style picture",
        higher_is_better=False,
        unit="style loss",
        low=0.0,
    ),
    "content_loss": Metric(
        "squared distance of features from those of the content picture",
        higher_is_better=False,
        unit="content loss",
        low=0.0,
    ),
    "total_loss": Metric("content loss plus weighted style loss", higher_is_better=False, unit="total loss", low=0.0),
}
"""Every metric that a task may have. The loss has no lower bound: the likelihood of a density may exceed 1."""

_PARTS: dict[str, Part] = {"train": "train", "val": "val", "test": "test", "chance": "chance"}
_STATISTICS: tuple[Statistics, ...] = ("precise", "batch")


def metric_column(column: str) -> MetricColumn | None:
    """Split the name of a column into its parts.

    Args:
        column: A column of runs.csv or curves.csv: ``{train,val,test}_M``, ``test_M_precise``, ``test_M_batch`` or
            ``chance_M`` for a metric M.

    Returns:
        Its parts, or None for a column without a metric. The steps to the target are not a metric: they are counted,
        not measured, and have no chance level.
    """
    part, _, name = column.partition("_")
    if part not in _PARTS:
        return None
    if name in METRICS:
        return MetricColumn(_PARTS[part], name)
    for statistics in _STATISTICS:
        metric = name.removesuffix(f"_{statistics}")
        if part == "test" and metric != name and metric in METRICS:
            return MetricColumn("test", metric, statistics)
    return None
