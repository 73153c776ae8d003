"""The ledger: which seeds a design is judged on."""

from dataclasses import replace
from pathlib import Path

import pytest

from normbench.claims.ledger import TRIAL_SEEDS, Entry, append, history, read_ledger, register, seen_before
from normbench.claims.loading import find_catalogues, load_claims
from normbench.config.shipped import shipped_conf
from normbench.errors import ConfigError

FIRST = Entry("mine", "", "0" * 64, 0, (16, 32), "2026-01-01", "first design")
SECOND = replace(FIRST, spec_sha256="1" * 64, reason="a finer grid, with more rates")


def test_rows_are_read_as_written(tmp_path: Path) -> None:
    """Also a reason with a comma, in two steps, after those of another folder."""
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for folder in (shipped, own):
        folder.mkdir()
    append(shipped, [FIRST])
    append(own, [SECOND])
    append(own, [replace(SECOND, cell="scenes")])
    assert read_ledger([shipped, own, tmp_path]) == (FIRST, SECOND, replace(SECOND, cell="scenes"))


def test_a_new_design_gets_seeds_that_no_earlier_one_used() -> None:
    """All cells that are registered together share a block of seeds."""
    (first,) = register((), "mine", [("", "0" * 64)], looks=(16, 32), reason="first design")
    assert (first.first_seed, first.end) == (0, 32)
    cells = [("digits", "1" * 64), ("scenes", "2" * 64)]
    second = register([first], "mine", cells, looks=(16, 32, 64), reason="cells")
    assert [(one.cell, one.first_seed, one.end) for one in second] == [("digits", 32, 96), ("scenes", 32, 96)]
    (other,) = register([first, *second], "other", [("", "0" * 64)], looks=(16, 32), reason="first design")
    assert other.first_seed == 0


def test_seeds_do_not_run_into_those_of_trials() -> None:
    """A claim that was designed too often needs another id."""
    late = replace(FIRST, first_seed=TRIAL_SEEDS[0] - 32)
    with pytest.raises(ConfigError, match="have used the seeds up to 999"):
        register([late], "mine", [("", "1" * 64)], looks=(16, 32), reason="again")


def test_a_changed_design_on_seen_seeds_is_found() -> None:
    """By its hash and its seeds; a flat design belongs to the history of each later cell."""
    assert seen_before([FIRST]) is None
    assert seen_before([FIRST, SECOND]) == FIRST
    assert seen_before([FIRST, replace(SECOND, first_seed=32)]) is None
    assert seen_before([FIRST, replace(FIRST, looks=(16, 32, 64))]) is None
    ledger = [FIRST, replace(SECOND, cell="digits"), replace(SECOND, cell="scenes")]
    assert history(ledger, "mine", "digits") == (FIRST, ledger[1])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mine,,0,0,16 32,2026-01-01,why", "line 2: spec_sha256: got '0'"),
        (f"mine,,{'0' * 64},-1,16 32,2026-01-01,why", "line 2: first_seed: got '-1'"),
        (f"mine,,{'0' * 64},990,16 32,2026-01-01,why", "line 2: first_seed: got 990"),
        (f"mine,,{'0' * 64},0,32,2026-01-01,why", "line 2: looks: got '32', expected '16 32' or '16 32 64'"),
        (f"mine,,{'0' * 64},0,16 32,1.1.2026,why", "line 2: Invalid isoformat"),
        (f"mine,,{'0' * 64},0,16 32,2026-01-01", "line 2: got 6 values, expected 7"),
        (f'mine,,{"0" * 64},0,16 32,2026-01-01,"why', "unexpected end of data"),
    ],
    ids=["hash", "seed", "trial seeds", "looks", "date", "short", "quote"],
)
def test_a_damaged_ledger_is_named(line: str, message: str, tmp_path: Path) -> None:
    """With its file, and the line."""
    path = tmp_path / "ledger.csv"
    path.write_text(f"claim,cell,spec_sha256,first_seed,looks,date,reason\n{line}\n")
    with pytest.raises(ConfigError, match=r"ledger\.csv: ") as error:
        read_ledger([tmp_path])
    assert message in str(error.value)


def test_another_header_is_named(tmp_path: Path) -> None:
    """A ledger of other columns is not guessed at."""
    (tmp_path / "ledger.csv").write_text("claim,seed\n")
    with pytest.raises(ConfigError, match="got the columns claim,seed, expected claim,cell"):
        read_ledger([tmp_path])


def test_the_shipped_ledger_has_every_shipped_design() -> None:
    """The last row of each claim's history is the design that its file has."""
    ledger = read_ledger([shipped_conf() / "claim"])
    for folders in find_catalogues(shipped_conf(), None).values():
        for claim in load_claims(*folders).values():
            for cell in claim.cells:
                assert history(ledger, claim.id, cell.name)[-1].spec_sha256 == cell.spec_sha256, cell.id
