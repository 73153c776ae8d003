"""Tasks: inputs, loss and metrics. The rest of the training uses a task only through `Task`."""

from collections.abc import Callable

from normbench.tasks.classification import Classification
from normbench.tasks.detection import Detection
from normbench.tasks.language_model import LanguageModel
from normbench.tasks.segmentation import Segmentation
from normbench.tasks.sequence_classification import SequenceClassification
from normbench.tasks.style import StyleTransfer
from normbench.tasks.task import Task
from normbench.tasks.translation import Translation

__all__ = [
    "REGISTRY",
    "Classification",
    "Detection",
    "LanguageModel",
    "Segmentation",
    "SequenceClassification",
    "StyleTransfer",
    "Task",
    "Translation",
]

REGISTRY: dict[str, Callable[..., Task]] = {
    "classification": Classification,
    "sequence_classification": SequenceClassification,
    "language_model": LanguageModel,
    "translation": Translation,
    "detection": Detection,
    "segmentation": Segmentation,
    "style": StyleTransfer,
}
