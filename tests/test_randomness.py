import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from normbench.randomness import generator, stream_seed

PARTS = st.one_of(st.integers(min_value=0), st.text(alphabet="abc.0123456789", min_size=1))


@pytest.mark.parametrize(
    ("seed", "names", "expected"),
    [
        (0, ("split",), 3769940940748469125),
        (0, ("order", 3), 2723741169552378311),
        (41, ("init", "layers.0.weight"), 2740402523437853084),
    ],
    ids=["split", "order", "init"],
)
def test_stream_seeds_never_change(seed: int, names: tuple[str | int, ...], expected: int) -> None:
    """A stream's seed is the same on every machine and in every version, or old results could not be rerun."""
    assert stream_seed(seed, *names) == expected


@given(st.integers(min_value=0), st.lists(PARTS))
def test_a_stream_seed_fits_a_generator(seed: int, names: list[str | int]) -> None:
    """Every seed is one that torch takes: 63 bits, not negative."""
    assert 0 <= stream_seed(seed, *names) < 2**63


def test_streams_differ_by_seed_and_by_every_name() -> None:
    """Neither the run's seed, nor a name, nor the boundary between two names is lost."""
    names: list[tuple[str | int, ...]] = [(), ("order",), ("order", 1), ("order", 11), ("order", 1, 1), ("augment", 1)]
    assert len({stream_seed(seed, *stream) for seed in (0, 1) for stream in names}) == 2 * len(names)


def test_a_generator_is_its_stream() -> None:
    """What one stream draws does not depend on what another drew before."""
    alone = torch.rand(4, generator=generator(5, "dropout"))
    torch.rand(9, generator=generator(5, "augment"))
    assert torch.equal(torch.rand(4, generator=generator(5, "dropout")), alone)
    assert not torch.equal(torch.rand(4, generator=generator(5, "augment")), alone)


def test_a_generator_leaves_the_global_state_alone() -> None:
    """Making a generator and drawing from it moves nobody else's random numbers."""
    before = torch.get_rng_state()
    torch.rand(4, generator=generator(5, "dropout"))
    assert torch.equal(torch.get_rng_state(), before)
