"""One run's TensorBoard log."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from textwrap import indent

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """Event files of one run in a separate folder; an earlier log of the same run is replaced."""

    def __init__(self, folder: Path, *, go_on_at: int | None = None) -> None:
        """Open the log in `folder`; with `go_on_at`, keep the steps of an earlier log before that step."""
        if go_on_at is None:
            shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(str(folder), purge_step=go_on_at)

    def scalar(self, tag: str, value: float, step: int) -> None:
        """Write one point of a curve."""
        self._writer.add_scalar(tag, value, step)

    def histogram(self, tag: str, values: Tensor, step: int) -> None:
        """Write the distribution of some values; those that are not finite are left out."""
        # NumPy has no bfloat16.
        finite = values[values.isfinite()].float()
        if len(finite):
            self._writer.add_histogram(tag, finite, step)

    def texts(self, tag: str, named: Mapping[str, str], step: int) -> None:
        """Write texts under a tag, each below its name; indented, so that Markdown shows them unchanged."""
        parts = (f"**{name}**\n\n{indent(text, '    ', lambda _: True)}" for name, text in named.items())
        self._writer.add_text(tag, "\n\n".join(parts), step)

    def picture(self, tag: str, tiles: NDArray[np.uint8], step: int) -> None:
        """Write pictures (n, H, W, 3) in RGB, side by side."""
        self._writer.add_image(tag, np.concatenate(list(tiles), axis=1), step, dataformats="HWC")

    def hparams(self, values: Mapping[str, bool | str | float | int], metrics: Mapping[str, float]) -> None:
        """Write the config of the run and its final metrics."""
        self._writer.add_hparams(dict(values), dict(metrics), run_name=".")

    def close(self) -> None:
        """Flush and close the log."""
        self._writer.close()
