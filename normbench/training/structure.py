"""What runs must share to be trained together, and the key of their compiled step."""

import json
from dataclasses import replace

from normbench.source import source_hash
from normbench.spec import Run
from normbench.tasks import Task
from normbench.training.optimizers import VARYING
from normbench.training.setup import Setup


def structure(run: Run, content: str = "") -> str:
    """Return what runs must share to train together: all but seed, rate and numbers that do not affect the graph.

    Args:
        run: The run.
        content: Content hash of its data; not needed for runs that are known to share their data.
    """
    model = dict(run.model.args)
    # In a user's model these may mean anything.
    for key in ("init_scale", "bias_init") if run.model.source is None else ():
        if key in model:
            model[key] = None
    if model.get("dropout") and run.model.source is None:
        model["dropout"] = None
    optimizer = {key: value for key, value in run.optimizer.args.items() if key not in VARYING}
    data = {key: value for key, value in run.data.args.items() if key != "label_noise"}
    common = replace(
        run,
        seed=0,
        lr=0.0,
        model=replace(run.model, args=model),
        optimizer=replace(run.optimizer, args=optimizer),
        data=replace(run.data, args=data),
    )
    return json.dumps({**common.as_dict(), "content": content}, sort_keys=True)


def graph_of(run: Run, task: Task) -> str:
    """Return what determines the operations of a step of such runs, apart from the shapes of its tensors."""
    parts = json.loads(structure(run))
    # In a notebook, a user may redefine a part under the same name.
    own = [source_hash(part.source) for part in (run.task, run.model, run.norm) if part.source is not None]
    names = ("task", "model", "norm", "optimizer", "norm_batch_size", "precision")
    return json.dumps([task.key, *(parts[name] for name in names), *own])


def is_own_code(setup: Setup) -> bool:
    """Return whether all code of a step is normbench's or torch's, so that versions and sources identify it.

    Even a model of torch modules only may be built by somebody else's function.
    """
    run = setup.run
    packages = {type(part).__module__.partition(".")[0] for part in (setup.task, *setup.model.modules())}
    named = [part.source for part in (run.task, run.model, run.norm) if part.source is not None]
    return not named and packages <= {"normbench", "torch"}
