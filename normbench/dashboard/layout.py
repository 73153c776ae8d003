"""The page Custom Scalars: one chart per setting, with the mean and interval of each norm."""

from collections.abc import Collection, Mapping, Sequence

from tensorboard.plugins.custom_scalar.layout_pb2 import (
    Category,
    Chart,
    MarginChartContent,
    MultilineChartContent,
)

from normbench.analysis.metric_columns import in_words
from normbench.dashboard.curves import tag, with_interval
from normbench.metrics import metric_column


def headings(first: str, columns: Sequence[str]) -> dict[str, str]:
    """Return the columns of curves.csv that are charted, and their titles.

    Args:
        first: The first metric of the study; it and the loss lead.
        columns: The columns that have a value.
    """
    leading = [f"{part}_{metric}" for part in ("val", "train") for metric in dict.fromkeys((first, "loss"))]
    further = [name for name in columns if metric_column(name) and name not in leading]
    return {name: in_words(name) for name in (*leading, *further)}


def norm_tag(column: str, setting: str) -> str:
    """Return the tag of a curve in the folder of a norm, such as ``norms/val_accuracy/bs2``."""
    return "/".join(filter(None, ("norms", column, setting)))


def categories(
    charted: Mapping[str, str], settings: Sequence[str], tags: Collection[str], *, tuned: bool
) -> list[Category]:
    """Return the categories of the page, one per column of curves.csv and one for single cells.

    Args:
        charted: Of `headings`.
        settings: Names of the settings.
        tags: Every tag that was written: a chart without an interval in it is a plain one.
        tuned: Whether each seed chose its rate.
    """
    best = ", each seed at its best lr" if tuned else ""
    side_by_side = [
        Category(
            title=f"{heading} of each norm{best} (mean and 95 % interval)",
            chart=[
                _chart(setting or heading, norm_tag(column, setting), tags)
                for setting in settings
                if norm_tag(column, setting) in tags
            ],
            closed=place > 0,
        )
        for place, (column, heading) in enumerate(charted.items())
    ]
    single = [_chart(heading, tag(column), tags) for column, heading in charted.items() if tag(column) in tags]
    title = "cells: select some on the left, such as ^cells/batch"
    return [*side_by_side, Category(title=title, chart=single, closed=True)]


def _chart(title: str, name: str, tags: Collection[str]) -> Chart:
    mean, low, high = with_interval(name)
    if low not in tags:
        return Chart(title=title, multiline=MultilineChartContent(tag=[f"^{mean}$"]))
    series = MarginChartContent.Series(value=mean, lower=low, upper=high)
    return Chart(title=title, margin=MarginChartContent(series=[series]))
