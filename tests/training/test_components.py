import pytest

from normbench.errors import ConfigError
from normbench.spec import Component
from normbench.training.components import find, make, resolve_target

KNOWN = {"pair": lambda *parts, **args: (parts, args), "one": lambda part: part}


def test_a_shipped_component_is_found_by_its_name() -> None:
    """It is the entry of the registry itself."""
    assert find(Component("one", {}), KNOWN, "norm") is KNOWN["one"]


def test_a_users_component_is_found_by_its_path() -> None:
    """Its own name may be that of a shipped one."""
    assert find(Component("one", {}, "collections.Counter"), KNOWN, "norm") is resolve_target(
        "collections.Counter", "norm"
    )


def test_an_unknown_name_is_refused() -> None:
    """The message names the group and the nearest known name."""
    with pytest.raises(ConfigError, match="unknown norm 'pears'; did you mean 'pair'"):
        find(Component("pears", {}), KNOWN, "norm")


def test_arguments_may_have_any_name() -> None:
    """A component gets its parts by place and its arguments by name, whatever the names are."""
    args = {"group": 1, "component": 2, "registry": 3}
    assert make(Component("pair", {}), KNOWN, "norm", "data", **args) == (("data",), args)


def test_a_wrong_argument_is_named() -> None:
    """With the choice that does not take it."""
    with pytest.raises(ConfigError, match=r"^norm=one: .*'depth'"):
        make(Component("one", {}), KNOWN, "norm", "data", depth=3)


def test_what_cannot_be_called_is_refused() -> None:
    """A dotted path has to lead to a class or function."""
    with pytest.raises(ConfigError, match=r"^norm\._target_=math\.pi: not a class or function\.$"):
        resolve_target("math.pi", "norm")
