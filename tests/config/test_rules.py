"""Tests of what each config key may hold."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.config.rules import RULES, Rule, checked
from normbench.errors import ConfigError
from normbench.spec import Value

NUMBERS = {key: rule for key, rule in RULES.items() if rule.kind in (int, float)}
WHOLE = [key for key, rule in NUMBERS.items() if rule.kind is int]
REAL = [key for key, rule in NUMBERS.items() if rule.kind is float]


def inside(rule: Rule, value: float) -> bool:
    """Return whether a number keeps the bounds: the slow reference."""
    if not math.isfinite(value):
        return False
    bounds = (rule.low, rule.above, rule.high, rule.below)
    low, above, high, below = (
        bound if bound is not None else other
        for bound, other in zip(bounds, (-math.inf, -math.inf, math.inf, math.inf), strict=True)
    )
    return low <= value <= high and above < value < below


@given(key=st.sampled_from(REAL), value=st.floats() | st.floats(-2, 2))
def test_a_float_passes_inside_its_bounds_alone(key: str, value: float) -> None:
    """nan, infinities and what is out of bounds are refused, everything else comes back."""
    if inside(RULES[key], value):
        assert checked(key, value) == value
    else:
        with pytest.raises(ConfigError, match=f"^{key}: got "):
            checked(key, value)


@given(key=st.sampled_from(WHOLE), value=st.integers() | st.integers(-3, 3))
def test_an_integer_passes_inside_its_bounds_alone(key: str, value: int) -> None:
    """And below 2**63, which tables and torch's generators hold."""
    if inside(RULES[key], value) and value < 2**63:
        assert checked(key, value) == value
    else:
        with pytest.raises(ConfigError, match=f"^{key}: got "):
            checked(key, value)


@pytest.mark.parametrize("key", [key for key in WHOLE if RULES[key].high is None])
def test_an_integer_has_64_bits(key: str) -> None:
    """The largest that every reader of a table takes passes, the next one does not."""
    assert checked(key, 2**63 - 1) == 2**63 - 1
    for value in (2**63, 18446744073709551615, 10**30):
        with pytest.raises(
            ConfigError, match=f"^{key}: got {value}, expected an integer of at most 9223372036854775807 "
        ):
            checked(key, value)


@pytest.mark.parametrize("key", ["engine.threads", "engine.workers"])
def test_threads_and_workers_have_a_bound(key: str) -> None:
    """A hundred thousand threads are a crash."""
    assert checked(key, 1024) == 1024
    with pytest.raises(
        ConfigError, match=rf"^{key}: got 100000, expected an integer of at least 1 and of at most 1024"
    ):
        checked(key, 100000)


@given(key=st.sampled_from(REAL), value=st.integers(-2, 2) | st.integers(-(10**15), 10**15))
def test_an_integer_becomes_a_float_where_a_number_is_wanted(key: str, value: int) -> None:
    """lr=1 and lr=1.0 are one run: their canonical JSON is the same."""
    if inside(RULES[key], value):
        assert json.dumps(checked(key, value)) == json.dumps(checked(key, float(value)))
        assert type(checked(key, value)) is float


def test_minus_zero_is_zero() -> None:
    """Equal numbers are written equally."""
    assert json.dumps(checked("optimizer.weight_decay", -0.0)) == "0.0"


def test_a_number_that_no_float_holds_is_refused() -> None:
    """An integer of 400 digits is out of bounds, not an OverflowError."""
    with pytest.raises(ConfigError, match=r"^lr: got 1000"):
        checked("lr", 10**400)


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [True, False, "3", [1], {"a": 1}], ids=repr)
def test_a_number_is_nothing_else(key: str, value: Value) -> None:
    """In particular, a boolean is no integer."""
    with pytest.raises(ConfigError, match="got "):
        checked(key, value)


@pytest.mark.parametrize("key", WHOLE)
@pytest.mark.parametrize("value", [8.0, 1.5, math.inf, math.nan])
def test_a_float_is_no_integer(key: str, value: float) -> None:
    """Not even a whole one."""
    with pytest.raises(ConfigError, match="expected an integer"):
        checked(key, value)


@pytest.mark.parametrize("key", [key for key, rule in RULES.items() if rule.kind is bool])
@pytest.mark.parametrize("value", [0, 1, "true", 1.0], ids=repr)
def test_only_booleans_are_booleans(key: str, value: Value) -> None:
    """0 and 1 are numbers."""
    assert checked(key, True) is True
    with pytest.raises(ConfigError, match="expected true or false"):
        checked(key, value)


@pytest.mark.parametrize("key", [key for key, rule in RULES.items() if rule.kind is str])
@pytest.mark.parametrize("value", [3, True, "", ["a"]], ids=repr)
def test_a_text_is_a_text_and_not_empty(key: str, value: Value) -> None:
    """Numbers are not made texts without a word."""
    with pytest.raises(ConfigError, match=f"^{key}: "):
        checked(key, value)


@pytest.mark.parametrize("key", RULES)
def test_null_passes_where_it_is_optional_alone(key: str) -> None:
    """Null is a value of its own."""
    if RULES[key].optional:
        assert checked(key, None) is None
    else:
        with pytest.raises(ConfigError, match=f"^{key}: got None, expected "):
            checked(key, None)


@pytest.mark.parametrize("key", [key for key, rule in RULES.items() if rule.choices])
def test_choices_are_the_only_texts(key: str) -> None:
    """A misspelt choice is answered with the nearest one and the list."""
    first = RULES[key].choices[0]
    assert checked(key, first) == first
    with pytest.raises(ConfigError, match=f"did you mean '{first}'.* Known: .*{first}"):
        checked(key, f"{first}x")


def test_yaml_reads_a_bare_off_as_false() -> None:
    """``tensorboard: off`` in a user's YAML means off; no other choice has a boolean."""
    assert checked("log.tensorboard", False) == "off"
    with pytest.raises(ConfigError, match=r"^log\.weights: got False"):
        checked("log.weights", False)


def test_a_list_holds_numbers_within_bounds() -> None:
    """The bounds of a list are those of its members, which become floats."""
    assert checked("schedule.milestones", [0.25, 0.5]) == [0.25, 0.5]
    assert checked("schedule.milestones", []) == []


@pytest.mark.parametrize("value", [0.5, "0.5", [1], [0.5, 1.5], [True], ["a"], [math.nan], [[0.5]]], ids=repr)
def test_refuses_a_wrong_list(value: Value) -> None:
    """A wrong member is as wrong as no list."""
    with pytest.raises(
        ConfigError, match=r"^schedule\.milestones: got .*expected a list of numbers above 0 and below 1"
    ):
        checked("schedule.milestones", value)


def test_a_key_without_a_rule_takes_anything() -> None:
    """The arguments of a user's own part are for it to check."""
    assert checked("norm.mine", {"a": [1]}) == {"a": [1]}


DESCRIBED = {
    "lr": "a number above 0",
    "steps": "an integer of at least 1 or null",
    "model.dropout": "a number of at least 0 and below 1",
    "target_accuracy": "a number above 0 and of at most 1 or null",
    "log.weights": "one of none, final",
    "data.root": "a string or null",
}


@pytest.mark.parametrize(("key", "words"), DESCRIBED.items(), ids=DESCRIBED)
def test_describes_what_is_allowed(key: str, words: str) -> None:
    """The words of an error follow from the rule."""
    assert RULES[key].describe() == words


@pytest.mark.parametrize("key", ["data.root", "results_dir"])
def test_a_path_begins_in_the_users_home(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ~ that the shell left as it is makes no folder of that name."""
    monkeypatch.setenv("HOME", "/home/someone")
    assert checked(key, "~/x") == "/home/someone/x"
    assert checked(key, "~") == "/home/someone"
    assert checked(key, "x/~") == "x/~"
    message = rf"^{key}: got '~no_such_user/x', but there is no such home folder; write '\./~no"
    with pytest.raises(ConfigError, match=message):
        checked(key, "~no_such_user/x")


@pytest.mark.parametrize(
    "path", ["a" * 256, f"/x/{'é' * 128}/y", "/".join(["abc"] * 1000)], ids=["name", "bytes", "all"]
)
@pytest.mark.parametrize("key", ["data.root", "results_dir"])
def test_a_path_that_no_file_system_takes(key: str, path: str) -> None:
    """It is said before a system call says it."""
    assert checked(key, "a" * 255) == "a" * 255
    with pytest.raises(
        ConfigError, match=rf"^{key}: got '.*longer than the 255 bytes per name that file systems allow"
    ):
        checked(key, path)


def test_a_list_for_a_number_is_answered_by_the_sweep_that_was_meant() -> None:
    """As Hydra's users write sweeps of another tool."""
    with pytest.raises(ConfigError, match=r"^lr: got \[0\.1, 0\.2\], .*; for a sweep use lr=0\.1,0\.2 with -m\.$"):
        checked("lr", [0.1, 0.2])
