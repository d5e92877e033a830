"""Batch inference over Ray Data: an executable as a stateful worker of ``map_batches``.

    import ray, tenon, tenon.ray

    images = ray.data.read_images("pictures")
    module = tenon.load("resnet50.onnx").optimize()
    scores = tenon.ray.map_batches(images, module, workers=4, cpus_per_worker=2, inputs={"data": "image"})

Weights are packed once per worker, and a worker's runs have as many threads as Ray gave it CPUs. A worker that dies is
started again by Ray and its batches are computed again, so no row is lost. Needs the package ``ray[data]``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from .errors import InvalidArgumentError, InvalidShapeError
from .executable import Executable
from .module import Module, load

if TYPE_CHECKING:
    from ray.data import Dataset

__all__ = ["Predictor", "map_batches"]


class Predictor:
    """What runs in each worker: compiles once, then answers batches (dictionaries of arrays, one row per entry).

    The first dimension of every input and output counts rows. Where the module fixes it, batches are run in pieces of that
    size, the last one filled up. Subclasses may prepare batches before they call ``super().__call__``.

    >>> import numpy as np, tenon
    >>> module = tenon.Module.parse("fn @main(%x: f32[4,2]) -> f32[4,2] { %y: f32[4,2] = nn.relu(%x)  return %y }")
    >>> predictor = Predictor(module, inputs={"x": "pixels"}, outputs={"y": "scores"}, keep=["id"], threads=1)
    >>> batch = {"pixels": -np.ones((5, 2), np.float32), "id": np.arange(5)}
    >>> {name: column.shape for name, column in predictor(batch).items()}
    {'id': (5,), 'scores': (5, 2)}
    """

    def __init__(
        self, model: Any, inputs: Mapping[str, str] | None = None, outputs: Mapping[str, str] | None = None,
        keep: Sequence[str] | None = None, **options: Any,
    ):
        """See ``map_batches`` for the arguments; ``model`` may also be a reference to one in Ray's object store."""
        module = _module(model)
        options.setdefault("threads", _assigned_cpus())
        self.executable = Executable(module, **options)
        self.inputs = _names(inputs, self.executable.inputs, "input")
        self.outputs = _names(outputs, self.executable.outputs, "output")
        self.keep = keep
        sizes = {port.shape[0] for port in self.executable.inputs if port.shape and port.shape[0] is not None}
        if any(port.shape == () for port in self.executable.inputs) or len(sizes) > 1:
            raise InvalidShapeError(f"the first dimension of every input counts rows, found {self.executable!r}")
        #: Rows of one run where the module fixes them; None where it takes any number.
        self.rows: int | None = next(iter(sizes), None)

    def __call__(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        missing = [column for column in self.inputs.values() if column not in batch]
        if missing:
            raise InvalidArgumentError(f"no column {', '.join(map(repr, missing))}; found {', '.join(batch)}")
        arrays = [np.asarray(batch[column]) for column in self.inputs.values()]
        count = len(arrays[0]) if arrays else 0
        given = set(self.inputs.values())
        kept = [name for name in batch if name not in given] if self.keep is None else self.keep
        result = {name: batch[name] for name in kept}
        result.update(zip(self.outputs.values(), self._run(arrays, count)))
        return result

    def _run(self, arrays: list[np.ndarray], count: int) -> list[np.ndarray]:
        if self.rows is None:
            return self.executable.run(arrays)
        pieces = []
        for start in range(0, max(count, 1), self.rows):
            piece = [array[start:start + self.rows] for array in arrays]
            lacking = self.rows - len(piece[0])
            if lacking:
                piece = [np.concatenate([part, np.zeros((lacking, *part.shape[1:]), part.dtype)]) for part in piece]
            pieces.append([result[:self.rows - lacking] for result in self.executable.run(piece)])
        return [np.concatenate(parts) for parts in zip(*pieces)]


def map_batches(
    dataset: Dataset, model: Module | str | os.PathLike[str] | bytes, *, workers: int | tuple[int, int] = 1,
    cpus_per_worker: float = 1, batch_size: int = 64, inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None, keep: Sequence[str] | None = None, options: Mapping[str, Any] | None = None,
    worker: type[Predictor] = Predictor, **ray_options: Any,
) -> Dataset:
    """The dataset with the outputs of a model as columns, computed by workers that compile it once each.

    Args:
        dataset: rows whose columns hold the inputs of the model.
        model: a module, which travels to the workers through Ray's object store; an ONNX model in bytes, likewise; or the
            path of a model that every worker can read. ONNX models are optimized, modules are taken as they are.
        workers: how many, or the least and the most of them.
        cpus_per_worker: CPUs that Ray reserves for each; its runs have as many threads.
        batch_size: rows of one call.
        inputs: columns by the names of the model's inputs; columns of the same names by default.
        outputs: columns to write by the names of the model's outputs; of the same names by default.
        keep: columns that stay; all that are no inputs by default.
        options: of ``tenon.compile``.
        worker: a subclass of ``Predictor``.
        ray_options: whatever else ``Dataset.map_batches`` takes.
    """
    import ray

    if isinstance(model, (Module, bytes, bytearray, memoryview)):
        given: Any = ray.put(bytes(model) if isinstance(model, (bytearray, memoryview)) else model)
    else:
        given = model
    arguments = {"model": given, "inputs": inputs, "outputs": outputs, "keep": keep, **(options or {})}
    return dataset.map_batches(
        worker, fn_constructor_kwargs=arguments, concurrency=workers, num_cpus=cpus_per_worker, batch_size=batch_size,
        batch_format="numpy", **ray_options)


def _module(model: Any) -> Module:
    if isinstance(model, Module):
        return model
    if isinstance(model, (bytes, bytearray, memoryview)):
        return Module.load_onnx(model).optimize()
    if isinstance(model, (str, os.PathLike)):
        module = load(model)
        return module.optimize() if os.fspath(model).endswith(".onnx") else module
    import ray

    if isinstance(model, ray.ObjectRef):
        return _module(ray.get(model))
    raise TypeError(f"expected a tenon.Module, a path or an ONNX model in bytes, found {type(model).__name__}")


def _assigned_cpus() -> int:
    """CPUs that Ray gave this worker, at least one; 0, for all that the process may use, outside of Ray."""
    try:
        import ray
    except ImportError:
        return 0
    context: Any = ray.get_runtime_context() if ray.is_initialized() else None
    if context is None or context.get_actor_id() is None:
        return 0
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))


def _names(given: Mapping[str, str] | None, ports: Sequence[Any], what: str) -> dict[str, str]:
    """The column of every port, in order."""
    given = dict(given or {})
    columns = {port.name: given.pop(port.name, port.name) for port in ports}
    if given:
        raise InvalidArgumentError(
            f"no {what} {', '.join(map(repr, given))}; expected {', '.join(map(repr, columns))}", node=next(iter(given)))
    return columns
