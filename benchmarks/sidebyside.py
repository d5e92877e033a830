"""Engines side by side on one model: a process for each, blocks of runs in turn.

The pause before a block matters: the threads of an engine that has just run go on spinning for a while and would take the
cores from the next.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Sequence

HERE = Path(__file__).parent


def median(values: Sequence[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


class Engine:
    """One process of ``engines.py``."""

    def __init__(self, name: str, model: Path, threads: int, batch: int, callers: int = 1):
        self.name = name
        self.times: list[float] = []
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "engines.py"), name, str(model), str(threads), str(batch),
             str(callers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=dict(os.environ), cwd=HERE)
        self.start = self._read()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self._process.wait()}")
        return json.loads(line)

    def ask(self, line: str):
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._read()

    def block(self, runs: int) -> None:
        self.times += self.ask(str(runs))

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def compare(
    engines: Sequence[str], model: Path, threads: int, batch: int = 1, callers: int = 1, seconds: float = 2.0,
    rounds: int = 4,
):
    """Median milliseconds per run, seconds from file to ready, peak MiB and largest difference to the first engine, per engine;
    for Tenon also the sum of its steps' fastest times."""
    running = []
    try:
        for name in engines:
            running.append(Engine(name, model, threads, batch, callers))
        for engine in running:
            engine.block(3)
        # Every engine is measured for about as long.
        counts = [max(3, min(200, int(seconds / rounds / median(engine.times)))) for engine in running]
        for engine in running:
            engine.times.clear()
        for _ in range(rounds):
            for engine, count in zip(running, counts):
                engine.block(count)
        steps = [engine.ask("steps 30") if callers == 1 else None for engine in running]
        reference = running[0].start["output"]
        scale = max(map(abs, reference)) or 1.0
        return {
            engine.name: {
                "milliseconds": median(engine.times) * 1e3,
                "fastest_milliseconds": min(engine.times) * 1e3,
                "ready_seconds": engine.start["ready"],
                "peak_mib": engine.start["peak_kib"] / 1024,
                "difference": max(abs(a - b) for a, b in zip(engine.start["output"], reference)) / scale,
            } | ({} if sum_of_steps is None else {"steps_milliseconds": sum_of_steps * 1e3})
            for engine, sum_of_steps in zip(running, steps)
        }
    finally:
        for engine in running:
            engine.close()
