"""Executables in other processes: forked, spawned, pickled."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import tenon
from test_executable import A, B, EXPECTED, module


def wait(pid, seconds=30):
    """The exit code of a child, which is killed when it hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return "hung"


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("threads", [1, 2])
def test_fork_after_running(threads):
    # Large enough that loops are split over threads.
    run = tenon.compile(module(512, 512), threads=threads)
    a, b = np.ones((512, 512), np.float32), np.zeros((512, 512), np.float32)
    assert run(a, b).sum() == 512 * 512
    for _ in range(3):
        child = os.fork()
        if child == 0:
            ok = all(run(a, b).sum() == 512 * 512 for _ in range(5))
            os._exit(0 if ok else 1)
        assert wait(child) == 0
        assert run(a, b).sum() == 512 * 512


def square(executable):
    return executable(A, B)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pools(method):
    run = tenon.compile(module(2, 3), threads=2)
    run(A, B)
    with multiprocessing.get_context(method).Pool(2) as pool:
        for result in pool.map(square, [run] * 4):
            np.testing.assert_array_equal(result, EXPECTED)


def test_exit_with_everything_open():
    code = """
import numpy as np, tenon
b = tenon.Builder()
x = b.parameter("x", (256, 256))
module = b.finish(b.call("matmul", x, np.ones((256, 256), np.float32)))
run = tenon.compile(module, threads=2)
results = run(np.ones((256, 256), np.float32))
cycle = [run]
cycle.append(cycle)
"""
    environment = {**os.environ, "PYTHONPATH": os.path.dirname(os.path.dirname(tenon.__file__))}
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-c", code], capture_output=True, text=True, timeout=120, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
