"""Steps through `torch.compile`, kept on disk and from pack to pack; eager where a compilation fails."""

import atexit
import hashlib
import json
import logging
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from normbench.cache import cache_folder
from normbench.data import Batch

Step = Callable[..., None]
"""Takes a nest of tensors that it changes, then learning rates, a batch and the optimizer's scalars by name."""

_PACKAGE = Path(__file__).parents[1]
_TRACED = ("norms", "models", "tasks", "training")
"""Folders of normbench whose code a compiled step was made from."""

_OPTIONS = {"config_patches": {"size_asserts": False, "alignment_asserts": False}}
"""The sizes of the tensors are part of the key that a step is found by."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """What inductor made of a step.

    Attributes:
        call: Takes the step; None where it could not be compiled.
        order: Which leaf of the step's arguments each of its own arguments is.
        failure: Why it could not be compiled.
    """

    call: Callable[..., object] | None
    order: tuple[int, ...] = ()
    failure: str = ""


_MADE: dict[str, Artifact] = {}
"""The artifacts of this process, by name."""


class _StrayTensorError(Exception):
    """A module reads a tensor that is none of its parameters and buffers."""

    def __str__(self) -> str:
        return "a module reads a tensor that is neither its parameter nor its buffer"


class CompiledStep:
    """The step of a pack, compiled when it is first taken, or loaded where that was done before; eager where it fails.

    What is kept is what inductor made of the whole step, without the tracing and the guards of `torch.compile`: these
    took two seconds for each structure and worker even with a full cache.
    """

    def __init__(self, eager: Step, graph: str, *, keep: bool) -> None:
        """Prepare to compile a step.

        Args:
            eager: The step, in terms of the tensors it is given and nothing else.
            graph: What decides the operations of the step, besides the shapes of its tensors.
            keep: Whether `graph` tells all of it, so that it may be kept on disk: not with a user's own layer.
        """
        load_compiler()
        self._eager = eager
        self._graph = graph
        self._keep = keep
        self._artifact: Artifact | None = None
        self._args: list[Any] = []
        self._moving: list[tuple[int, int]] = []

    @property
    def failure(self) -> str:
        """Why the step is eager; empty where it is compiled."""
        return self._artifact.failure if self._artifact is not None else ""

    def __call__(self, state: Any, lr: Tensor, batch: Batch, scalars: Mapping[str, Tensor]) -> None:
        """Take the step; `state` holds the same tensors every time."""
        # The compiled code reads memory by the strides that it was made for.
        assert all(field.is_contiguous() for field in batch.values())
        moving = (lr, *batch.values(), *scalars.values())
        if self._artifact is None:
            fixed = pytree.tree_leaves(state)
            name = self._name([*fixed, *moving])
            path = cache_folder() / "steps" / f"{name}.step" if self._keep else None
            made = _MADE.get(name) or (path and _load(path))
            if not made:
                made = _compile(self._eager, (state, lr, batch, scalars), path)
                self._use(_MADE.setdefault(name, made), fixed)
                return
            self._use(_MADE.setdefault(name, made), fixed)
        assert self._artifact is not None
        if self._artifact.call is None:
            self._eager(state, lr, batch, scalars)
            return
        args = self._args
        for place, leaf in self._moving:
            args[place] = moving[leaf]
        self._artifact.call(*args)

    def _use(self, artifact: Artifact, fixed: Sequence[Tensor]) -> None:
        """Lay out its arguments, of which only the last few change from step to step."""
        self._artifact = artifact
        self._args = [fixed[leaf] if leaf < len(fixed) else None for leaf in artifact.order]
        self._moving = [(place, leaf - len(fixed)) for place, leaf in enumerate(artifact.order) if leaf >= len(fixed)]

    def _name(self, leaves: Sequence[Tensor]) -> str:
        shapes = [f"{tuple(leaf.shape)} {leaf.stride()} {leaf.dtype} {leaf.device}" for leaf in leaves]
        # Inductor compiles for this very processor, and for so many threads.
        machine = [torch.__version__, _processor(), os.environ.get("CXX"), torch.get_num_threads()]
        if leaves[0].is_cuda:
            machine.append(torch.cuda.get_device_name(leaves[0].device))
        made_from = json.dumps([self._graph, shapes, _OPTIONS, _sources(), machine])
        return hashlib.sha256(made_from.encode()).hexdigest()[:32]


def _compile(eager: Step, args: tuple[Any, ...], path: Path | None) -> Artifact:
    """Compile a step, taking it once, and keep what came out at `path`."""
    from torch._inductor import standalone_compile

    leaves, nest = pytree.tree_flatten(args)
    made: list[Any] = []
    order: list[int] = []
    began = False

    def flat(*leaves: Tensor) -> None:
        eager(*pytree.tree_unflatten(leaves, nest))

    def backend(graph: torch.fx.GraphModule, examples: list[Any]) -> Callable[..., object]:
        artifact = standalone_compile(graph, examples, dynamic_shapes="from_example_inputs", aot=True, options=_OPTIONS)
        made.append(artifact)

        def first(*given: Tensor) -> object:
            places = [next((place for place, leaf in enumerate(leaves) if leaf is one), None) for one in given]
            if None in places:
                raise _StrayTensorError
            order.extend(place for place in places if place is not None)
            nonlocal began
            began = True
            return artifact(*given)

        return first

    try:
        torch.compile(flat, backend=backend, dynamic=False, fullgraph=True)(*leaves)
    except Exception as error:
        # The step can do without, whatever is wrong with compiler, disk or graph, while the state is as it was.
        if began:
            raise
        eager(*args)
        return Artifact(None, failure=f"not compiled ({_reason(error)})")
    finally:
        # What torch.compile keeps of its own is of no more use, and there is room for eight steps.
        torch.compiler.reset()
    (artifact,) = made
    if path is not None:
        _keep(artifact, order, path)
    return Artifact(artifact.inner_fn.compiled_fn, tuple(order))


def _reason(error: BaseException) -> str:
    cause = getattr(error, "inner_exception", error)
    text = " ".join(str(cause).split("\n", 1)[0].split())
    return f"{type(cause).__name__}: {text[:200]}"


def _keep(artifact: Any, order: Sequence[int], path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(order))
        draft.replace(path.with_suffix(".order"))
        artifact.save(path=str(path))
    except OSError as error:
        _warn(f"cannot store compiled steps: {error}; NORMBENCH_CACHE=FOLDER chooses another folder")


@cache
def _warn(text: str) -> None:
    logging.getLogger("normbench").warning("%s", text)


def _load(path: Path) -> Artifact | None:
    """Return the step that an earlier process kept, if any."""
    if not os.path.exists(path):
        return None
    from torch._inductor.standalone_compile import CompiledArtifact

    try:
        order = json.loads(path.with_suffix(".order").read_text())
        artifact: Any = CompiledArtifact.load(path=str(path))
    except Exception as error:
        # Whatever is wrong with the files, they can be made again.
        logging.getLogger("normbench").warning("%s is damaged (%s): compiled again", path, type(error).__name__)
        return None
    return Artifact(artifact.inner_fn.compiled_fn, tuple(order))


def name_compilers_folder() -> None:
    """Say where inductor keeps its files before `torch._dynamo` is imported, which makes the folder or fails.

    Raises:
        DataError: If the cache of this user cannot be told.
    """
    if "TORCHINDUCTOR_CACHE_DIR" in os.environ:
        return
    folder = cache_folder() / "inductor"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        usable = os.access(folder, os.W_OK)
    except OSError:
        usable = False
    if not usable:
        folder = Path(mkdtemp(prefix="normbench-"))
        atexit.register(rmtree, folder, ignore_errors=True)
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(folder)


def load_compiler() -> None:
    """Import what compiling needs, which takes seconds; workers forked afterwards have it. Starts no thread."""
    name_compilers_folder()
    # On a machine without CUDA it warns that it found none, from every worker.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import_module("torch._inductor.compile_fx")
    import_module("torch._inductor.standalone_compile")
    # A worker compiles by itself: more processes would fight for the cores that the other workers use.
    import_module("torch._inductor.config").compile_threads = 1  # type: ignore[attr-defined]
    # Both are kept by the process: a quarter of a second, and as much.
    import_module("torch._inductor.codecache").torch_key()
    with suppress(Exception):
        # It asks the compiler. What is wrong with that one is said when a step is compiled.
        import_module("torch._inductor.cpu_vec_isa").pick_vec_isa()
    _sources()


@cache
def _processor() -> str:
    """Return what tells this processor's instructions from another's: a cache may lie on a disk that machines share."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    return (
        "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
        or platform.processor()
    )


@cache
def _sources() -> str:
    """Return a hash of the code that steps are made from."""
    digest = hashlib.sha256()
    for folder in _TRACED:
        for path in sorted((_PACKAGE / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
