"""Tests of a study's logs: event files are read back with TensorBoard's own reader and compared with the tables."""

import csv
import os
import statistics
from pathlib import Path
from typing import Any

import pytest
import scipy.stats
from analysis.tables import write_regression
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.custom_scalar.layout_pb2 import Layout
from tensorboard.plugins.hparams import metadata

from normbench.dashboard.curves import tag, with_interval
from normbench.dashboard.folder import own_logs, refresh_logs, run_logs
from normbench.dashboard.logs import MOST_SETTINGS, write_logs
from normbench.dashboard.naming import NOTES, PINNED
from normbench.errors import StudyError

from .made_up import NORMS, RATES, SEEDS, STEPS, sweep, write_study


def read(folder: Path) -> Any:
    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def points(log: Any, name: str) -> dict[int, float]:
    return {point.step: point.value for point in log.Scalars(name)}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def interval(values: list[float]) -> tuple[float, float, float]:
    """Return mean and ends of the 95 % t interval, from the textbook."""
    mean = statistics.mean(values)
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
    return mean, mean - half, mean + half


def test_a_cell_has_the_mean_and_interval_of_curves_csv(tmp_path: Path) -> None:
    """Every scalar at every step, a probe's too, is what the rows of the cell's seeds give by hand."""
    study = write_study(tmp_path / "mine", sweep(), probes=("probe.gradients.slope",))
    logs = write_logs([study], tmp_path / "logs")
    assert sorted(cell.name for cell in (logs / "cells").iterdir()) == sorted(
        f"{norm}-lr{lr}" for norm in NORMS for lr in RATES
    )
    runs, curves = rows(study / "runs.csv"), rows(study / "curves.csv")
    for norm in NORMS:
        for lr in RATES:
            log = read(logs / "cells" / f"{norm}-lr{lr}")
            own = {run["run_id"] for run in runs if (run["norm"], float(run["lr"])) == (norm, lr)}
            assert len(own) == len(SEEDS)
            for column in ("train_loss", "train_accuracy", "val_loss", "val_accuracy", "probe.gradients.slope"):
                for step in STEPS:
                    values = [float(row[column]) for row in curves if row["run_id"] in own and int(row["step"]) == step]
                    found = [points(log, name)[step] for name in with_interval(tag(column))]
                    assert found == pytest.approx(interval(values))
            assert points(log, "n_runs") == dict.fromkeys(STEPS, len(SEEDS))
            assert points(log, "lr") == pytest.approx(dict.fromkeys(STEPS, lr))


def test_a_cell_is_a_session_with_its_final_means(tmp_path: Path) -> None:
    """The table of hyper-parameters has every cell, its config, and the means of runs.csv."""
    study = write_study(tmp_path / "mine", sweep())
    logs = write_logs([study], tmp_path / "logs")
    log = read(logs / "cells" / "group-lr0.5")
    content = log.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    session = metadata.parse_session_start_info_plugin_data(content)
    assert {name: session.hparams[name].string_value for name in ("norm", "model", "data")} == {
        "norm": "group",
        "model": "mlp",
        "data": "digits",
    }
    assert (session.hparams["lr"].number_value, session.hparams["batch_size"].number_value) == (0.5, 2)
    own = [row for row in rows(study / "runs.csv") if row["norm"] == "group" and row["lr"] == "0.5"]
    mean, low, high = interval([float(row["test_accuracy"]) for row in own])
    finals = {name: points(log, name)[STEPS[-1]] for name in ("test_accuracy", "test_accuracy_ci_low", "n")}
    assert finals == pytest.approx({"test_accuracy": mean, "test_accuracy_ci_low": low, "n": 3})
    assert points(log, "test_accuracy_ci_high")[STEPS[-1]] == pytest.approx(high)


def test_the_table_has_the_columns_of_the_study(tmp_path: Path) -> None:
    """What varies is there with its values, and a metric that no run has is not."""
    study = write_study(tmp_path / "mine", sweep())
    log = read(write_logs([study], tmp_path / "logs") / "overview")
    content = log.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    experiment = metadata.parse_experiment_plugin_data(content)
    columns = {info.name: [value for value in info.domain_discrete] for info in experiment.hparam_infos}
    assert columns["norm"] == ["batch", "group"]
    assert columns["lr"] == [0.1, 0.5]
    metrics = [info.name.tag for info in experiment.metric_infos]
    assert metrics[0] == "test_accuracy"
    assert "steps_to_target" not in metrics


def test_norms_stand_side_by_side_at_the_rate_that_each_seed_chose(tmp_path: Path) -> None:
    """A norm's curve is the mean over the runs with the best validation accuracy of each seed."""
    study = write_study(tmp_path / "mine", [*sweep(batch_size=2), *sweep(batch_size=32)])
    logs = write_logs([study], tmp_path / "logs")
    runs, curves = rows(study / "runs.csv"), rows(study / "curves.csv")
    assert sorted(folder.name for folder in (logs / "norms").iterdir()) == list(NORMS)
    for norm in NORMS:
        for batch_size in ("2", "32"):
            chosen: dict[str, dict[str, str]] = {}
            for run in runs:
                if (run["norm"], run["batch_size"]) == (norm, batch_size):
                    chosen[run["seed"]] = max(
                        run, chosen.get(run["seed"], run), key=lambda one: float(one["val_accuracy"])
                    )
            ids = {run["run_id"] for run in chosen.values()}
            values = [float(row["val_loss"]) for row in curves if row["run_id"] in ids and row["step"] == "20"]
            assert len(values) == len(SEEDS)
            log = read(logs / "norms" / norm)
            found = [points(log, name)[20] for name in with_interval(f"norms/val_loss/bs{batch_size}")]
            assert found == pytest.approx(interval(values))


def layout(logs: Path) -> Any:
    tensor = read(logs / "overview").Tensors("custom_scalars__config__")[0].tensor_proto
    return Layout.FromString(tensor.string_val[0])


def test_the_charts_show_tags_that_are_there(tmp_path: Path) -> None:
    """Each chart of the layout has a curve and both ends of its interval in every norm's log."""
    study = write_study(tmp_path / "mine", [*sweep(batch_size=2), *sweep(batch_size=32)])
    logs = write_logs([study], tmp_path / "logs")
    *side_by_side, single = layout(logs).category
    assert side_by_side[0].title.startswith("validation accuracy of each norm, each seed at its best lr")
    assert [len(category.chart) for category in side_by_side] == [2, 2, 2, 2]
    for folder, charts in (
        *((logs / "norms" / norm, [chart for category in side_by_side for chart in category.chart]) for norm in NORMS),
        (logs / "cells" / "batch-bs2-lr0.1", single.chart),
    ):
        log = read(folder)
        for chart in charts:
            (series,) = chart.margin.series
            assert points(log, series.lower)[10] < points(log, series.value)[10] < points(log, series.upper)[10]


def test_a_single_seed_has_a_plain_chart(tmp_path: Path) -> None:
    """One value has no interval, and a chart that waits for one would stay empty."""
    study = write_study(tmp_path / "mine", [{"norm": norm, "seed": 0} for norm in NORMS])
    logs = write_logs([study], tmp_path / "logs")
    charts = [chart for category in layout(logs).category for chart in category.chart]
    assert {chart.WhichOneof("content") for chart in charts} == {"multiline"}
    log = read(logs / "cells" / "batch")
    assert "accuracy/val" in log.Tags()["scalars"]
    assert not [name for name in log.Tags()["scalars"] if name.startswith("interval/")]


def test_figures_are_pictures(tmp_path: Path) -> None:
    """One for each number that was swept, as PNG of the size that is said."""
    study = write_study(tmp_path / "mine", [*sweep(batch_size=2), *sweep(batch_size=32)])
    log = read(write_logs([study], tmp_path / "logs") / "overview")
    names = ["batch_size", "lr, bs2", "lr, bs32"]
    assert [tag for tag in log.Tags()["tensors"] if tag.startswith("figures")] == [
        f"figures/test_accuracy over {name}" for name in names
    ]
    found = {name: log.Tensors(f"figures/test_accuracy over {name}")[0].tensor_proto.string_val for name in names}
    for width, height, png in found.values():
        assert png.startswith(b"\x89PNG")
        assert (int(width), int(height)) == (
            int.from_bytes(png[16:20], "big"),
            int.from_bytes(png[20:24], "big"),
        )


def test_diverged_runs_leave_and_failed_ones_never_enter(tmp_path: Path) -> None:
    """The number of runs behind a point is said, and the table counts what became of a cell."""
    rows_ = [{"norm": "batch", "seed": seed} for seed in range(3)]
    rows_[1]["status"], rows_[2]["status"] = "diverged", "failed"
    study = write_study(tmp_path / "mine", rows_)
    lines = (study / "curves.csv").read_text().splitlines(keepends=True)
    cut = [line for line in lines if not line.startswith(f"{1:012x},") or f",{STEPS[0]}," in line]
    (study / "curves.csv").write_text("".join(cut))
    log = read(write_logs([study], tmp_path / "logs") / "cells" / "batch")
    assert points(log, "n_runs") == {10: 2, 20: 1, 30: 1}
    assert {name: points(log, name)[30] for name in ("n", "n_diverged", "n_failed")} == {
        "n": 3,
        "n_diverged": 1,
        "n_failed": 1,
    }
    (finished, *_) = rows(study / "runs.csv")
    assert points(log, "test_accuracy_chance_imputed")[30] == pytest.approx(
        (float(finished["test_accuracy"]) + 0.1) / 2
    )


def test_a_study_in_which_every_run_failed_can_be_shown(tmp_path: Path) -> None:
    """Its cells are in the table, with nothing but their counts."""
    study = write_study(tmp_path / "mine", sweep(status="failed"))
    log = read(write_logs([study], tmp_path / "logs") / "cells" / "batch-lr0.1")
    assert log.Tags()["scalars"] == ["n", "n_failed"]


HOSTILE = {
    "markup": "<script>alert(1)</script>",
    "quotes": "'\"` \\ $x_{1$ %",
    "long": "x" * 10_000,
    "right to left": "\u202eevil\u202c \u05d0\u05d1",
    "a way out": "../../../etc",
    "a line end": "two\nlines\ttab",
    "dots": "..",
    "no letters": "///",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE)
def test_names_of_strangers_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    """Whatever a norm, a key and its value are called, there is a cell for it, beside the others."""
    study = write_study(
        tmp_path / "mine", [*sweep(), *({"norm": name, "seed": seed, "model.x": name} for seed in SEEDS)]
    )
    logs = write_logs([study], tmp_path / "logs")
    cells = list((logs / "cells").iterdir())
    assert len(cells) == 5
    assert len(list((logs / "norms").iterdir())) == 3
    assert sorted(path.name for path in logs.iterdir()) == [".notes", ".pinned", "cells", "norms", "overview"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["logs", "mine"]
    for cell in cells:
        assert cell.name.isascii() and len(cell.name) <= 80
        assert set(points(read(cell), "accuracy/val")) == set(STEPS)


def test_names_that_look_alike_are_two_cells(tmp_path: Path) -> None:
    """Also on a disk that does not tell capitals."""
    study = write_study(
        tmp_path / "mine", [{"norm": norm, "seed": 0} for norm in ("a/b", "a_b", "a?b", "Batch", "batch")]
    )
    names = [cell.name.casefold() for cell in (write_logs([study], tmp_path / "logs") / "cells").iterdir()]
    assert len(set(names)) == 5


def test_logs_are_written_once_for_the_same_tables(tmp_path: Path) -> None:
    """And again when the tables have changed, without a trace of the old ones."""
    study = write_study(tmp_path / "mine", sweep())
    logs = refresh_logs(study)
    assert logs == own_logs(study)
    before = (logs / "overview").stat().st_mtime_ns
    assert refresh_logs(study) == logs
    assert (logs / "overview").stat().st_mtime_ns == before
    other = write_study(tmp_path / "other", [{"norm": "none", "seed": 0}])
    for name in ("runs.csv", "curves.csv"):
        (study / name).write_bytes((other / name).read_bytes())
        os.utime(study / name, ns=(before + 1, before + 1))
    refresh_logs(study)
    assert [cell.name for cell in (logs / "cells").iterdir()] == ["none"]
    assert [path.name for path in logs.parent.iterdir()] == ["study"]


def test_several_studies_are_shown_as_one(tmp_path: Path) -> None:
    """Each cell bears the name of its study; a run that both have counts in each."""
    one, two = write_study(tmp_path / "one", sweep()), write_study(tmp_path / "two", sweep()[:3])
    logs = write_logs([one, two], tmp_path / "logs")
    names = {cell.name for cell in (logs / "cells").iterdir()}
    assert names == {*(f"one-{norm}-lr{lr}" for norm in NORMS for lr in RATES), "two-batch-lr0.1"}
    assert points(read(logs / "cells" / "two-batch-lr0.1"), "n_runs") == dict.fromkeys(STEPS, 3)


def test_a_run_of_the_curves_that_is_no_run_is_an_error(tmp_path: Path) -> None:
    """Two tables of different studies are not averaged together."""
    study = write_study(tmp_path / "mine", sweep())
    other = write_study(tmp_path / "other", sweep()[:3])
    (study / "runs.csv").write_bytes((other / "runs.csv").read_bytes())
    with pytest.raises(StudyError, match=r"curves\.csv has run 000000000003, which runs\.csv lacks"):
        write_logs([study], tmp_path / "logs")


def test_a_study_without_runs_is_an_error(tmp_path: Path) -> None:
    """A table of a header alone has nothing to show."""
    study = write_study(tmp_path / "mine", sweep())
    for name in ("runs.csv", "curves.csv"):
        path = study / name
        path.write_text(path.read_text().splitlines(keepends=True)[0])
    with pytest.raises(StudyError, match="no run has ended yet"):
        refresh_logs(study)


def test_the_logs_of_single_runs_are_found_the_newest_first(tmp_path: Path) -> None:
    """The logs of the cells are none of them."""
    study = write_study(tmp_path / "mine", sweep())
    refresh_logs(study)
    for place, name in enumerate(("a", "b", "c")):
        (study / "tensorboard" / name).mkdir()
        os.utime(study / "tensorboard" / name, (place, place))
    assert [log.name for log in run_logs(study)] == ["c", "b", "a"]


def test_only_so_many_settings_get_charts(tmp_path: Path) -> None:
    """The page stays quick; the cells have all."""
    count = MOST_SETTINGS + 1
    study = write_study(tmp_path / "mine", [{"norm": "batch", "seed": 0, "batch_size": 2 + n} for n in range(count)])
    logs = write_logs([study], tmp_path / "logs")
    assert len(layout(logs).category[0].chart) == MOST_SETTINGS
    assert len(list((logs / "cells").iterdir())) == count
    about = read(logs / "overview").Tensors("about")[0].tensor_proto.string_val[0].decode()
    assert f"1 of {count} settings have no chart" in about


def test_only_so_many_cells_are_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each norm as many, those with the best validation accuracy, and it is said."""
    monkeypatch.setattr("normbench.dashboard.logs.MOST_CELLS", 4)
    study = write_study(
        tmp_path / "mine", [{"norm": norm, "seed": 0, "lr": 0.1 + n} for norm in NORMS for n in range(5)]
    )
    logs = write_logs([study], tmp_path / "logs")
    expected = set()
    for norm in NORMS:
        own = [row for row in rows(study / "runs.csv") if row["norm"] == norm]
        own.sort(key=lambda row: -float(row["val_accuracy"]))
        expected |= {f"{norm}-lr{row['lr']}" for row in own[:2]}
    assert {cell.name for cell in (logs / "cells").iterdir()} == expected
    assert (logs / NOTES).read_text().startswith("4 of 10 cells are shown")


def test_a_task_without_accuracy_is_shown_by_its_own_metrics(tmp_path: Path) -> None:
    """Tags, charts, the table's columns and the figures are those that its runs have; the cells kept are its best."""
    study = write_regression(tmp_path / "curve")
    logs = write_logs([study], tmp_path / "logs")
    assert (logs / PINNED).read_text().split() == ["r2/val", "loss/val"]
    tags = read(logs / "cells" / "batch-lr0.1").Tags()["scalars"]
    assert {"r2/val", "mse/train", "interval/r2/val_low", "test_r2", "test_r2_ci_low", "test_mse_precise"} <= set(tags)
    assert not [name for name in tags if "accuracy" in name]
    lost = read(logs / "cells" / "none-lr8")
    assert points(lost, "test_r2_chance_imputed") == {0: 0.0}
    overview = read(logs / "overview")
    content = overview.SummaryMetadata(metadata.EXPERIMENT_TAG).plugin_data.content
    found = [info.name.tag for info in metadata.parse_experiment_plugin_data(content).metric_infos]
    assert found[:4] == ["test_r2", "test_r2_ci_low", "test_r2_ci_high", "test_r2_chance_imputed"]
    assert [name for name in overview.Tags()["tensors"] if name.startswith("figures")] == ["figures/test_r2 over lr"]
    titles = [category.title.split(" of ")[0] for category in layout(logs).category[:-1]]
    assert titles == [f"{part} {name}" for part in ("validation", "training") for name in ("r2", "loss")] + [
        "training mse",
        "validation mse",
    ]


def test_the_cells_kept_are_the_best_by_the_first_metric(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lowest error, not the highest number."""
    monkeypatch.setattr("normbench.dashboard.logs.MOST_CELLS", 1)
    study = write_study(tmp_path / "mine", [{"norm": "batch", "seed": 0, "lr": lr} for lr in (0.1, 0.2, 0.4)])
    runs = rows(study / "runs.csv")
    for run, error in zip(runs, (2.0, 0.5, 3.0), strict=True):
        run |= {"val_mse": str(error)} | {name: "" for name in run if "accuracy" in name}
    with (study / "runs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(runs[0]))
        writer.writeheader()
        writer.writerows(runs)
    logs = write_logs([study], tmp_path / "logs")
    assert [cell.name for cell in (logs / "cells").iterdir()] == ["batch-lr0.2"]
    assert (
        (logs / NOTES)
        .read_text()
        .startswith("1 of 3 cells are shown: for each norm those with the best validation mse")
    )
