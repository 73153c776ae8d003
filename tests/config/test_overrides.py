"""Tests of the override grammar."""

import pytest

from normbench.config.overrides import Setting, axis, parse
from normbench.errors import ConfigError
from normbench.spec import Value


def only(text: str) -> Setting:
    (setting,) = parse([text])
    return setting


SINGLE: dict[str, tuple[str, str, Value]] = {
    "integer": ("seed=3", "seed", 3),
    "float": ("lr=1e-3", "lr", 0.001),
    "boolean": ("norm.affine=false", "norm.affine", False),
    "null": ("steps=null", "steps", None),
    "text": ("norm=batch", "norm", "batch"),
    "empty": ("study=", "study", ""),
    "quoted number": ("study='2024'", "study", "2024"),
    "quoted comma": ("study='a,b'", "study", "a,b"),
    "escaped quote": (r"study='it\'s'", "study", "it's"),
    "list": ("schedule.milestones=[0.2,0.5]", "schedule.milestones", [0.2, 0.5]),
    "quoted list": ("norm.names=['a','b c']", "norm.names", ["a", "b c"]),
    "added": ("+experiment=quickstart", "experiment", "quickstart"),
    "forced": ("++lr=1", "lr", 1),
    "cast": ("seed=int(3.0)", "seed", 3),
}


@pytest.mark.parametrize(("text", "key", "value"), SINGLE.values(), ids=SINGLE)
def test_reads_one_value(text: str, key: str, value: Value) -> None:
    """A single value is no sweep and comes out plain."""
    assert only(text) == Setting(key, (value,), text=text)


SWEEPS: dict[str, tuple[str, tuple[Value, ...]]] = {
    "choices": ("norm=batch,none", ("batch", "none")),
    "choice()": ("norm=choice(batch,none)", ("batch", "none")),
    "null among them": ("steps=null,5", (None, 5)),
    "quoted": ("study='a b','c,d'", ("a b", "c,d")),
    "lists": ("x=['a'],['b',1]", (["a"], ["b", 1])),
    "dicts": ("x={k:'a'},{k:'b'}", ({"k": "a"}, {"k": "b"})),
    "range": ("seed=range(3)", (0, 1, 2)),
    "range with a step": ("seed=range(2,9,3)", (2, 5, 8)),
    "range of one": ("seed=range(1)", (0,)),
    "sorted": ("lr=sort(3,1,2)", (1, 2, 3)),
    "logspace": ("lr=logspace(-3,0,7)", (0.001, 0.00316227766, 0.01, 0.0316227766, 0.1, 0.316227766, 1.0)),
    "logspace downwards": ("lr=logspace(0, -2, 3)", (1.0, 0.1, 0.01)),
    "logspace of one": ("lr=logspace(-3,0,1)", (0.001,)),
    "logspace of integers": ("batch_size=int(logspace(0,3,4))", (1, 10, 100, 1000)),
}


@pytest.mark.parametrize(("text", "values"), SWEEPS.values(), ids=SWEEPS)
def test_reads_a_sweep(text: str, values: tuple[Value, ...]) -> None:
    """The values of a sweep are plain data in the order typed, without Hydra's quotes."""
    setting = only(text)
    assert setting.sweep
    assert setting.values == values
    assert [type(value) for value in setting.values] == [type(value) for value in values]


def test_reads_a_deletion() -> None:
    """~key has no value."""
    assert only("~sweep.lr") == Setting("sweep.lr", (), delete=True, text="~sweep.lr")


def test_leaves_a_glob_to_be_looked_up() -> None:
    """A glob is a sweep whose values are not known yet."""
    setting = only("norm=glob(*)")
    assert (setting.sweep, setting.values) == (True, ())
    assert setting.glob is not None


WRONG = {
    "no equals sign": ("lr", "cannot read the override 'lr'"),
    "nothing": ("", "cannot read the override ''"),
    "no key": ("=3", "a key is missing"),
    "open bracket": ("x=[1,", "cannot read the override 'x=[1,'"),
    "unknown function": ("x=foo(1)", "Unknown function 'foo'"),
    "range of text": ("x=range(a)", "cannot read the override 'x=range(a)'"),
    "package": ("norm@x=batch", "packages (@) are not supported"),
    "interval": ("lr=interval(0,1)", "an interval cannot be swept; give choices or range(start, stop, step)"),
    "no logspace": ("lr=logspace(-3,0)", "missing a required argument: 'count'"),
    "empty logspace": ("lr=logspace(-3,0,0)", "a count of at least 1 is needed, got 0"),
    "logspace beyond floats": ("lr=logspace(0,400,3)", "a float holds powers from 10**-323 to 10**308"),
    "thousands of digits": (f"seed={'1' * 5000}", "cannot read the override 'seed=111"),
    "empty range": ("seed=range(3,0)", "the sweep is empty"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_refuses_in_one_line(text: str, message: str) -> None:
    """What does not follow the grammar is a ConfigError of one line."""
    with pytest.raises(ConfigError) as raised:
        parse([text])
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("second", ["lr=0.2", "+lr=0.2", "~lr", "lr=0.1,0.2"])
def test_refuses_a_key_given_twice(second: str) -> None:
    """Which of two values is meant cannot be known."""
    with pytest.raises(ConfigError, match=r"'lr' is given twice: lr=0\.1 and") as raised:
        parse(["lr=0.1", "seed=1", second])
    assert second in str(raised.value)


AXES: dict[str, tuple[Value, tuple[Value, ...]]] = {
    "list": (["batch", "none"], ("batch", "none")),
    "range": ("range(3)", (0, 1, 2)),
    "logspace": ("logspace(-2, 0, 3)", (0.01, 0.1, 1.0)),
    "choices": ("0.1,0.2", (0.1, 0.2)),
    "one value": ("batch", ("batch",)),
    "list of lists": ([[0.5], [0.3, 0.6]], ([0.5], [0.3, 0.6])),
}


@pytest.mark.parametrize(("values", "expected"), AXES.values(), ids=AXES)
def test_an_axis_is_a_list_or_a_text(values: Value, expected: tuple[Value, ...]) -> None:
    """An experiment's axis takes YAML's lists and Hydra's grammar."""
    setting = axis("seed", values)
    assert (setting.key, setting.values, setting.sweep, setting.text) == ("seed", expected, True, "sweep.seed")


@pytest.mark.parametrize("values", [None, 3, [], True, {"a": 1}], ids=repr)
def test_refuses_what_is_no_axis(values: Value) -> None:
    """Anything else names the key and what is expected."""
    with pytest.raises(ConfigError, match=r"^sweep\.seed: got .*, expected a list of values or a string such as range"):
        axis("seed", values)
