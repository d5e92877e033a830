"""What the library says of the machine and of its kernels."""

import os
import pathlib
import subprocess
import sys

import pytest

import tenon

#: From the least to the most.
KERNELS = ["portable", "avx2", "avx512"]


def kernels(limit):
    environment = {**os.environ, "PYTHONPATH": str(pathlib.Path(tenon.__file__).parents[1]), "TENON_MAX_CPU_ISA": limit}
    program = "import tenon; print(tenon.machine().kernels)"
    return subprocess.run([sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True).stdout.strip()


def test_kernels_are_those_that_the_processor_has():
    if "TENON_MAX_CPU_ISA" in os.environ:
        pytest.skip("the environment lowers them")
    found = tenon.machine()
    sets = set(found.instruction_sets)
    expected = "avx512" if {"avx512f", "avx512bw", "avx512dq", "avx512vl"} <= sets else "avx2" if {"avx2", "fma"} <= sets else "portable"
    assert found.kernels == expected
    assert 1 <= found.usable_cpus <= (os.cpu_count() or 1) and found.onednn_version and found.onednn_instruction_set


@pytest.mark.parametrize("limit, most", [("base", "portable"), ("avx2", "avx2"), ("avx512", "avx512")])
def test_kernels_under_a_limit(limit, most):
    assert KERNELS.index(kernels(limit)) <= KERNELS.index(most)
    assert kernels("base") == "portable"
