"""Runs on two ranks, started as `engine.ranks=2` starts them: what they leave, and how they end."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest
import torch
import torch.distributed as dist
from commands import Command
from torch import Tensor

from normbench.engine.ranks import RankError, joined
from normbench.engine.work import load_data
from normbench.ranks import ALONE
from normbench.training.outcome import Evaluation, Outcome
from normbench.training.setup import Setup
from normbench.training.solo import train

from .sessions import FAILING_RANK, plan, run

CPU = torch.device("cpu")
SMALL = ("model.dropout=0.2", "model.width=16", "steps=6", "eval_every=2")


class AtFirst:
    """An observer that acts at the first evaluation."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.act = act

    def started(self, setup: Setup) -> None:
        """Do nothing."""

    def evaluated(self, evaluation: Evaluation, grads: Mapping[str, Tensor]) -> None:
        """Act once."""
        if evaluation.step == 1:
            self.act()

    def ended(self, outcome: Outcome) -> None:
        """Do nothing."""


def train_two(act: Callable[[], None] = lambda: None, *overrides: str, steps: int = 100_000) -> Outcome:
    """Train a run on two ranks, and act after its first step."""
    session = plan(f"steps={steps}", "eval_every=1", "engine.ranks=2", *overrides, multirun=False)
    (one,) = session.plan.runs.values()
    (pack,) = session.packs
    with joined(one, pack, CPU) as ranks:
        return train(one.run, load_data(one.data), device=CPU, observers=[AtFirst(act)], ranks=ranks)


def others() -> list[int]:
    """Return the ids of the processes that follow this one."""
    return [process.pid for process in multiprocessing.active_children() if process.pid is not None]


def test_a_run_on_two_ranks_is_the_run_alone() -> None:
    """It has the same id and, to rounding, the same scores; the plan says how it is divided."""
    shared = run(*SMALL, "engine.ranks=2", "study=shared", "engine.mode=auto")
    alone = run(*SMALL, "study=alone")
    assert list(shared.plan.runs) == list(alone.plan.runs)
    (pack,) = shared.study.blocks()[0].packs
    assert (pack["mode"], pack["ranks"]) == ("solo", 2)
    assert pack["reason"] == "engine.ranks=2 divides each batch among 2 processes; one thread"
    numbers = ["train_loss", "val_loss", "test_loss", "test_accuracy", "test_accuracy_precise", "test_accuracy_batch"]
    pd.testing.assert_frame_equal(shared.rows()[numbers], alone.rows()[numbers], rtol=1e-4)
    assert others() == []


def test_a_run_in_one_process_starts_none() -> None:
    """One rank is this process."""
    session = plan(*SMALL, multirun=False)
    with joined(next(iter(session.plan.runs.values())), session.packs[0], CPU) as ranks:
        assert ranks is ALONE
        assert others() == []


def test_a_rank_that_is_killed_ends_the_run() -> None:
    """Rank 0 sees its connection close, and says what happened."""
    with pytest.raises(RankError, match=r"^rank 1 of 2 was killed by signal 9$"):
        train_two(lambda: os.kill(others()[0], signal.SIGKILL))
    assert others() == []


def test_a_warning_of_slurm_ends_no_rank() -> None:
    """Before a job's time limit all its processes get the signal, which would kill them."""
    outcome = train_two(lambda: os.kill(others()[0], signal.SIGUSR2), steps=5)
    assert outcome.status == "finished"


def test_a_rank_that_does_not_answer_ends_the_run() -> None:
    """A stopped process is waited for until the time limit, which is shorter here once both have started."""

    def stop() -> None:
        dist.set_timeout(timedelta(seconds=2))
        os.kill(others()[0], signal.SIGSTOP)

    with pytest.raises(RankError, match=r"^a rank did not answer within 300 s$"):
        train_two(stop)
    assert others() == []


def test_an_error_of_a_rank_is_told(here: Path) -> None:
    """The message of the rank that failed stands in the error, not that of the one which lost its connection."""
    (here / "failing.py").write_text(FAILING_RANK)
    with pytest.raises(RankError, match=r"^rank 1 of 2: RuntimeError: no luck \(.*failing\.py, line 7\)$"):
        train_two(lambda: None, "norm._target_=failing.Failing", "norm.name=failing")


def test_a_rank_that_never_joins_is_not_waited_for(here: Path) -> None:
    """A process that ends while it loads its data ends the run at once."""
    (here / "ending.py").write_text(
        "import multiprocessing, os\nfrom normbench.data.digits import digits\n\n"
        "def loaded(**args):\n"
        "    if multiprocessing.parent_process():\n"
        "        os._exit(3)\n"
        "    return digits(**args)\n"
    )
    with pytest.raises(RankError, match=r"^rank 1 of 2 ended with exit code 3$"):
        train_two(lambda: None, "data._target_=ending.loaded", "data.name=ending")


OWN = """
import torch
from torch import nn
from normbench.norms.statistics import BatchStatistics, Normalized

class Plain(nn.BatchNorm1d):
    pass

class Centred(nn.Identity):
    def forward(self, x):
        return x - x.mean(0)

class Random(nn.Dropout):
    def __init__(self, num_features):
        super().__init__(0.5)

class Mine(BatchStatistics):
    def __init__(self, num_features):
        super().__init__(num_features, momentum=0.1, track_running_stats=True, norm_batch_size=None)

    def by_batch(self, x, norm_batch_size):
        return Normalized(x, x.mean(0)[None], x.var(0)[None])

    def by_running(self, x):
        return x
"""

REFUSED = {
    "batch": (["batch_size=33"], "engine.ranks=2 does not divide batch_size=33."),
    "ghost batches": (
        ["engine.ranks=4", "batch_size=24", "norm_batch_size=8"],
        "engine.ranks=4: a rank has 6 of the 24 samples of a batch, and norm_batch_size=8 is neither a divisor nor a "
        "multiple of that.",
    ),
    "mode": (["engine.mode=stacked"], "engine.ranks=2 divides each run among processes: engine.mode=stacked is not"),
    "device": (["engine.device=mps"], "engine.device=mps: this machine has no MPS device."),
    "number": (["engine.ranks=0"], "engine.ranks: got 0, expected an integer of at least 1"),
    "statistics": (["norm._target_=refused.Mine"], "engine.ranks=2: Mine has batch statistics that ranks do not"),
    "torch's norm": (["norm._target_=refused.Plain"], "engine.ranks=2: Plain of model=mlp keeps statistics that ranks"),
    "samples": (["norm._target_=refused.Centred"], "engine.ranks=2: norm=own or a layer of model=mlp lets samples"),
    "random numbers": (["norm._target_=refused.Random"], "engine.ranks=2: model=mlp draws random numbers in its"),
}


@pytest.mark.parametrize(("overrides", "message"), REFUSED.values(), ids=REFUSED)
def test_what_ranks_cannot_share_is_refused(
    overrides: list[str], message: str, normbench: Command, tmp_path: Path
) -> None:
    """One line and exit code 2 before anything is written."""
    (tmp_path / "refused.py").write_text(OWN)
    own = ["norm.name=own"] if "_target_" in overrides[0] else []
    ranks = [] if overrides[0].startswith("engine.ranks") else ["engine.ranks=2"]
    result = normbench("train", *overrides, *own, *ranks)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith(f"normbench: {message}") and len(result.err.splitlines()) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(("device", "gpus", "message"), [("cuda", 1, "machine has 1"), ("cuda:1", 2, "use cuda")])
def test_each_rank_needs_a_gpu(device: str, gpus: int, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """More ranks than GPUs, or a single GPU by name, are refused."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(ValueError, match=f"engine.ranks=2 needs a GPU for each rank: .*{message}"):
        plan("engine.ranks=2", f"engine.device={device}")


def test_the_plan_names_the_ranks(normbench: Command) -> None:
    """`plan` shows the packs and why."""
    result = normbench("plan", "-m", "engine.ranks=2", "norm=batch,none", "steps=3")
    assert result.code == 0
    assert "engine.ranks=2 divides each batch among 2 processes" in result.out
