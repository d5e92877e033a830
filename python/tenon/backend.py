"""Backends in Python: what runs the functions of a module that carry ``Codegen`` with their name.

    class Mine(tenon.Backend):
        name = "mine"

        def compile(self, region, threads):
            (call,) = region.bindings[-1:]
            if call.callee.bindings[0].op != "nn.relu":
                return tenon.dpl.Refusal(call.callee.bindings[0].op, "nn.relu")

            def run(inputs, outputs):
                numpy.maximum(inputs[0], 0, out=outputs[0])

            return run

    run = tenon.compile(module.fuse("mine.relu = nn.relu(*)", annotate_codegen=True), backends=[Mine()])
"""

from __future__ import annotations

import collections
import ctypes
import itertools
from typing import Any, Callable, Sequence

import numpy as np

from . import _dtypes
from ._callbacks import ACCEPT, Callbacks, Refusal, _verdict
from ._lib import (
    Backend as _Backend, BackendCompileFunction, BackendReleaseFunction, BackendRunFunction, Tensor, lib,
)
from .errors import BackendError, InvalidTypeError
from .graph import Graph

#: What ``compile`` returns: takes arrays to read and arrays to write.
Runner = Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], None]


class Backend:
    """Derive from it, or write a class with the same two things."""

    #: What ``Codegen`` says.
    name = ""
    #: What ``RunCodegen(target_options)`` says for it.
    target_options: dict[str, Any] = {}

    def compile(self, region: Graph, threads: int) -> Runner | Any:
        """Makes a region ready.

        Args:
            region: the function, to be read during the call. It binds functions that carry ``Composite`` and calls them; all
                shapes are known, and weights are constants where they are known.
            threads: how many a run may use.

        Returns:
            A function ``run(inputs, outputs)`` that reads the arrays of the first list, in the order of the parameters, and
            writes all of the second, in the order of the results. It is called from threads of the executable, several at
            once. A ``tenon.dpl.Refusal`` or None leaves the region to the library's own kernels.
        """
        raise NotImplementedError


class Backends:
    """Backends as the library takes them; must live as long as what was compiled with them."""

    def __init__(self, backends: Sequence[Any]):
        self.count = len(backends)
        self.array = (_Backend * max(self.count, 1))()
        self._runners: dict[int, Runner] = {}
        self._tickets = itertools.count(1)
        # What callbacks raised, by what the library says of it. Several runs may fail at once.
        self._raised: collections.deque[tuple[str, BaseException]] = collections.deque(maxlen=64)
        for slot, backend in zip(self.array, backends):
            if not isinstance(backend.name, str) or not callable(backend.compile):
                raise InvalidTypeError.mismatch("", "a backend with a name and compile", type(backend).__name__)
            slot.struct_size = ctypes.sizeof(_Backend)
            slot.name = backend.name.encode()
            slot.compile = BackendCompileFunction(self._compiling(backend))
            slot.run = BackendRunFunction(self._run)
            slot.release = BackendReleaseFunction(self._release)

    def _guard(self, reply: int, body: Callable[[], int]) -> int:
        calls = Callbacks()
        verdict = calls.guard(reply, body)
        if calls._error is not None:
            self._raised.append((calls.reason, calls._error))
        return verdict

    def _compiling(self, backend: Any) -> Any:
        def compile(function: int, threads: int, region: Any, reply: int, user_data: int) -> int:
            def body() -> int:
                graph = Graph(function)
                try:
                    runner = backend.compile(graph, threads)
                finally:
                    graph._end()
                if callable(runner):
                    ticket = next(self._tickets)
                    self._runners[ticket] = runner
                    region.contents.handle = ticket
                    return ACCEPT
                if runner is not None and not isinstance(runner, Refusal):
                    raise TypeError(f"compile of backend '{backend.name}' returned {type(runner).__name__}; "
                                    "expected a function, a Refusal or None")
                return _verdict(reply, False if runner is None else runner, f"compile of backend '{backend.name}'")

            return self._guard(reply, body)

        return compile

    def _run(
        self, handle: int, inputs: Any, input_count: int, outputs: Any, output_count: int, workspace: int, reply: int,
        user_data: int,
    ) -> int:
        def body() -> int:
            given = [_array(inputs[index]) for index in range(input_count)]
            for array in given:
                array.flags.writeable = False
            self._runners[handle](given, [_array(outputs[index]) for index in range(output_count)])
            return ACCEPT

        return self._guard(reply, body)

    def _release(self, handle: int, user_data: int) -> None:
        self._runners.pop(handle, None)

    def explained(self, error: BackendError) -> BackendError:
        """The error with what the callback raised as its cause."""
        for reason, raised in list(self._raised):
            if reason in error.message:
                self._raised.remove((reason, raised))
                error.__cause__ = raised
                break
        return error


def _array(tensor: Tensor) -> np.ndarray:
    """The memory of a dense tensor."""
    dtype = _dtypes.to_numpy(tensor.dtype)
    shape = tuple(tensor.shape[axis] for axis in range(tensor.rank))
    if 0 in shape:
        return np.empty(shape, dtype)
    memory = (ctypes.c_uint8 * tensor.byte_count).from_address(tensor.data)
    return np.frombuffer(memory, dtype).reshape(shape)
