"""Tests of the recurrent cells: without a norm they are torch's, with norms the published formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from normbench.errors import ImpossibleRunError
from normbench.models.sequences.cell_norms import CellNorms
from normbench.models.sequences.cells import CELLS, LSTMCell, RecurrentCell
from normbench.models.sequences.steps import valid_steps
from normbench.norms import REGISTRY, BatchNorm, LayerNorm, NoNorm, NormFactory, RMSNorm
from normbench.norms.factory import norm_layers

L, D, H = 7, 3, 4
LENGTHS = torch.tensor([7, 2, 5, 1])


def _x() -> Tensor:
    return torch.randn(4, L, D, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def _cell(kind: str, norm: str = "none", args: dict[str, Any] | None = None, **settings: Any) -> RecurrentCell:
    norms = CellNorms(NormFactory(REGISTRY[norm], args or {}), L, **settings)
    cell = CELLS[kind](D, H, norms).double()
    draws = torch.Generator().manual_seed(1)
    for parameter in cell.parameters():
        if parameter.requires_grad:
            nn.init.normal_(parameter, 0, 0.5, generator=draws)
    return cell


def copied(cell: RecurrentCell, theirs: nn.Module, suffix: str = "l0") -> None:
    """Give a layer of torch the weights of a cell."""
    with torch.no_grad():
        theirs.get_parameter(f"weight_ih_{suffix}").copy_(cell.get_parameter("input.weight"))
        theirs.get_parameter(f"weight_hh_{suffix}").copy_(cell.get_parameter("recurrent.weight"))
        theirs.get_parameter(f"bias_ih_{suffix}").copy_(cell.bias)
        second = theirs.get_parameter(f"bias_hh_{suffix}").zero_()
        if hasattr(cell, "inner_bias"):
            second[-cell.width :] = cell.get_parameter("inner_bias")


@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
@pytest.mark.parametrize(("kind", "layer"), [("rnn", nn.RNN), ("lstm", nn.LSTM), ("gru", nn.GRU)])
def test_without_a_norm_a_cell_is_torchs(kind: str, layer: Any, padded: bool) -> None:
    """States and gradients agree to 1e-12, also for sequences of several lengths."""
    cell, theirs = _cell(kind), layer(D, H, batch_first=True, dtype=torch.float64)
    copied(cell, theirs)
    x, valid = _x(), valid_steps(_x(), LENGTHS) if padded else None
    states = cell(x, valid)
    if valid is None:
        wanted = theirs(x)[0]
    else:
        packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
        wanted = pad_packed_sequence(theirs(packed)[0], batch_first=True)[0]
        states = states * valid.unsqueeze(2)
    torch.testing.assert_close(states, wanted, rtol=1e-12, atol=1e-12)
    target = torch.randn_like(wanted)
    torch.autograd.backward([(states * target).sum(), (wanted * target).sum()])
    ours = [cell.input.weight.grad, cell.recurrent.weight.grad, cell.bias.grad]
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0")
    torch.testing.assert_close(ours, [theirs.get_parameter(name).grad for name in names], rtol=1e-12, atol=1e-12)


def _standardized(x: Tensor, dim: int, eps: float = 1e-5) -> Tensor:
    var, mean = torch.var_mean(x, dim, correction=0, keepdim=True)
    return (x - mean) / torch.sqrt(var + eps)


@pytest.mark.parametrize("norm", ["batch", "layer"])
@pytest.mark.parametrize("place", ["input", "recurrent", "both"])
@pytest.mark.parametrize("kind", CELLS)
def test_a_norm_in_a_cell_is_the_formula(kind: str, place: str, norm: str) -> None:
    """Written out step by step, statistics of each step over samples, or over the units of a sample."""
    cell, x = _cell(kind, norm, place=place), _x()
    dim = 0 if norm == "batch" else 1
    gains = {name: value for name, value in cell.named_parameters() if name.endswith("norms.0.weight")}

    def normed(values: Tensor, name: str) -> Tensor:
        if not hasattr(cell, name) or getattr(cell, name) is None:
            return values
        return _standardized(values, dim) * gains[f"{name}.norms.0.weight"]

    h = c = torch.zeros(4, H, dtype=torch.float64)
    wanted = []
    for step in range(L):
        now = normed(x[:, step] @ cell.get_parameter("input.weight").T, "input_norm") + cell.bias
        hidden = normed(h @ cell.get_parameter("recurrent.weight").T, "recurrent_norm")
        if kind == "rnn":
            h = torch.tanh(now + hidden)
        elif kind == "lstm":
            i, f, g, o = (now + hidden).chunk(4, 1)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            inside = normed(c, "cell_norm")
            if place == "both":
                inside = inside + cell.get_parameter("cell_norm.norms.0.bias")
            h = o.sigmoid() * inside.tanh()
        else:
            r, z, n = now.chunk(3, 1)
            hr, hz, hn = hidden.chunk(3, 1)
            r, z = (r + hr).sigmoid(), (z + hz).sigmoid()
            h = (1 - z) * torch.tanh(n + r * (hn + cell.get_parameter("inner_bias"))) + z * h
        wanted.append(h)
    assert len(gains) == {"input": 1, "recurrent": 1, "both": 3 if kind == "lstm" else 2}[place]
    torch.testing.assert_close(cell(x), torch.stack(wanted, 1), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("norm", [NoNorm, LayerNorm], ids=["none", "layer"])
def test_a_sequence_keeps_its_state_after_its_end(kind: str, norm: type[nn.Module]) -> None:
    """Steps of padding change nothing, whatever they hold."""
    cell = CELLS[kind](D, H, CellNorms(NormFactory(norm), L, "both")).double()
    x, valid = _x(), valid_steps(_x(), LENGTHS)
    states = cell(x, valid)
    assert valid is not None
    for sample, length in enumerate(LENGTHS.tolist()):
        torch.testing.assert_close(states[sample, length - 1 :], states[sample, length - 1].expand(L - length + 1, H))
    torch.testing.assert_close(cell(torch.where(valid.unsqueeze(2), x, 1e6), valid), states, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("norm", "gain", "wanted"),
    [(BatchNorm, None, 0.1), (BatchNorm, 1.0, 1.0), (LayerNorm, None, 1.0), (RMSNorm, 0.5, 0.5)],
)
def test_the_initial_scale_of_the_norms(norm: type[nn.Module], gain: float | None, wanted: float) -> None:
    """0.1 for norms with batch statistics, 1 for others, unless it is set."""
    cell = LSTMCell(D, H, CellNorms(NormFactory(norm), L, "both", gain=gain))
    layers = norm_layers(cell).values()
    assert len(layers) == (3 * L if norm is BatchNorm else 3)
    assert all((layer.get_parameter("weight") == wanted).all() for layer in layers)


@pytest.mark.parametrize("norm", [NoNorm, BatchNorm])
def test_a_scale_that_no_norm_has_is_refused(norm: type[nn.Module]) -> None:
    """A setting that would do nothing says so."""
    factory = NormFactory(norm, {"affine": False} if norm is BatchNorm else {})
    with pytest.raises(ImpossibleRunError, match=r"model\.norm_gain=0\.5 sets the initial scale"):
        LSTMCell(D, H, CellNorms(factory, L, gain=0.5))


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("place", ["input", "recurrent", "both"])
def test_one_shift_for_every_norm(kind: str, place: str) -> None:
    """The bias is the shift of the gates in every arm; the betas before it are not trained, that of the state is."""
    cells = [CELLS[kind](D, H, CellNorms(NormFactory(norm), L, place)) for norm in (NoNorm, BatchNorm, LayerNorm)]
    shapes = [{name: value.shape for name, value in cell.named_parameters() if "norm" not in name} for cell in cells]
    assert shapes[0] == shapes[1] == shapes[2]
    for cell in cells[1:]:
        trained = {name for name, value in cell.named_parameters() if value.requires_grad and ".bias" in name}
        assert trained == ({"cell_norm.norms.0.bias"} if kind == "lstm" and place == "both" else set())


@pytest.mark.parametrize("norm", ["none", "batch", "layer", "rms"])
def test_the_forget_gate_starts_open(norm: str) -> None:
    """Its bias is 1, the others are 0, whatever the norm."""
    cell = LSTMCell(D, H, CellNorms(NormFactory(REGISTRY[norm]), L, "both"))
    assert cell.bias.tolist() == [0.0] * H + [1.0] * H + [0.0] * 2 * H
