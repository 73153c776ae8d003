"""The metric columns of a table."""

import pytest

from normbench.analysis.metric_columns import as_shown, in_words, metric_columns, metric_of
from normbench.record.columns import FIXED, METRIC_COLUMNS


def test_further_metrics_follow_the_fixed_ones() -> None:
    """In the order of the table, without chance levels and what the config says."""
    further = ["val_miou", "test_map_precise"]
    names = [*FIXED, "model.depth", *further, "chance_map", "task"]
    assert metric_columns(names) == [*METRIC_COLUMNS, *further]


@pytest.mark.parametrize(
    ("column", "shown", "words"),
    [
        ("val_accuracy", "val_accuracy in points", "validation accuracy"),
        ("train_loss", "train_loss", "training loss"),
        ("test_bits_per_char_precise", "test_bits_per_char_precise", "test bits per char"),
        ("test_miou", "test_miou in points", "test miou"),
        ("val_bleu", "val_bleu", "validation bleu"),
    ],
)
def test_a_column_is_told_to_a_reader(column: str, shown: str, words: str) -> None:
    """Only a share is shown in points, as it is scaled by 100."""
    assert (as_shown(column), in_words(column)) == (shown, words)


def test_fewer_steps_are_better() -> None:
    """The steps to the target are no metric, and have a direction all the same."""
    assert metric_of("steps_to_target").sign == -1
