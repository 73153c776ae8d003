"""Steps through `torch.compile`, kept from pack to pack; eager where a compilation fails."""

import logging
import os
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from torch import nn

from normbench.data.decoding import cache_folder

Step = Callable[..., None]

_KEPT: dict[tuple[str, int], tuple[nn.Module, "CompiledStep"]] = {}
"""Compiled steps of this process with the skeletons they were compiled for, by structure and number of runs."""


class CompiledStep:
    """A step that is compiled when it is first taken; eager from then on where that fails.

    Attributes:
        failure: Why it is eager; empty where it is compiled.
    """

    def __init__(self, eager: Step) -> None:
        """Prepare to compile a function of tensors that changes them in place."""
        self._eager = eager
        self._step: Step = torch.compile(eager, dynamic=False, fullgraph=True)
        self.failure = ""

    def __call__(self, *args: Any) -> None:
        """Take the step."""
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError

        try:
            self._step(*args)
        except (TorchDynamoException, InductorError) as error:
            # It fails before anything has run: the state is as it was.
            self.failure = f"not compiled ({type(error).__name__}: {str(error).strip().splitlines()[0][:200]})"
            logging.getLogger("normbench").warning("%s: trained without, which takes longer", self.failure)
            self._step = self._eager
            self._step(*args)


def load_compiler() -> None:
    """Import what compiling needs, which takes seconds; workers forked afterwards have it. Starts no thread."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder() / "inductor"))
    # A worker compiles by itself: more processes would fight for the cores that the other workers use.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")
    # On a machine without CUDA it warns that it found none, from every worker.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import_module("torch._inductor.compile_fx")


def compiled_step(key: tuple[str, int], skeleton: nn.Module, eager: Step) -> tuple[nn.Module, CompiledStep]:
    """Return the compiled step of a structure; what an earlier pack of this process compiled serves again.

    Args:
        key: Structure and number of runs.
        skeleton: The module that `eager` applies.
        eager: The step.

    Returns:
        The step, and the skeleton it was compiled for, whose modes it follows.
    """
    if key not in _KEPT:
        load_compiler()
        _KEPT[key] = skeleton, CompiledStep(eager)
    return _KEPT[key]
