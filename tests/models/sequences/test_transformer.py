"""Tests of transformers: with layer norm they are torch's."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from normbench.errors import ConfigError, ImpossibleRunError
from normbench.models.dropout import Dropout, draw_masks
from normbench.models.initialization import initialize
from normbench.models.sequences.attention import Attention
from normbench.models.sequences.seq2seq import seq2seq
from normbench.models.sequences.steps import valid_steps
from normbench.models.sequences.transformer import transformer
from normbench.models.sequences.trunk import TransformerBlock
from normbench.norms import REGISTRY, BatchNorm, LayerNorm, NoNorm, NormFactory, ScaledWeight
from normbench.randomness import generator
from normbench.shapes import PairShape, SequenceShape

L, C = 6, 8
NUMBERS = SequenceShape(length=L, features=3)
TOKENS = SequenceShape(length=L, vocabulary=5)
PAIR = PairShape(SequenceShape(7, vocabulary=5, padded=True), SequenceShape(L, vocabulary=4, padded=True))
LENGTHS = torch.tensor([6, 2, 4, 1])
FIRST = pytest.mark.parametrize("norm_first", [True, False], ids=["pre", "post"])


def _states(length: int = L) -> Tensor:
    return torch.randn(4, length, C, dtype=torch.float64, generator=torch.Generator().manual_seed(length))


def _net(shape: SequenceShape | PairShape, norm: Any = LayerNorm, seed: int = 0, **settings: Any) -> Any:
    make: Any = seq2seq if isinstance(shape, PairShape) else transformer
    net = make(shape, 3, NormFactory(norm), **{"width": C, "heads": 2, **settings})
    initialize(net, lambda name: generator(seed, name))
    draws = torch.Generator().manual_seed(1)
    for name, value in net.named_parameters():
        # Biases and norms as after some training.
        if value.ndim == 1:
            nn.init.normal_(value, float(name.endswith("norms.0.weight")), 0.1, generator=draws)
    return net.double()


def _copy_linear(ours: nn.Module, theirs: nn.Module) -> None:
    theirs.load_state_dict(ours.state_dict())


def _copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    parts: list[Any] = [ours.query, ours.key, ours.value]
    with torch.no_grad():
        assert theirs.in_proj_weight is not None and theirs.in_proj_bias is not None
        theirs.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        theirs.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
    _copy_linear(ours.out, theirs.out_proj)


def _torchs(block: Any, norm_first: bool) -> Any:
    """Return torch's layer with the weights of a block."""
    layer: Any = nn.TransformerDecoderLayer if block.cross is not None else nn.TransformerEncoderLayer
    theirs = layer(C, 2, 4 * C, 0.0, "gelu", batch_first=True, norm_first=norm_first, dtype=torch.float64)
    branches = [branch for branch in (block.attention, block.cross, block.feed_forward) if branch is not None]
    for place, branch in enumerate(branches, start=1):
        _copy_linear(branch.norm.norms[0], getattr(theirs, f"norm{place}"))
    _copy_attention(block.attention.branch, theirs.self_attn)
    if block.cross is not None:
        _copy_attention(block.cross.branch, theirs.multihead_attn)
    _copy_linear(block.feed_forward.branch.inner, theirs.linear1)
    _copy_linear(block.feed_forward.branch.out, theirs.linear2)
    return theirs


def _normed(trunk: Any, x: Tensor) -> Tensor:
    last = trunk.norm
    if last is None:
        return x
    norm = last.norms[0]
    return nn.functional.layer_norm(x, (C,), norm.weight, norm.bias)


def _embedded(trunk: Any, sequence: Tensor) -> Tensor:
    return trunk.embedding(sequence) + trunk.positions.weight  # type: ignore[no-any-return]  # modules are untyped


@FIRST
@pytest.mark.parametrize("padded", [False, True], ids=["full", "padded"])
def test_an_encoder_with_layer_norm_is_torchs(norm_first: bool, padded: bool) -> None:
    """Outputs and gradients of two blocks agree to 1e-12, and padding changes nothing."""
    net = _net(NUMBERS._replace(padded=padded), norm_first=norm_first)
    layers = [_torchs(block, norm_first) for block in net.trunk.blocks]
    x = torch.randn(4, L, 3, dtype=torch.float64)
    valid = valid_steps(x, LENGTHS)
    assert valid is not None
    wanted = _embedded(net.trunk, x)
    for layer in layers:
        wanted = layer(wanted, src_key_padding_mask=~valid if padded else None)
    wanted = _normed(net.trunk, wanted)
    kept = valid.double() if padded else torch.ones(4, L, dtype=torch.float64)
    share = kept / kept.sum(1, keepdim=True)
    wanted = net.head((wanted * share.unsqueeze(2)).sum(1))
    outputs = net(x, LENGTHS) if padded else net(x)
    torch.testing.assert_close(outputs, wanted, rtol=1e-12, atol=1e-12)
    torch.autograd.backward(outputs.square().sum() + wanted.square().sum())
    for block, layer in zip(net.trunk.blocks, layers, strict=True):
        for ours, theirs in (
            (block.feed_forward.branch.inner, layer.linear1),
            (block.attention.norm.norms[0], layer.norm1),
        ):
            torch.testing.assert_close(ours.weight.grad, theirs.weight.grad, rtol=1e-12, atol=1e-12)
    if padded:
        changed = torch.where(valid.unsqueeze(2), x, 1e3)
        torch.testing.assert_close(net(changed, LENGTHS), outputs, rtol=1e-12, atol=1e-12)


@FIRST
def test_a_causal_decoder_with_layer_norm_is_torchs(norm_first: bool) -> None:
    """Torch's encoder layers with a causal mask."""
    net = _net(TOKENS._replace(every_step=True), norm_first=norm_first)
    sequence = torch.randint(5, (4, L))
    wanted = _embedded(net.trunk, sequence)
    mask = nn.Transformer.generate_square_subsequent_mask(L, dtype=torch.float64)
    for block in net.trunk.blocks:
        wanted = _torchs(block, norm_first)(wanted, src_mask=mask)
    torch.testing.assert_close(net(sequence), net.head(_normed(net.trunk, wanted)), rtol=1e-12, atol=1e-12)


@FIRST
def test_seq2seq_with_layer_norm_is_torchs(norm_first: bool) -> None:
    """Torch's encoder and decoder layers, with padding in source and target."""
    net = _net(PAIR, norm_first=norm_first)
    source, target = torch.randint(5, (4, 7)), torch.randint(4, (4, L))
    source_lengths = torch.tensor([3, 7, 1, 5])
    there, valid = valid_steps(source, source_lengths), valid_steps(target, LENGTHS)
    assert there is not None and valid is not None
    memory = _embedded(net.encoder, source)
    for block in net.encoder.blocks:
        memory = _torchs(block, norm_first)(memory, src_key_padding_mask=~there)
    memory = _normed(net.encoder, memory)
    wanted = _embedded(net.decoder, target)
    later = ~torch.ones(L, L, dtype=torch.bool).tril()
    for block in net.decoder.blocks:
        layer = _torchs(block, norm_first)
        wanted = layer(wanted, memory, tgt_mask=later, tgt_key_padding_mask=~valid, memory_key_padding_mask=~there)
    wanted = net.head(_normed(net.decoder, wanted))
    outputs = net(source, source_lengths, target, LENGTHS)
    torch.testing.assert_close(outputs, wanted, rtol=1e-12, atol=1e-12)


def test_a_sequence_without_steps_gives_numbers() -> None:
    """An empty text has an output and leaves the others' gradients finite."""
    net = _net(TOKENS._replace(padded=True))
    net(torch.zeros(2, L, dtype=torch.long), torch.tensor([0, 3])).sum().backward()
    assert all(value.grad.isfinite().all() for value in net.parameters())


@pytest.mark.parametrize(("shape", "branches"), [(TOKENS, {"trunk": 4}), (PAIR, {"encoder": 4, "decoder": 6})], ids=str)
def test_branches_start_small(shape: SequenceShape | PairShape, branches: dict[str, int]) -> None:
    """Their last weights are divided by the root of their number; embeddings have deviation 1, positions a half."""
    net = _net(shape, NoNorm, depth=2, width=64, heads=1)
    for trunk, count in branches.items():
        outs = [value for name, value in net.named_parameters() if name.startswith(trunk) and "out.weight" in name]
        assert len(outs) == count
        for out in outs:
            wanted = (2 / sum(out.shape) / count) ** 0.5
            assert out.std().item() == pytest.approx(wanted, rel=0.05)
        assert net.get_parameter(f"{trunk}.embedding.weight").std().item() == pytest.approx(1, rel=0.2)
        assert net.get_parameter(f"{trunk}.positions.weight").std().item() == pytest.approx(0.5, rel=0.2)


@pytest.mark.parametrize("shape", [TOKENS, PAIR], ids=["transformer", "seq2seq"])
def test_norms_share_the_initial_weights(shape: SequenceShape | PairShape) -> None:
    """Arms with one seed differ in their norms, not in their initial weights."""

    def weights(norm: str) -> dict[str, Tensor]:
        return {name: value for name, value in _net(shape, REGISTRY[norm]).named_parameters() if value.ndim > 1}

    reference = weights("none")
    # A causal model refuses norms over positions.
    fitting = [name for name, norm in REGISTRY.items() if not getattr(norm, "needs_positions", False)]
    for name in REGISTRY if shape is TOKENS else fitting:
        torch.testing.assert_close(weights(name), reference, rtol=0, atol=0)


def test_a_norm_that_changes_weights_gets_those_of_the_branches() -> None:
    """Four of attention and two of the feed-forward layer, not the head."""
    net = _net(NUMBERS, ScaledWeight, depth=1)
    changed = [name for name, module in net.named_modules() if type(module).__name__ == "StandardizedLinear"]
    assert [name.rpartition(".")[2] for name in changed] == ["query", "key", "value", "out", "inner", "out"]


def test_dropout_is_in_every_branch() -> None:
    """Masks of zero everywhere leave only the head's bias in a net without a last norm."""
    net = _net(PAIR, NoNorm, dropout=0.5, depth=1)
    assert [module.features for module in net.modules() if isinstance(module, Dropout)] == [(7, C)] * 3 + [(L, C)] * 4
    draw_masks(net, 4, torch.Generator().manual_seed(0))
    for buffer in net.buffers():
        buffer.zero_()
    outputs = net(torch.zeros(4, 7, dtype=torch.long), LENGTHS, torch.zeros(4, L, dtype=torch.long), LENGTHS)
    torch.testing.assert_close(outputs, net.head.bias.expand(4, L, 3))


def test_attention_is_to_valid_steps_alone() -> None:
    """A block on padded sequences equals the block on each sequence cut to its length."""
    net = _net(NUMBERS._replace(padded=True))
    block = net.trunk.blocks[0]
    assert isinstance(block, TransformerBlock)
    valid = valid_steps(_states(), LENGTHS)
    assert valid is not None
    y = block(_states(), valid, valid[:, None, None, :])
    for sample, length in enumerate(LENGTHS.tolist()):
        short = _states()[sample : sample + 1, :length]
        torch.testing.assert_close(y[sample, :length], block(short, None, None)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"heads": 3}, r"model\.heads: got 3, expected a divisor of model\.width=8"),
        ({"depth": 0}, "depth=0"),
        ({"norm_time": "steps"}, r"model\.norm_time: unknown value 'steps'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    """With what is allowed."""
    with pytest.raises(ConfigError, match=message):
        _net(TOKENS, **settings)


@pytest.mark.parametrize("shape", [TOKENS._replace(every_step=True), PAIR], ids=["transformer", "seq2seq"])
def test_a_norm_over_time_is_refused_where_it_would_show_later_steps(shape: SequenceShape | PairShape) -> None:
    """It would show them in evaluation too; batch statistics are not concerned."""
    with pytest.raises(ImpossibleRunError, match="would depend on later steps"):
        _net(shape, LayerNorm, norm_over="time")
    _net(shape, BatchNorm, norm_over="time")
