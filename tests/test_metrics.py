"""The metrics, and what the names of their columns say."""

import math

import pytest

from normbench.metrics import METRICS, MetricColumn, metric_column
from normbench.record.columns import FIXED

COLUMNS = {
    "train_loss": MetricColumn("train", "loss"),
    "val_accuracy": MetricColumn("val", "accuracy"),
    "test_accuracy_precise": MetricColumn("test", "accuracy", "precise"),
    "test_accuracy_batch": MetricColumn("test", "accuracy", "batch"),
    "val_bits_per_char": MetricColumn("val", "bits_per_char"),
    "test_pixel_accuracy_precise": MetricColumn("test", "pixel_accuracy", "precise"),
    "test_style_loss": MetricColumn("test", "style_loss"),
    "chance_map": MetricColumn("chance", "map"),
}

OTHERS = (
    "steps_to_target",
    "batch_size",
    "norm_batch_size",
    "accuracy",
    "target_accuracy",
    "test_",
    "test_precise",
    "test_steps",
    "train_accuracy_precise",
    "chance_accuracy_batch",
    "test_accuracy_accuracy",
    "norm.train_loss",
)


@pytest.mark.parametrize(("column", "expected"), COLUMNS.items(), ids=COLUMNS)
def test_a_metric_column_says_part_metric_and_statistics(column: str, expected: MetricColumn) -> None:
    """A metric's own name may have underscores and may end in another's."""
    assert metric_column(column) == expected


@pytest.mark.parametrize("column", OTHERS)
def test_other_columns_are_no_metrics(column: str) -> None:
    """A config column, a part without a metric and a statistic of another part are not taken for a metric."""
    assert metric_column(column) is None


def test_the_fixed_metric_columns_are_those_of_known_metrics() -> None:
    """Every metric that each table has, but the steps to the target, is known."""
    fixed = {name for name, column in FIXED.items() if column.role == "metric"}
    assert fixed == {name for name in FIXED if metric_column(name)} | {"steps_to_target"}


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_is_sound(name: str) -> None:
    """Bounds are finite and in order, the digits too, and only a share is shown in points of 100."""
    metric = METRICS[name]
    low, high = metric.low, metric.high
    assert all(bound is None or math.isfinite(bound) for bound in (low, high))
    assert low is None or high is None or low < high
    assert 0 <= metric.digits[0] <= metric.digits[1]
    assert (metric.scale == 100) == ((low, high) == (0, 1))
    assert metric.best == (high if metric.higher_is_better else low)


@pytest.mark.parametrize("name", METRICS)
def test_no_metric_ends_as_a_statistic(name: str) -> None:
    """A name such as `map_batch` could not be told from the metric `map` by each batch's statistics."""
    assert not name.endswith(("_precise", "_batch"))
