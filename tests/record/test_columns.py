import math

import pytest

from normbench.record.columns import FIXED, METRIC_COLUMNS, cell_text

CONTRACT = """run_id study status model norm data batch_size norm_batch_size lr seed epochs steps num_params num_classes
train_loss train_accuracy val_loss val_accuracy test_loss test_accuracy test_accuracy_precise test_accuracy_batch
steps_to_target diverged_at_step error"""


def test_fixed_columns_are_the_contract() -> None:
    """The fixed columns are those of the contract, in its order."""
    assert list(FIXED) == CONTRACT.split()


def test_metrics_are_losses_accuracies_and_steps() -> None:
    """A metric is a loss, an accuracy or the steps to a target, and no such column is left out."""
    wanted = {name for name in FIXED if "loss" in name or "accuracy" in name or name == "steps_to_target"}
    assert set(METRIC_COLUMNS) == wanted


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (math.nan, ""),
        (True, "true"),
        (3, "3"),
        (1e-05, "1e-05"),
        (0.1 + 0.2, "0.30000000000000004"),
        ("none", "none"),
        ([1, 2], "[1,2]"),
        ({"b": 1, "a": None}, '{"a":null,"b":1}'),
    ],
)
def test_cell_text(value: object, text: str) -> None:
    """Each kind of value has one spelling."""
    assert cell_text(value) == text
