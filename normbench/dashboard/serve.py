"""TensorBoard for studies: comparing their cells, and the logs of single runs."""

import errno
import json
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import ModuleType
from urllib.parse import quote

from tensorboard import program
from tensorboard.data import server_ingester
from tensorboard.plugins.core.core_plugin import CorePluginLoader
from tensorboard.plugins.custom_scalar.custom_scalars_plugin import CustomScalarsPlugin
from tensorboard.plugins.distribution.distributions_plugin import DistributionsPlugin
from tensorboard.plugins.histogram.histograms_plugin import HistogramsPlugin
from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin
from tensorboard.plugins.image.images_plugin import ImagesPlugin
from tensorboard.plugins.metrics.metrics_plugin import MetricsPlugin
from tensorboard.plugins.scalar.scalars_plugin import ScalarsPlugin
from tensorboard.plugins.text.text_plugin import TextPlugin

from normbench.dashboard.folder import own_logs, refresh_logs, run_logs
from normbench.dashboard.naming import NOTES, PINNED
from normbench.errors import ConfigError, StudyError
from normbench.record.files import make_folder
from normbench.record.lock import Say

MOST_RUN_LOGS = 100
"""Logs of single runs that are shown: beyond some 250 runs TensorBoard is sluggish."""

PORT = 6006
"""TensorBoard's default; if it is in use and was not asked for, the next free one is used."""

# No others: the projector and the debugger would import or open what a study names.
_PLUGINS = (
    CorePluginLoader(include_debug_info=False),
    MetricsPlugin,
    ScalarsPlugin,
    CustomScalarsPlugin,
    ImagesPlugin,
    DistributionsPlugin,
    HistogramsPlugin,
    TextPlugin,
    HParamsPlugin,
)

# TensorBoard's own switch: otherwise it imports TensorFlow if installed, which takes seconds.
sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))


def serve(studies: Sequence[Path], *, host: str, port: int | None, say: Say) -> None:
    """Show studies in TensorBoard until the user stops it.

    Args:
        studies: The studies; several are shown as one, as `normbench aggregate` does.
        host: Name or address to listen on.
        port: 0 takes a free one, None 6006 or the next free one.
        say: Called with each message, such as the addresses.

    Raises:
        ConfigError: If listening there is not allowed, or the port is in use.
        StudyError: If a study is damaged or empty.
    """
    if port:
        _check_free(host, port)
    with _polite_kill(), tempfile.TemporaryDirectory(prefix="normbench-") as folder:
        shown = Path(folder) / "shown"
        shown.mkdir()
        pinned = _fill(shown, studies, Path(folder) / "made", say)
        address = _launch(shown, host, port)
        with suppress(KeyboardInterrupt):
            for what, where in _pages(address, pinned):
                say(f"{what:<20}{where}")
            say("Ctrl-C stops it")
            threading.Event().wait()


def _check_free(host: str, port: int) -> None:
    """Raise if a server could not listen."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with closing(socket.socket(family, kind)) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(f"--port {port} is in use on {host}: --port 0 picks a free one.") from error
        raise ConfigError(f"cannot listen on {host}, port {port}: {error.strerror}.") from error


def _fill(shown: Path, studies: Sequence[Path], elsewhere: Path, say: Say) -> list[str]:
    """Fill a temporary folder with links to what is shown, so that a read-only study can be shown too.

    Returns:
        The tags of the curves that come first.
    """
    logs = _logs(studies, elsewhere).resolve()
    for note in (logs / NOTES).read_text(encoding="utf-8").splitlines():
        say(note)
    for name in ("cells", "norms", "overview"):
        (shown / name).symlink_to(logs / name)
    single = [log for study in studies for log in run_logs(study)]
    (shown / "runs").mkdir()
    for log in {log.name: log.resolve() for log in single[:MOST_RUN_LOGS]}.values():
        (shown / "runs" / log.name).symlink_to(log)
    if len(single) > MOST_RUN_LOGS:
        say(f"{MOST_RUN_LOGS} of {len(single)} logs of single runs are shown; tensorboard --logdir shows the others.")
    return (logs / PINNED).read_text(encoding="utf-8").splitlines()


def _logs(studies: Sequence[Path], elsewhere: Path) -> Path:
    """Return the logs of the cells: a study's own; for several studies or a read-only one, written to `elsewhere`."""
    if len(studies) == 1 and _is_writable(own_logs(studies[0]).parent):
        return refresh_logs(studies[0])
    from normbench.dashboard.logs import write_logs

    return write_logs(studies, elsewhere)


def _is_writable(folder: Path) -> bool:
    try:
        make_folder(folder)
    except StudyError:
        return False
    return True


def _launch(logdir: Path, host: str, port: int | None) -> str:
    """Start TensorBoard in a thread, and return its address."""
    board = program.TensorBoard(plugins=list(_PLUGINS))
    fast = {"load_fast": "true" if _has_data_server() else "false"}
    board.configure(argv=("normbench",), logdir=str(logdir), host=host, port=port, reuse_port=False, **fast)
    try:
        return str(board.launch())
    except program.TensorBoardServerException as error:
        raise ConfigError(f"cannot listen on {host}: {error.msg}") from error


def _has_data_server() -> bool:
    """Return whether TensorBoard can read logs in a separate process, which is many times faster."""
    try:
        server_ingester.get_server_binary()
    except server_ingester.NoDataServerError:
        return False
    return True


def _pages(address: str, pinned: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and address of each page; curves are not smoothed."""
    colors = quote("regex:^(?:cells|norms)/([^-]+)")
    pins = quote(json.dumps([{"plugin": "scalars", "tag": name} for name in pinned]))
    yield "cells", f"{address}?smoothing=0&runColorGroup={colors}&pinnedCards={pins}#timeseries"
    yield "norms side by side", f"{address}#custom_scalars&_smoothingWeight=0&regexInput={quote('^norms')}"
    yield "table", f"{address}#hparams"
    yield "figures", f"{address}#images&regexInput={quote('^overview')}"


@contextmanager
def _polite_kill() -> Iterator[None]:
    """On SIGTERM, end as by Ctrl-C, so that temporary files are removed."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
