"""What is compared has a process each, and runs in blocks that alternate.

A pause stands before each block, because threads that wait for work still spin after a run and would slow the next process down.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any, Callable, Mapping, Sequence

PAUSE = 0.3


class Process:
    """A child that has made itself ready by ``serve``."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str] = {}):
        self._process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, **environment})
        self.ready = self._answer()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"ended with status {self._process.wait()}")
        return json.loads(line)

    def block(self, seconds: float) -> list[float]:
        """The seconds of each run of a block."""
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()


def serve(ready: Any, run: Callable[[], Any]) -> None:
    """The child's part: tells what there is to tell, then runs a block for each line of input."""
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        end, times = time.perf_counter() + float(line), []
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            run()
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def alternate(processes: Mapping[str, Process], seconds: float, block: float = 0.5) -> dict[str, float]:
    """Median seconds of a run of each, measured for about as many seconds in all."""
    medians: dict[str, list[float]] = {name: [] for name in processes}
    for turn in range(max(3, int(seconds / (len(processes) * (block + PAUSE))))):
        # Who goes first changes, so that nobody always follows the same one.
        for name in list(processes)[:: 1 if turn % 2 else -1]:
            time.sleep(PAUSE)
            times = processes[name].block(block)
            # The first of a block finds caches that another process has used.
            medians[name].append(statistics.median(times[1:] or times))
    return {name: statistics.median(values) for name, values in medians.items()}
