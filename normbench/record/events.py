"""TensorBoard's event files, written without torch and without one thread per file."""

import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import summary_v2 as hparams_summary
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

HparamValue = bool | float | str


class EventFile:
    """The event file of a folder, shown as one run in TensorBoard; a context manager.

    All values passed for one step share an event: an event's checksum costs more than everything else.
    """

    def __init__(self, folder: Path, wall_time: float) -> None:
        """Create the folder and open the file; all its events have the time `wall_time`, in seconds since 1970."""
        folder.mkdir(parents=True, exist_ok=True)
        self._wall_time = wall_time
        self._records = RecordWriter((folder / f"events.out.tfevents.{int(wall_time)}.normbench").open("wb"))

    def __enter__(self) -> "EventFile":
        self._write(Event(file_version="brain.Event:2"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._records.close()

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        """Write one point of several curves; values that are not finite are left out."""
        points = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items() if math.isfinite(value)]
        if points:
            self._summary(Summary(value=points), step)

    def hparams(self, values: Mapping[str, HparamValue], name: str) -> None:
        """Write the hyper-parameters of a session, the row `name` of the table."""
        self._summary(hparams_summary.hparams_pb(dict(values), trial_id=name, start_time_secs=self._wall_time))

    def experiment(self, columns: Mapping[str, list[HparamValue]], metrics: Mapping[str, str]) -> None:
        """Write the columns of the table of hyper-parameters.

        Args:
            columns: The distinct values of each hyper-parameter, all of one type.
            metrics: The heading of each metric, by tag.
        """
        hparams = [hparams_summary.HParam(name, hparams_summary.Discrete(values)) for name, values in columns.items()]
        shown = [hparams_summary.Metric(tag, display_name=heading) for tag, heading in metrics.items()]
        self._summary(hparams_summary.hparams_config_pb(hparams, shown, time_created_secs=self._wall_time))

    def image(self, tag: str, png: bytes, size: tuple[int, int], description: str) -> None:
        """Write a picture of `size` (width, height) with a description in Markdown."""
        metadata = image_metadata.create_summary_metadata(tag, description)
        content = [str(size[0]).encode(), str(size[1]).encode(), png]
        self._strings(tag, content, metadata, shape=[3])

    def text(self, tag: str, markdown: str) -> None:
        """Write a text in Markdown."""
        self._strings(tag, [markdown.encode()], text_metadata.create_summary_metadata(tag, ""), shape=[])

    def layout(self, categories: list[layout_pb2.Category]) -> None:
        """Write the layout of the page Custom Scalars."""
        content = layout_pb2.Layout(category=categories).SerializeToString()
        tag = layout_metadata.CONFIG_SUMMARY_TAG
        self._strings(tag, [content], layout_metadata.create_summary_metadata(), shape=[])

    def _strings(self, tag: str, content: list[bytes], metadata: Any, shape: list[int]) -> None:
        dimensions = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in shape])
        tensor = TensorProto(dtype=DT_STRING, string_val=content, tensor_shape=dimensions)
        self._summary(Summary(value=[Summary.Value(tag=tag, metadata=metadata, tensor=tensor)]))

    def _summary(self, summary: Summary, step: int = 0) -> None:
        self._write(Event(step=step, summary=summary))

    def _write(self, event: Event) -> None:
        event.wall_time = self._wall_time
        self._records.write(event.SerializeToString())
