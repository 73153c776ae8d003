"""Tests of values that Hydra's grammar cannot read and that can only be texts."""

import shlex

import pytest
from hydra.errors import HydraException

from normbench.config.overrides import parse, parser
from normbench.config.texts import quoted
from normbench.errors import ConfigError
from normbench.spec import Value


def values(text: str) -> tuple[Value, ...]:
    (setting,) = parse([text])
    assert setting.text == text
    return setting.values


TEXTS = [
    "~/flowers",
    "~",
    "研究",
    "café",
    "/data/my images (1)/train",
    "flowers(1)/images",
    "/data/a=b",
    "/runs/lr=0.1/wd=0",
    "/data/a#b",
    "/data/a&b",
    "/data/a;b!",
    "/data/[old]/{x}",
    "/data/<new>^2",
    "/data/`x`",
    "/data/(a)(b)",
    "${oc.env:HOME}/研究",
    "emoji 🙂",
    "0.1;0.2",
]


@pytest.mark.parametrize("text", TEXTS)
def test_what_can_only_be_a_text_is_one(text: str) -> None:
    """A path works as typed."""
    with pytest.raises(HydraException):
        parser().parse_override(f"key={text}")
    assert values(f"data.root={text}") == (text,)
    assert values(f"+study={text}") == (text,)


def test_blanks_around_a_text_and_escapes_in_it_are_read_as_hydra_does() -> None:
    """As in a text that the grammar can read."""
    assert values("data.root= ~/x ") == ("~/x",)
    assert values(r"data.root=~/a\,b\ \(1\)") == ("~/a,b (1)",)


SWEEPS: dict[str, tuple[str, tuple[Value, ...]]] = {
    "choices": ("data.root=~/a,/b (1),c", ("~/a", "/b (1)", "c")),
    "numbers stay numbers": ("norm.gain=1,~x,0.5,null", (1, "~x", 0.5, None)),
    "choice()": ("data.root=choice(~/a, 研究)", ("~/a", "研究")),
    "list": ("norm.names=[~/a,1]", (["~/a", 1],)),
    "lists": ("norm.names=[~/a,1],[é]", (["~/a", 1], ["é"])),
    "beside quotes": ("data.root='a,b',~/c", ("a,b", "~/c")),
    "keyword": ("norm.names=sort(é,a,reverse=true)", ("é", "a")),
}


@pytest.mark.parametrize(("text", "expected"), SWEEPS.values(), ids=SWEEPS)
def test_commas_and_brackets_keep_their_meaning(text: str, expected: tuple[Value, ...]) -> None:
    """Each element by itself is read by the grammar where it can be."""
    assert values(text) == expected


READABLE = ["a,b", "/d/a,b", "[a,b]", "{a:1}", "range(3)", "'~/a'", "a b", r"a\,b", "${a}", "1e-3", "", "null"]


@pytest.mark.parametrize("value", READABLE)
def test_what_the_grammar_reads_stays_as_it_is(value: str) -> None:
    """Hydra's reading comes first."""
    assert quoted(value, parser()) == value


MISTAKES = [
    "batch,,none",
    "batch,",
    ",batch",
    "研究,,batch",
    "range(3",
    "range(3))",
    "range(a)",
    "range(3)x",
    "rnage(3)",
    "choice(",
    "choice(~/a",
    "choice(a,,~b)",
    "[1,",
    "[~/a",
    "a]",
    "~/a]",
    "/a (1",
    "(0.1,0.2)",
    "(~a)",
    "{a:1",
    "{~a}",
    "'a",
    '"a',
    "~/it's",
    "'a'b",
    "a'b'~",
    "=0.1",
    "==~/x",
    "mine seed=3",
    "~/x data.limit=3",
    "${a",
    "${mul:${a},2}",
    "/d/(a,b)",
]


@pytest.mark.parametrize("value", MISTAKES)
def test_a_mistake_is_no_text(value: str) -> None:
    """Brackets and quotes that are open, empty places, functions that are none, two overrides in one."""
    for key in ("norm", "study", "data.root", "lr"):
        with pytest.raises(ConfigError, match="cannot read the override ") as raised:
            parse([f"{key}={value}"])
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("value", MISTAKES)
@pytest.mark.parametrize("key", ["study", "data.root", "norm.own"])
def test_a_key_of_texts_says_what_to_paste(key: str, value: str) -> None:
    """The form that a shell takes apart into an override whose value is the text as typed."""
    with pytest.raises(ConfigError, match="; quote a string: ") as raised:
        parse([f"{key}={value}"])
    (word,) = shlex.split(str(raised.value).partition("; quote a string: ")[2])
    assert values(word) == (value,)


@pytest.mark.parametrize("text", ["lr=range(3", "norm=batch,,none", "log.weights='a", "norm.affine=(true)"])
def test_no_text_is_offered_where_none_can_be(text: str) -> None:
    """A rate in quotes would be the next error."""
    with pytest.raises(ConfigError) as raised:
        parse([text])
    assert "quoted" not in str(raised.value)
