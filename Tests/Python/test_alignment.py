"""Memory of the caller that begins anywhere, for steps that write past the caches."""

import numpy as np
import pytest

import tenon


@pytest.mark.parametrize("offset", [0, 4, 16, 32])
@pytest.mark.parametrize("method", ["linear", "nearest_neighbor"])
def test_large_pictures_into_memory_of_any_alignment(method, offset, rng):
    """oneDNN writes large results of a resize past the caches, which memory must be aligned for."""
    rounding = ', coordinate_transformation_mode="asymmetric", rounding_method="floor"' if method != "linear" else ""
    module = tenon.Module.parse(f"""
        fn @main(%x: f32[1,3,5,512]) {{
          %y = image.resize2d(%x, shape[1000,1024]) {{method="{method}"{rounding}}}
          return %y
        }}""")
    x = rng.standard_normal((1, 3, 5, 512)).astype(np.float32)
    memory = np.zeros(3 * 1000 * 1024 * 4 + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + offset
    out = memory[begin:begin + 3 * 1000 * 1024 * 4].view(np.float32).reshape(1, 3, 1000, 1024)
    for threads in (1, 2):
        out[...] = np.nan
        tenon.compile(module, threads=threads).run([x], [out])
        want = tenon.compile(module, threads=threads, reference=True).run([x])[0]
        np.testing.assert_allclose(out, want, rtol=1e-5, atol=1e-5)


def test_large_pictures_within_a_concatenation(rng):
    """A part of a result, computed where the whole lies, begins anywhere."""
    module = tenon.Module.parse("""
        fn @main(%x: f32[1,1,7,7], %z: f32[1,1,1001,1003]) {
          %y = image.resize2d(%x, shape[1001,1003])
          %w = nn.relu(%z)
          %all = concat((%w, %y)) {axis=1}
          return %all
        }""")
    x, z = rng.standard_normal((1, 1, 7, 7)).astype(np.float32), rng.standard_normal((1, 1, 1001, 1003)).astype(np.float32)
    want = tenon.compile(module, reference=True)(x, z)
    np.testing.assert_allclose(tenon.compile(module, threads=1)(x, z), want, rtol=1e-5, atol=1e-5)
