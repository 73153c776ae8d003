"""Every performance figure of normbench: what is compared with what, and its target."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from statistics import median
from time import perf_counter

import torch

from measure import plain, plain_pictures, plain_sequences
from measure.command import Timed, new_place
from measure.figure import Figure, Setting, Target
from measure.made_up import MERGE, make_up

RATES = "lr=0.001,0.002,0.004,0.007,0.012,0.02,0.035,0.06,0.1"
"""Nine rates at which hardly a run of these sweeps diverges: a diverged run ends early and would flatter the figure."""

PER_RUN = 3
"""Plain runs that are timed for each sweep."""


def _sweep(
    name: str,
    work: str,
    setting: Setting,
    overrides: Sequence[str],
    *,
    runs: int,
    plain_run: Callable[[], float],
    plain_runs: int = PER_RUN,
    targets: tuple[float, float | None],
) -> Iterator[Figure]:
    """Time a sweep and plain runs in pairs: with a cold compile cache, then again with the warm cache."""
    warm = Figure(name, f"{work}, warm cache", Target("times faster", targets[0]), runs)
    cold = Figure(name, f"{work}, cold cache", Target("times faster", targets[1]), runs)
    for _ in range(setting.pairs):
        with new_place() as place:
            for figure in (cold, warm):
                one = median(plain_run() for _ in range(plain_runs))
                figure.plain_runs_timed += plain_runs
                timed = place.train(*overrides)
                figure.add(one, timed.from_first_step)
                figure.note = _note(timed, runs)
    yield from (warm, cold)


def _note(timed: Timed, runs: int) -> str:
    odd = [f"{count} {status}" for status, count in timed.runs.items() if status != "finished"]
    total = sum(timed.runs.values())
    assert total == runs, f"{total} rows of {runs} runs"
    return ", ".join([f"whole command {timed.seconds:.1f} s", *odd])


def _mlp(batch_size: int, epochs: int, *targets: float) -> Callable[[Setting], Iterator[Figure]]:
    def measure(setting: Setting) -> Iterator[Figure]:
        seeds, passes = setting.of(10, 2), setting.of(epochs, 1)
        rates = setting.of(9, 2)
        data = plain.digits()
        steps = 1258 // batch_size * passes
        yield from _sweep(
            f"mlp{batch_size}",
            f"MLP 3x128, digits, batch {batch_size}, {passes} epochs, {rates} rates x {seeds} seeds of batch norm",
            setting,
            [_rates(rates), f"seed=range({seeds})", f"batch_size={batch_size}", f"epochs={passes}"],
            runs=rates * seeds,
            plain_run=lambda: plain.train(plain.mlp, data, batch_size=batch_size, steps=steps),
            targets=(targets[0], targets[1] if len(targets) > 1 else None),
        )

    return measure


def _rates(count: int) -> str:
    return ",".join(RATES.split(",")[:count])


def resnet_digits(setting: Setting) -> Iterator[Figure]:
    """Measure a sweep of small residual networks."""
    rates, seeds, steps = setting.of(9, 2), setting.of(10, 1), setting.of(629, 20)
    data = plain.digits()
    yield from _sweep(
        "resnet_digits",
        f"ResNet-8, digits 8x8, batch 2, {steps} steps, {rates} rates x {seeds} seeds of batch norm",
        setting,
        ["model=resnet", "model.depth=8", _rates(rates), f"seed=range({seeds})", "batch_size=2", f"steps={steps}"],
        runs=rates * seeds,
        plain_run=lambda: plain.train(lambda: plain.resnet8(1), data, batch_size=2, steps=steps),
        targets=(5, None),
    )


def _sequences(
    name: str, model: str, plain_model: Callable[[], torch.nn.Module]
) -> Callable[[Setting], Iterator[Figure]]:
    def measure(setting: Setting) -> Iterator[Figure]:
        rates, seeds, steps = setting.of(4, 2), setting.of(12, 1), setting.of(400, 20)
        data = plain.digits()
        yield from _sweep(
            name,
            f"{model} of width 32, 8 rows of a digit, batch 32, {steps} steps, {rates} rates x {seeds} seeds, LN",
            setting,
            [
                *("task=sequence_classification", f"model={model}", "norm=layer", f"steps={steps}"),
                *(_rates(rates), f"seed=range({seeds})"),
            ],
            runs=rates * seeds,
            plain_run=lambda: plain.train(plain_model, data, batch_size=32, steps=steps),
            targets=(2, None),
        )

    return measure


def resnet_cifar(setting: Setting) -> Iterator[Figure]:
    """Measure twelve residual networks on real images; they train solo, so nothing is compiled."""
    figure = Figure("resnet_cifar", "ResNet-8, CIFAR-10 32x32, batch 32, 12 runs", Target("times faster", 2.8), 12)
    if setting.cifar is None:
        figure.note = "not run: needs --cifar ROOT, a folder of images in train/ and test/ with a folder a class each"
        yield figure
        return
    images, epochs = setting.of(5000, 200), setting.of(5, 1)
    data = plain.image_folder(setting.cifar, images * 9 // 10)
    figure.work += f", {epochs} epochs of {len(data[0])} images"
    overrides = ["data=image_folder", f"data.root={setting.cifar}", f"data.limit={images}", "batch_size=32"]
    overrides += ["model=resnet", "model.depth=8", "lr=0.01,0.03,0.1", "seed=range(4)", f"epochs={epochs}"]
    with new_place() as place:
        place.python("-m", "normbench", "plan", "-m", *overrides)  # decodes the images
        for _ in range(setting.pairs):
            one = plain.train(lambda: plain.resnet8(3), data, batch_size=32, steps=len(data[0]) // 32 * epochs)
            timed = place.train(*overrides)
            figure.add(one, timed.from_first_step)
            figure.plain_runs_timed += 1
            figure.note = _note(timed, 12)
    yield figure


def fcn_scenes(setting: Setting) -> Iterator[Figure]:
    """Measure networks that classify each pixel; they train solo, so nothing is compiled."""
    seeds, steps, scenes = setting.of(4, 2), setting.of(200, 4), setting.of(1000, 100)
    work = f"FCN of width 8, scenes 64x64, batch 16, {steps} steps, 2 rates x {seeds} seeds of batch norm"
    figure = Figure("fcn_scenes", work, Target("times faster", None), 2 * seeds)
    data = plain_pictures.noise(scenes * 7 // 10)
    overrides = ["task=segmentation", "model=fcn", f"data.num_scenes={scenes}", "optimizer=sgd", "schedule=constant"]
    overrides += [_rates(2), f"seed=range({seeds})", f"steps={steps}"]
    with new_place() as place:
        for _ in range(setting.pairs):
            one = plain.train(plain_pictures.FCN, data, batch_size=16, steps=steps)
            timed = place.train(*overrides)
            figure.add(one, timed.from_first_step)
            figure.plain_runs_timed += 1
            figure.note = _note(timed, 2 * seeds)
    yield figure


def solo_step(setting: Setting) -> Iterator[Figure]:
    """Measure a step of one run in this process: the slope between a long and a short run of one evaluation each."""
    from normbench.config.sweep import expand
    from normbench.engine.work import load_data
    from normbench.training.solo import train

    short, long = setting.of(500, 50), setting.of(2500, 150)
    work = "one step of a solo run between evaluations, MLP, batch 32"
    figure = Figure("solo_step", work, Target("times as long", 1.05))
    data = plain.digits()
    device = torch.device("cpu")

    def normbench(steps: int) -> float:
        (run,) = expand([f"steps={steps}", f"eval_every={steps}", "lr=0.01"]).runs
        dataset = load_data(run.data)
        start = perf_counter()
        train(run, dataset, device=device)
        return perf_counter() - start

    def loop(steps: int) -> float:
        return plain.train(plain.mlp, data, batch_size=32, steps=steps)

    normbench(short)
    for _ in range(setting.pairs * 3):
        one, own = ((timed(long) - timed(short)) / (long - short) for timed in (loop, normbench))
        figure.add(one, own)
        figure.plain_runs_timed += 2
    yield figure


def solo_run(setting: Setting) -> Iterator[Figure]:
    """Measure a single run with all that it logs."""
    epochs = setting.of(400, 10)
    work = f"one solo run of {epochs} epochs, MLP, batch 32, all logging"
    figure = Figure("solo_run", work, Target("times as long", 1.25))
    data = plain.digits()
    with new_place() as place:
        for _ in range(setting.pairs):
            one = plain.train(plain.mlp, data, batch_size=32, steps=1258 // 32 * epochs)
            timed = place.train("lr=0.01", f"epochs={epochs}", multirun=False)
            figure.add(one, timed.from_first_step)
            figure.plain_runs_timed += 1
            figure.note = _note(timed, 1)
    yield figure


def small_batch(setting: Setting) -> Iterator[Figure]:
    """Measure the whole study of small batches, start-up included."""
    norms = ("batch", "layer", "group", "none")[: setting.of(4, 2)]
    sizes = (2, 4, 8, 16, 32, 128)[-setting.of(6, 2) :]
    rates, seeds, epochs = setting.of(9, 2), setting.of(10, 2), setting.of(5, 1)
    runs = len(norms) * len(sizes) * rates * seeds
    work = f"small-batch study of {runs} runs, {epochs} epochs, whole command"
    warm = Figure("small_batch", f"{work}, warm cache", Target("seconds", 180), runs)
    cold = Figure("small_batch", f"{work}, cold cache", Target("seconds", None), runs)
    data = plain.digits()
    overrides = [
        f"norm={','.join(norms)}", f"batch_size={','.join(map(str, sizes))}", _rates(rates), f"seed=range({seeds})",
        f"epochs={epochs}",
    ]  # fmt: skip
    with new_place() as place:
        for figure in (cold, warm):
            times = [
                plain.train(partial(plain.mlp, norm), data, batch_size=size, steps=1258 // size * epochs)
                for norm in norms
                for size in sizes
            ]
            timed = place.train(*overrides)
            # Each pair of norm and batch size has as many runs as every other.
            figure.add(sum(times) / len(times), timed.seconds)
            figure.plain_runs_timed = len(times)
            figure.note = _note(timed, runs)
    yield from (warm, cold)


def startup(setting: Setting) -> Iterator[Figure]:
    """Measure the time to the first step, compared with a plain script."""
    single = Figure("startup", "start-up: command to the end of a run of one step", Target("times as long", 1.2))
    sweep = Figure("startup", "start-up: the same, first of two runs of a sweep", Target("times as long", 1.2))
    with new_place() as place:
        for _ in range(setting.pairs):
            for figure in (single, sweep):
                start = time.time()
                one = float(place.python("-c", plain.SCRIPT)) - start
                more = [] if figure is single else ["seed=0,1"]
                timed = place.train("steps=1", *more, multirun=figure is sweep)
                figure.add(one, timed.to_first_step)
                figure.plain_runs_timed += 1
    yield from (single, sweep)


EXPAND = """
import sys, time
start = time.perf_counter()
from normbench.config.sweep import expand
count = len(expand(sys.argv[1:], multirun=True).runs)
print(count, time.perf_counter() - start)
"""


def plan(setting: Setting) -> Iterator[Figure]:
    """Measure the planning of many runs."""
    seeds = setting.of(50, 2)
    runs = 200 * seeds
    rates = ",".join(str(n / 100) for n in range(1, 11))
    axes = ["norm=batch,layer,group,none", "batch_size=2,4,8,16,32", f"lr={rates}", f"seed=range({seeds})"]
    work = f"planning {runs:,} runs"
    whole = Figure("plan", f"{work}, whole command", Target("seconds", 3), runs)
    expand = Figure("plan", f"{work}, composing and expanding alone, imports included", Target("seconds", 3), runs)
    with new_place() as place:
        for _ in range(setting.pairs):
            start = time.perf_counter()
            place.python("-m", "normbench", "plan", "-m", *axes)
            whole.add(None, time.perf_counter() - start)
            count, seconds = place.python("-c", EXPAND, *axes).split()
            assert int(count) == runs
            expand.add(None, float(seconds))
    yield from (whole, expand)


def merge(setting: Setting) -> Iterator[Figure]:
    """Measure writing the tables of a large study."""
    runs = setting.of(100_000, 1_000)
    work = f"merging and aggregating {runs:,} runs"
    seconds = Figure("merge", work, Target("seconds", 10), runs)
    memory = Figure("merge", f"{work}, peak memory with torch loaded", Target("bytes", 1e9), runs)
    with new_place() as place:
        study = make_up(place.folder / "results" / "made_up", runs)
        for _ in range(setting.pairs):
            _, spent, peak = place.python("-c", MERGE, str(study.folder)).split()
            seconds.add(None, float(spent))
            memory.add(None, float(peak))
    yield from (seconds, memory)


def places(setting: Setting) -> Iterator[Figure]:
    """Measure what a pack costs besides its training: tiny ones on this machine, in Ray and in the Slurm at hand."""
    runs = setting.of(200, 4)
    work = f"{runs} packs of one run of 20 steps, whole command"
    overrides = [f"seed=range({runs})", "steps=20", "model.width=8", "model.depth=1", "engine.mode=solo"]
    here = Figure("places", f"{work}, engine=local", Target("seconds", None), runs)
    with new_place() as place:
        for _ in range(setting.pairs):
            here.add(None, place.train(*overrides).seconds)
        yield here
        for name in ("ray", "slurm"):
            figure = Figure("places", f"{work}, engine={name}", Target("seconds", None), runs)
            if name == "slurm" and shutil.which("sbatch") is None:
                figure.note = "not run: needs a Slurm"
                yield figure
                continue
            for _ in range(setting.pairs):
                figure.add(None, place.train(*overrides, f"engine={name}").seconds)
            assert figure.normbench is not None and here.normbench is not None
            figure.note = f"{(figure.normbench - here.normbench) / runs:.3g} s a pack more than engine=local"
            yield figure


FIGURES: dict[str, Callable[[Setting], Iterator[Figure]]] = {
    "mlp2": _mlp(2, 5, 20, 5),
    "mlp32": _mlp(32, 20, 10),
    "mlp256": _mlp(256, 100, 2.5),
    "resnet_digits": resnet_digits,
    "rnn_rows": _sequences("rnn_rows", "rnn", plain_sequences.LayerNormLSTM),
    "encoder_rows": _sequences("encoder_rows", "transformer", plain_sequences.Encoder),
    "resnet_cifar": resnet_cifar,
    "fcn_scenes": fcn_scenes,
    "solo_step": solo_step,
    "solo_run": solo_run,
    "small_batch": small_batch,
    "startup": startup,
    "plan": plan,
    "merge": merge,
    "places": places,
}
