from functools import partial

import pytest
import torch
from torch import Tensor, nn

from normbench.models.images.resnet import resnet
from normbench.norms import BatchNorm, NoNorm
from normbench.properties.running_statistics import running_stats_fix_gradients


class ByRunning(nn.Module):
    """A broken batch norm: it trains by its running statistics."""

    def __init__(self, num_features: int, *, momentum: float) -> None:
        super().__init__()
        self.inner = BatchNorm(num_features, momentum=momentum)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            self.inner(x)
        return self.inner.by_running(x)


def test_a_norm_that_reads_them_is_found_out() -> None:
    """Weights differ where training normalises by running statistics."""
    finding = running_stats_fix_gradients(ByRunning, momenta=(0.05, 0.1))
    assert finding.verdict == "supported"
    assert finding.numbers["largest_weight_gap"] > 1e-3


@pytest.mark.parametrize(
    ("norm", "momenta"),
    [(lambda features, momentum: NoNorm(features), (0.0, 1.0)), (BatchNorm, (0.1, 0.1))],
    ids=["no statistics", "one momentum"],
)
def test_nothing_to_compare_decides_nothing(norm: type[nn.Module], momenta: tuple[float, ...]) -> None:
    """Without running statistics that differ, equal weights are no evidence."""
    assert running_stats_fix_gradients(norm, momenta=momenta).verdict == "inconclusive"


def test_a_residual_network_agrees() -> None:
    """Convolutions and shortcuts change nothing of it."""
    finding = running_stats_fix_gradients(build=lambda norm: resnet((1, 8, 8), 3, norm, depth=8, width=4))
    assert finding.verdict == "refuted" and finding.numbers["largest_weight_gap"] == 0


def test_ghost_batches_agree() -> None:
    """Chunks have a code path of their own."""
    assert running_stats_fix_gradients(partial(BatchNorm, norm_batch_size=4)).verdict == "refuted"
