from torch import Tensor, nn

from normbench.properties.architectures import bert_uses_bn, resnet_uses_bn


class OneBare(nn.Module):
    """A network in which one of two convolutions has no norm after it; the other norm is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        self.second, self.idle = nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.norm(self.first(x)))
        return out


def test_a_convolution_without_batch_norm_is_seen() -> None:
    """What counts is what a forward pass calls, not which modules there are."""
    finding = resnet_uses_bn(OneBare)
    assert finding.verdict == "refuted"
    assert finding.numbers == {"convolutions": 2, "followed_by_batch_norm": 1}


def test_a_network_without_convolutions_supports_nothing() -> None:
    """None of none is not each."""
    assert resnet_uses_bn(lambda: nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 2))).verdict == "refuted"


def test_all_of_torchvisions_convolutions_are_counted() -> None:
    """ResNet-18 has a stem, sixteen convolutions in eight blocks, and three on shortcuts."""
    assert resnet_uses_bn().numbers == {"convolutions": 20, "followed_by_batch_norm": 20}


def test_an_encoder_with_batch_norm_disagrees_with_the_source() -> None:
    """A layer with batch norm, or without layer norm, leaves the claim open."""
    assert bert_uses_bn(lambda: nn.Sequential(nn.LayerNorm(8), nn.BatchNorm1d(8))).verdict == "inconclusive"
    assert bert_uses_bn(lambda: nn.Linear(8, 8)).verdict == "inconclusive"


def test_the_source_is_printed() -> None:
    """Authors, year and place stand in the evidence."""
    assert "Devlin et al. 2018" in bert_uses_bn().evidence and "arXiv:1810.04805" in bert_uses_bn().evidence
