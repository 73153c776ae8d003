"""The progress of a sweep: what it says is left, and from when on."""

import pytest

from normbench.commands import terminal
from normbench.commands.terminal import SweepView
from normbench.config.sweep import expand
from normbench.training.outcome import Outcome

RUN = expand([]).runs[0]


@pytest.mark.parametrize(
    ("done", "expected", "seconds", "says"),
    [
        (0, None, 10.0, "0/400 runs, 0:10"),
        (0, 100.0, 10.0, "0/400 runs, 0:10, 1:30 left"),
        (7, None, 10.0, "7/400 runs, 0.7 runs/s, 0:10"),
        (7, 100.0, 10.0, "7/400 runs, 0.7 runs/s, 0:10, 1:30 left"),
        (7, 5.0, 10.0, "7/400 runs, 0.7 runs/s, 0:10"),
        (8, 100.0, 16.0, "8/400 runs, 0.5 runs/s, 0:16, 13:04 left"),
        (8, 100.0, 320.0, "8/400 runs, 0.025 runs/s, 5:20, 4:21:20 left"),
        (400, 100.0, 16.0, "400/400 runs, 25.0 runs/s, 0:16, 0:00 left"),
    ],
    ids=[
        "nothing",
        "estimate",
        "too few",
        "too few, estimate",
        "estimate is over",
        "by the pace",
        "slow pace",
        "all done",
    ],
)
def test_the_time_left_waits_for_a_pace(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    done: int,
    expected: float | None,
    seconds: float,
    says: str,
) -> None:
    """The first runs hold the compilation and tell no pace: until then the estimate says what is left, or nothing."""
    now = 100.0
    monkeypatch.setattr(terminal, "monotonic", lambda: now)
    view = SweepView(400, expected)
    for _ in range(done - 1):
        view.run_ended("", RUN, Outcome("finished"))
    now += seconds
    if done:
        view.run_ended("", RUN, Outcome("finished"))
    assert view._line() == says
    assert len(says) <= 78
