"""Runs round to nearest with exceptions masked, whatever the host has set, and leave what it has set as it was."""

import ctypes
import ctypes.util
import platform
import subprocess
import sys

import numpy as np
import pytest

import tenon

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the words are those of x86-64")

libm = ctypes.CDLL(ctypes.util.find_library("m"))
FE_UPWARD, FE_TONEAREST, FE_ALL = 0x800, 0, 0x3D


def module():
    return tenon.Module.parse("""
        fn @main(%x: f32[64,64], %y: f32[64,64]) -> f32[64,64] {
          dataflow {
            %a: f32[64,64] = matmul(%x, %y)
            %b: f32[64,64] = exp(%a)
            %c: f32[64,64] = divide(%b, %x)
            output %c
          }
          return %c
        }""")


def result(threads, x, **options):
    return tenon.compile(module().optimize(), threads=threads, **options)(x, x.T)


@pytest.mark.parametrize("threads", [1, 2])
def test_rounding_of_the_host_changes_nothing(rng, threads):
    x = rng.standard_normal((64, 64)).astype(np.float32)
    plain = result(threads, x, reproducible=True)
    try:
        libm.fesetround(FE_UPWARD)
        upward = result(threads, x, reproducible=True)
        after = libm.fegetround()
    finally:
        libm.fesetround(FE_TONEAREST)
    assert after == FE_UPWARD
    np.testing.assert_array_equal(plain, upward)


@pytest.mark.parametrize("threads", [1, 2])
def test_exceptions_that_the_host_traps_do_not_trap(threads):
    code = f"""
import ctypes, ctypes.util, numpy as np, tenon
x = np.linspace(-1, 1, 4096, dtype=np.float32).reshape(64, 64)
x[0, :8] = [np.nan, np.inf, -np.inf, 1e38, 1e-42, 0, 3e38, -1e-42]
module = tenon.Module.parse({str(module())!r}).optimize()
libm = ctypes.CDLL(ctypes.util.find_library("m"))
libm.feenableexcept({FE_ALL})
run = tenon.compile(module, threads={threads})
out = np.empty((64, 64), np.float32)
run.run([x, x], [out])
assert libm.fegetexcept() == {FE_ALL}
libm.fedisableexcept({FE_ALL})
print("done", np.isnan(out).any())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, (done.returncode, done.stderr)
    assert done.stdout == "done True\n"


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("text", ["multiply(%x, const f32[](0.5))", "add(%x, %x)", "nn.relu(%x)"])
def test_denormals(threads, text):
    x = np.resize(np.array([1e-39, 2e-42, 1.0], np.float32), 1 << 20)
    source = tenon.Module.parse(f"fn @main(%x: f32[{x.size}]) -> f32[{x.size}] {{ %y: f32[{x.size}] = {text}  return %y }}")
    kept = tenon.compile(source.optimize(), threads=threads)(x)
    want = {"m": x * np.float32(0.5), "a": x + x, "n": x}[text[0]]
    np.testing.assert_array_equal(kept, want)
    if text[0] == "n":
        return
    flushed = tenon.compile(source.optimize(), threads=threads, flush_denormals=True)(x)
    np.testing.assert_array_equal(flushed, np.where(np.abs(want) < np.finfo(np.float32).tiny, 0, want))
    # The thread of the host is as it was.
    assert np.float32(1e-39) * np.float32(0.5) != 0
