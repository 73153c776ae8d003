"""Steps through `torch.compile`, cached on disk and between packs; eager if compilation fails."""

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
from normbench.norms.power_gradient import normalized

Step = Callable[..., None]
"""Takes nested tensors that it changes, then learning rates, a batch and the optimizer's scalars by name."""

_PACKAGE = Path(__file__).parents[1]
_TRACED = ("norms", "models", "tasks", "training")
"""Folders of normbench with the code of a compiled step."""

_OPTIONS = {"config_patches": {"size_asserts": False, "alignment_asserts": False}}
"""No size checks needed: the sizes of the tensors are part of a step's cache key."""


@dataclass(frozen=True, slots=True)
class Artifact:
    """A step compiled by inductor.

    Attributes:
        call: Takes the step; None if it could not be compiled.
        order: For each of its arguments, the index of the leaf of the step's arguments.
        failure: Why it could not be compiled.
    """

    call: Callable[..., object] | None
    order: tuple[int, ...] = ()
    failure: str = ""


_MADE: dict[str, Artifact] = {}
"""The artifacts of this process, by name."""


class _StrayTensorError(Exception):
    """A module reads a tensor that is neither its parameter nor its buffer."""

    def __str__(self) -> str:
        return "a module reads a tensor that is neither its parameter nor its buffer"


class CompiledStep:
    """The step of a pack: compiled at its first call, or loaded if compiled before; eager if compilation fails.

    The cache stores inductor's result for the whole step, without the tracing and the guards of `torch.compile`: these
    took two seconds per structure and worker even with a full cache.
    """

    def __init__(self, eager: Step, graph: str, *, keep: bool) -> None:
        """Prepare to compile a step.

        Args:
            eager: The step, a function of its tensor arguments only.
            graph: Text that determines the operations of the step, apart from the shapes of its tensors.
            keep: Whether `graph` describes the step fully, so that it may be stored on disk: not with a user's layer.
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
        """Why the step is eager; empty if it is compiled."""
        return self._artifact.failure if self._artifact is not None else ""

    def __call__(self, state: Any, lr: Tensor, batch: Batch, scalars: Mapping[str, Tensor]) -> None:
        """Take the step; `state` must have the same tensors at every call."""
        # The compiled code assumes fixed strides.
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
        """Arrange its arguments; only the last few change from step to step."""
        self._artifact = artifact
        self._args = [fixed[leaf] if leaf < len(fixed) else None for leaf in artifact.order]
        self._moving = [(place, leaf - len(fixed)) for place, leaf in enumerate(artifact.order) if leaf >= len(fixed)]

    def _name(self, leaves: Sequence[Tensor]) -> str:
        shapes = [f"{tuple(leaf.shape)} {leaf.stride()} {leaf.dtype} {leaf.device}" for leaf in leaves]
        # Inductor compiles for this processor and this number of threads.
        machine = [torch.__version__, _processor(), os.environ.get("CXX"), torch.get_num_threads()]
        if leaves[0].is_cuda:
            machine.append(torch.cuda.get_device_name(leaves[0].device))
        made_from = json.dumps([self._graph, shapes, _OPTIONS, _sources(), machine])
        return hashlib.sha256(made_from.encode()).hexdigest()[:32]


def _compile(eager: Step, args: tuple[Any, ...], path: Path | None) -> Artifact:
    """Compile a step by taking it once, and store the result at `path`."""
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
        # If the state is unchanged, any error of compiler, disk or graph can be ignored: the step runs eagerly.
        if began:
            raise
        eager(*args)
        return Artifact(None, failure=f"not compiled ({_reason(error)})")
    finally:
        # torch.compile's own cache is no longer needed, and it has room for only eight steps.
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
    """Return the step that an earlier process stored, if any."""
    if not os.path.exists(path):
        return None
    from torch._inductor.standalone_compile import CompiledArtifact

    try:
        order = json.loads(path.with_suffix(".order").read_text())
        artifact: Any = CompiledArtifact.load(path=str(path))
    except Exception as error:
        # Whatever the error, the files can be created again.
        logging.getLogger("normbench").warning("%s is damaged (%s): compiled again", path, type(error).__name__)
        return None
    return Artifact(artifact.inner_fn.compiled_fn, tuple(order))


def name_compilers_folder() -> None:
    """Set inductor's cache folder before `torch._dynamo` is imported, which creates the folder or fails.

    Raises:
        DataError: If the cache folder of this user cannot be determined.
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
    """Import the modules for compiling, which takes seconds; workers forked later inherit them. Starts no thread."""
    name_compilers_folder()
    # Without CUDA it would print a warning from every worker.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    import_module("torch._inductor.compile_fx")
    import_module("torch._inductor.standalone_compile")
    config: Any = import_module("torch._inductor.config")
    # Each worker compiles in its own process: more would compete for the cores of the other workers.
    config.compile_threads = 1
    # Dynamo cannot trace an autograd function under vmap (torch 2.15): one operation of the graph, which may be stored.
    import_module("torch._dynamo").allow_in_graph(normalized)
    config.unsafe_marked_cacheable_functions = {f"{normalized.__module__}.{normalized.__name__}": _sources()}
    # The process caches both results: a quarter of a second each.
    import_module("torch._inductor.codecache").torch_key()
    with suppress(Exception):
        # It calls the compiler; an error of the compiler is reported when a step is compiled.
        import_module("torch._inductor.cpu_vec_isa").pick_vec_isa()
    _sources()


@cache
def _processor() -> str:
    """Return what identifies this processor's instruction set: machines may share the disk of a cache."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.exists() else []
    return (
        "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))
        or platform.processor()
    )


@cache
def _sources() -> str:
    """Return a hash of the source code of steps."""
    digest = hashlib.sha256()
    for folder in _TRACED:
        for path in sorted((_PACKAGE / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()
