"""The table of what popular texts say."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from normbench.claims.assertions import Assertion
from normbench.claims.spec import Claim
from normbench.errors import ConfigError
from normbench.report.page import page
from report.made_up import judged_study

ASSERTIONS = (
    Assertion(1, "It is faster.", "AB"),
    Assertion(2, "It takes less time.", "C", gap="time"),
    Assertion(3, "Scales do not matter & so on.", "D", opposite=("scale_invariance",)),
    Assertion(4, "It is used.", "D"),
)
NUMBERS = {
    "faster_convergence": (1,), "scale_invariance": (1, 3), "bert_uses_bn": (4,), "detection_gn": (4,)
}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Claim]]:
    """Return a judged study and its claims, whose sentences are those of this file."""
    folder = tmp_path_factory.mktemp("results") / "claims"
    claims = judged_study(folder, ["faster_convergence", "scale_invariance"])
    return folder, {name: replace(one, assertions=NUMBERS.get(name, ())) for name, one in claims.items()}


@pytest.fixture(scope="module")
def rows(study: tuple[Path, dict[str, Claim]]) -> dict[int, str]:
    """Return the text of each row of the table, by the number of its sentence."""
    folder, claims = study
    text = page([folder], claims, ASSERTIONS)
    return {int(number): row for number, row in re.findall(r'<tr id="assertion-(\d+)">(.*?)</tr>', text, re.DOTALL)}


def test_a_sentence_has_its_texts_and_its_claims_with_their_verdicts(rows: dict[int, str]) -> None:
    """Each claim is linked to the row with its verdict."""
    assert list(rows) == [1, 2, 3, 4]
    assert "It is faster." in rows[1] and "A B" in rows[1]
    assert 'href="#s0-row-faster_convergence"' in rows[1] and 'href="#s0-row-scale_invariance"' in rows[1]
    assert rows[1].count('class="badge supported"') == 2


def test_a_gap_is_said(rows: dict[int, str]) -> None:
    """And where there is none, nothing is."""
    assert "<b>Gap:</b> time" in rows[2]
    assert not [number for number in (1, 3, 4) if "Gap" in rows[number]]


def test_a_claim_of_the_opposite_says_so(rows: dict[int, str]) -> None:
    """Support for it is no support for the sentence, whose text is escaped."""
    assert "states the opposite" in rows[3] and "states the opposite" not in rows[1]
    assert "matter &amp; so on" in rows[3]


def test_a_claim_that_is_not_run_shows_the_literature(rows: dict[int, str]) -> None:
    """Its verdict word alone would say nothing."""
    assert "not run" in rows[4]
    assert "literature: supported" in rows[4] and "literature: refuted" in rows[4]


def test_a_claim_of_another_catalogue_may_be_absent(study: tuple[Path, dict[str, Claim]]) -> None:
    """It is named without a link."""
    folder, claims = study
    other = replace(claims["higher_lr"], id="elsewhere", assertions=(1,), catalogue="cifar10")
    assert "elsewhere</span> not on this page" in page([folder], claims | {"elsewhere": other}, ASSERTIONS)


def test_the_table_stands_once_on_a_page_with_verdicts(study: tuple[Path, dict[str, Claim]]) -> None:
    """Not for each study, and not without sentences or verdicts."""
    folder, claims = study
    assert page([folder, folder], claims, ASSERTIONS).count("What the texts say") == 1
    assert "What the texts say" not in page([folder], claims)
    assert "What the texts say" not in page([folder], {}, ASSERTIONS)


def test_a_number_that_does_not_exist_is_an_error(study: tuple[Path, dict[str, Claim]]) -> None:
    """It names the claim and the numbers that exist."""
    folder, claims = study
    wrong = claims | {"bert_uses_bn": replace(claims["bert_uses_bn"], assertions=(9,))}
    with pytest.raises(ConfigError, match=r"claim bert_uses_bn: assertions: got 9, expected .*: 1 to 4\."):
        page([folder], wrong, ASSERTIONS)
