"""The places where packs can train, by the name that `engine.name` chooses."""

from normbench.engine.places.local import Local
from normbench.engine.places.place import Site
from normbench.engine.places.ray import Ray
from normbench.engine.places.slurm import Slurm
from normbench.engine.places.slurm_queue import job_runs as job_runs
from normbench.engine.places.slurm_queue import job_state as job_state
from normbench.spec import Engine

PLACES: dict[str, Site] = {"local": Local(), "ray": Ray(), "slurm": Slurm()}


def place_of(engine: Engine) -> Site:
    """Return the place that the settings choose."""
    return PLACES[engine.name]
