"""The profile file of ONNX Runtime's interface: events in JSON, one per step of each run."""

from __future__ import annotations

import json
import os
import threading
import time
from typing import Any, Sequence

import numpy as np

from ..executable import CancelToken, Executable


class Recorder:
    """Runs an executable and keeps the times of its steps. Runs take turns, so that each finds its own times."""

    def __init__(self, prefix: str, start: int):
        self._path = f"{prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}_{os.getpid()}_{id(self) & 0xffffff:x}.json"
        self._start = start
        self._events: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def run(
        self, executable: Executable, arrays: Sequence[Any], outputs: list[np.ndarray[Any, Any]] | None, cancel: CancelToken | None
    ) -> list[np.ndarray[Any, Any]]:
        with self._lock:
            begin = time.perf_counter_ns()
            results = executable.run(arrays, outputs, cancel=cancel, profile=True)
            profile = executable.profile()
            at = (begin - self._start) / 1e3
            self._add("Session", "model_run", at, profile.nanoseconds, {})
            for step in profile:
                self._add("Node", f"{step.binding}_kernel_time", at, step.nanoseconds, {
                    "op_name": step.composite, "provider": "CPUExecutionProvider", "implementation": step.implementation,
                    "layouts": step.layouts, "bytes": step.bytes, "flops": step.flops})
                at += step.nanoseconds / 1e3
            return results

    def _add(self, category: str, name: str, at: float, nanoseconds: int, arguments: dict[str, Any]) -> None:
        self._events.append({
            "cat": category, "name": name, "ph": "X", "pid": os.getpid(), "tid": threading.get_native_id(),
            "ts": round(at, 3), "dur": round(nanoseconds / 1e3, 3), "args": arguments})

    def write(self) -> str:
        """Writes the file and returns its name."""
        with self._lock, open(self._path, "w", encoding="utf-8") as file:
            json.dump(self._events, file)
        return self._path
