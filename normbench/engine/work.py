"""A pack still to be trained, and the data that its runs need."""

from collections.abc import Mapping
from dataclasses import dataclass

from normbench.data import Examples, load
from normbench.errors import ConfigError, DataError, NormbenchError, described, lacks_memory
from normbench.plan import Pack
from normbench.spec import Component, Requested
from normbench.training.components import resolve_target


@dataclass(frozen=True, slots=True)
class Work:
    """A pack still to be trained.

    Attributes:
        block: Number of the block of the plan that holds it.
        index: Its place in the block, from 0.
        pack: Its runs and mode.
        runs: Its runs by run_id.
    """

    block: int
    index: int
    pack: Pack
    runs: Mapping[str, Requested]


def load_data(data: Component) -> Examples:
    """Return the data set of a component; loaded once per process.

    Raises:
        DataError: If it is missing or unreadable.
        ConfigError: If the user's own loader cannot be found, or raises an exception.
    """
    loader = None if data.target is None else resolve_target(data.target, "data")
    try:
        return load(data.name, data.args, loader=loader)
    except NormbenchError:
        raise
    except Exception as error:
        if lacks_memory(error):
            raise DataError(f"data={data.name} does not fit into memory: {described(error)}.") from error
        if data.target is None:
            raise
        raise ConfigError(f"data._target_={data.target}: {described(error)}") from error
