"""Operators of Relax that say in another form what others do, beside NumPy and TVM's own code."""

import numpy as np
import pytest

import tenon
from relax_scripts import both_readers

SCRIPT = '''
@I.ir_module
class Module:
    @R.function
    def main({parameters}):
        with R.dataflow():
            y = {call}
            R.output(y)
        return y
'''


def module_of(call, *shapes, dtypes=None):
    names = "xyzw"
    dtypes = dtypes or ["float32"] * len(shapes)
    parameters = ", ".join(f'{name}: R.Tensor({tuple(shape)}, "{dtype}")' for name, shape, dtype in zip(names, shapes, dtypes))
    return SCRIPT.format(parameters=parameters, call=call)


def run(module, *arrays):
    found = tenon.compile(module, threads=1)(*arrays)
    reference = tenon.compile(module, reference=True)(*arrays)
    np.testing.assert_allclose(found, reference, rtol=1e-5, atol=1e-5)
    return found


def legalised(script, *arrays):
    """What TVM makes of the script, compiled by itself."""
    tvm = pytest.importorskip("tvm")
    from tvm import relax

    module = tvm.script.from_source(script.strip())
    executable = relax.build(module, target="llvm")
    machine = relax.VirtualMachine(executable, tvm.cpu())
    result = machine["main"](*[tvm.runtime.tensor(array) for array in arrays])
    return result.numpy()


# ------------------------------------------------------------------------------------------------ grid_sample


@pytest.mark.parametrize("align", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("method", ["bilinear", "nearest", "bicubic"])
def test_grids_with_their_axes_behind_the_batch(rng, method, padding, align):
    script = module_of(
        f'R.image.grid_sample(x, y, method="{method}", padding_mode="{padding}", align_corners={align})', (2, 3, 7, 6), (2, 2, 4, 5))
    x, grid = rng.standard_normal((2, 3, 7, 6), np.float32), rng.uniform(-1.2, 1.2, (2, 2, 4, 5)).astype(np.float32)
    own = tenon.Module.parse(
        "fn @main(%x: f32[2,3,7,6], %y: f32[2,4,5,2]) { %z = image.grid_sample(%x, %y) {method=\"" + method
        + f'", padding_mode="{padding}", align_corners={str(align).lower()}}} return %z }}')
    expected = tenon.compile(own, reference=True)(x, np.ascontiguousarray(grid.transpose(0, 2, 3, 1)))
    for module in both_readers(script):
        assert module["main"].graph.bindings[0].shape == (2, 3, 4, 5)
        np.testing.assert_allclose(run(module, x, grid), expected, rtol=1e-5, atol=1e-5)
    if method == "bilinear":
        np.testing.assert_allclose(legalised(script, x, grid), expected, rtol=1e-3, atol=1e-3)


def test_grids_there_and_back(rng):
    pytest.importorskip("tvm")
    own = tenon.Module.parse(
        "fn @main(%x: f32[2,3,7,6], %y: f32[2,4,5,2]) { %z = image.grid_sample(%x, %y) return %z }")
    x, grid = rng.standard_normal((2, 3, 7, 6), np.float32), rng.uniform(-1, 1, (2, 4, 5, 2)).astype(np.float32)
    expected = run(own, x, grid)
    for module in (tenon.from_tvm(tenon.to_tvm(own)), tenon.Module.parse(own.script())):
        np.testing.assert_allclose(run(module, x, grid), expected, rtol=1e-5, atol=1e-5)


def test_grid_axes_that_are_none():
    with pytest.raises(tenon.TenonError, match="grid_axis"):
        tenon.Module.parse(
            "fn @main(%x: f32[2,3,7,6], %y: f32[2,4,5,2]) { %z = image.grid_sample(%x, %y) {grid_axis=2} return %z }")
    with pytest.raises(tenon.TenonError, match="2 in its last dimension"):
        tenon.Module.parse(module_of("R.image.grid_sample(x, y)", (2, 3, 7, 6), (2, 4, 5, 2)))


# ------------------------------------------------------------------------------------------------ attention


@pytest.mark.parametrize("size", [1, 2, 4, 100])
@pytest.mark.parametrize("causal", ["TopLeft", "BottomRight"])
def test_windows_of_causal_attention(rng, causal, size):
    shapes = (1, 5, 2, 8), (1, 7, 2, 8), (1, 7, 2, 8)
    script = module_of(f'R.nn.attention(x, y, z, causal_mask="{causal}", window_size={size})', *shapes)
    q, k, v = (rng.standard_normal(shape, np.float32) for shape in shapes)
    scores = np.einsum("bqhd,bkhd->bhqk", q.astype(np.float64), k) / np.sqrt(8)
    own = np.arange(5)[:, None] + (2 if causal == "BottomRight" else 0)
    keys = np.arange(7)[None]
    scores = np.where((keys <= own) & (own - keys < size), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = np.einsum("bhqk,bkhd->bqhd", weights / weights.sum(-1, keepdims=True), v)
    for module in both_readers(script):
        np.testing.assert_allclose(run(module, q, k, v), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("given", ['causal_mask="TopLeft", window_size=0', "window_size=2"])
def test_windows_that_are_none(given):
    with pytest.raises(tenon.TenonError, match="window_size"):
        tenon.Module.parse(module_of(f"R.nn.attention(x, y, z, {given})", *[(1, 4, 2, 8)] * 3))


# ------------------------------------------------------------------------------------------- layout_transform

MAPS = [
    ("lambda n, c, h, w: (n, c // 4, h, w, c % 4)", (1, 8, 3, 2)),
    ("lambda n, c, h, w: (n, c // 4, h, w, c % 4)", (2, 6, 3, 2)),
    ("lambda i, j: (j, i)", (3, 5)),
    ("lambda i, j: (i * 5 + j,)", (3, 5)),
    ("lambda i: (i // 4, i % 4 // 2, i % 2)", (8,)),
    ("lambda i: (i // 4, i // 2 % 2, i % 2)", (7,)),
    ("lambda i, j: (i // 2, j // 3, i % 2, j % 3)", (5, 7)),
]


@pytest.mark.parametrize("index_map, shape", MAPS)
def test_layouts_by_maps_of_indices(rng, index_map, shape):
    x = rng.standard_normal(shape, np.float32)
    transform = eval(index_map)
    places = {index: transform(*index) for index in np.ndindex(*shape)}
    expected = np.full(np.max(list(places.values()), axis=0) + 1, 7.0, np.float32)
    for index, place in places.items():
        expected[place] = x[index]
    script = module_of(f"R.layout_transform(x, index_map=T.index_map({index_map}), pad_value=7.0)", shape)
    for module in both_readers(script):
        # A size that is not a multiple is filled up.
        found = run(module, x)
        assert all(a <= b for a, b in zip(expected.shape, found.shape))
        whole = np.full(found.shape, 7.0, np.float32)
        whole[tuple(slice(size) for size in expected.shape)] = expected
        np.testing.assert_array_equal(found, whole)
        again = tenon.Module.parse(module.script())
        np.testing.assert_array_equal(run(again, x), whole)


def test_layouts_as_tvm_has_them(rng):
    pytest.importorskip("tvm")
    for index_map, shape in MAPS[:2]:
        script = module_of(f"R.layout_transform(x, index_map=T.index_map({index_map}), pad_value=7.0)", shape)
        x = rng.standard_normal(shape, np.float32)
        module = tenon.from_tvm(script)
        np.testing.assert_array_equal(run(module, x), legalised(script, x))
        assert tenon.from_tvm(tenon.to_tvm(module)) == module


@pytest.mark.parametrize("index_map, message", [
    ("i -> i // 2", "all digits"), ("i -> i // 4, i % 2", "gaps"), ("i -> i % 2", "all digits"), ("i, i -> i", "names"),
    ("i -> j", "begin with"), ("i ->", "begin with"), ("i", "'->'"), ("", "names"), ("i -> i, i", "without gaps"),
    ("i -> i // 0", "above 0"), ("i -> i * 3", "factors"), ("i -> " + "(" * 100 + "i" + ")" * 100, "fewer brackets"),
    ("i -> i // 9223372036854775807 // 9223372036854775807", "divide"), ("i -> i + 3", "begin with"), ("i -> i i", "results"),
    ("i, j -> i, j", "1 indices"),
])
def test_maps_that_are_none(index_map, message):
    with pytest.raises(tenon.TenonError, match=message):
        tenon.Module.parse(f'fn @main(%x: f32[8]) {{ %y = layout_transform(%x) {{index_map="{index_map}"}} return %y }}')


# ------------------------------------------------------------------------------------------------ memory.view


@pytest.mark.parametrize("call, expected", [
    ("R.memory.view(x, [3, 8])", lambda x: x.reshape(3, 8)),
    ('R.memory.view(x, dtype="int32")', lambda x: x.view(np.int32)),
    ("R.memory.view(x, [3], relative_byte_offset=8)", lambda x: x.reshape(-1)[2:5]),
    ('R.memory.view(x, [2, 2], "uint16", 6)', lambda x: x.reshape(-1).view(np.uint16)[3:7].reshape(2, 2)),
    ('R.memory.view(x, [12], "float64")', lambda x: x.reshape(-1).view(np.float64)),
    ("R.memory.view(x)", lambda x: x),
])
def test_views_of_memory(rng, call, expected):
    x = rng.standard_normal((4, 6), np.float32)
    for module in both_readers(module_of(call, (4, 6))):
        found = run(module, x)
        np.testing.assert_array_equal(found.view(np.uint8), expected(x).view(np.uint8))


@pytest.mark.parametrize("arguments, attributes", [
    ("%x, shape[25]", ""), ("%x, shape[24]", "relative_byte_offset=4"), ("%x", "relative_byte_offset=-4"), ("%x", "dtype=f64"),
    ("%x", "dtype=bool"), ("%x, shape[9223372036854775807]", "dtype=f64"), ("%x", "dtype=str"),
])
def test_views_that_leave_their_memory(arguments, attributes):
    with pytest.raises(tenon.TenonError, match="memory.view|unknown|expected"):
        tenon.Module.parse(f"fn @main(%x: f32[4,6]) {{ %y = memory.view({arguments}) {{{attributes}}} return %y }}")


def test_views_of_unknown_size_are_checked_when_they_run():
    module = tenon.Module.parse("fn @main(%x: f32[n]) { %y = memory.view(%x, shape[4]) {relative_byte_offset=4} return %y }")
    executable = tenon.compile(module)
    np.testing.assert_array_equal(executable(np.arange(5, dtype=np.float32)), [1, 2, 3, 4])
    with pytest.raises(tenon.TenonError, match="16 bytes from byte 4"):
        executable(np.arange(4, dtype=np.float32))


# ------------------------------------------------------------------------------------------------- gradients


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_gradients_of_take(rng, axis):
    shape = (5,) if axis is None else (4, 5)
    x, indices = rng.standard_normal(shape, np.float32), np.array([[0, 2, 2], [3, 0, 0]])
    out = np.take(x, indices, axis=axis or 0 if axis is None else axis)
    grad = rng.standard_normal(out.shape, np.float32)
    expected = np.zeros(shape)
    for place in np.ndindex(*out.shape):
        where = axis if axis is not None and axis >= 0 else len(shape) - 1
        index = (*place[:where], indices[place[where:where + 2]], *place[where + 2:])
        expected[index] += grad[place]
    text = "" if axis is None else f", axis={axis}"
    script = module_of(f"R.grad.take_backward(x, y, z{text})", grad.shape, shape, indices.shape, dtypes=["float32", "float32", "int64"])
    for module in both_readers(script):
        np.testing.assert_allclose(run(module, grad, x, indices), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (3, 4, 2, 3)])
def test_gradients_of_likelihoods(rng, reduction, weighted, shape):
    targets = rng.integers(0, 4, (shape[0], *shape[2:]))
    targets.reshape(-1)[1] = -1
    weights = rng.random(4, np.float32) + 0.5 if weighted else np.ones(4, np.float32)
    grad = rng.standard_normal(targets.shape if reduction == "none" else (), np.float32)
    each = np.where(targets == -1, 0, weights[targets])
    factor = each * grad / (each.sum() if reduction == "mean" else 1)
    expected = -1.0 * (np.arange(4).reshape(1, 4, *[1] * (len(shape) - 2)) == np.expand_dims(targets, 1)) * np.expand_dims(factor, 1)
    last = ", w" if weighted else ""
    shapes = [grad.shape, shape, targets.shape] + [(4,)] * weighted
    script = module_of(f'R.grad.nll_loss_backward(x, y, z{last}, reduction="{reduction}", ignore_index=-1)', *shapes,
                       dtypes=["float32", "float32", "int64", "float32"])
    arrays = [grad, rng.standard_normal(shape, np.float32), targets] + [weights] * weighted
    for module in both_readers(script):
        np.testing.assert_allclose(run(module, *arrays), expected, rtol=1e-5, atol=1e-5)


WINDOWS = [
    "pool_size=[2, 2], strides=[2, 2]", "pool_size=[3, 3], strides=[1, 1], padding=[1, 1, 1, 1]",
    "pool_size=[3, 2], strides=[2, 2], padding=[1, 0, 1, 0]", "pool_size=[2, 2], strides=[3, 3]",
    "pool_size=[3, 3], strides=[2, 2], padding=[1, 1, 1, 1], ceil_mode=True", "pool_size=[2, 2], strides=[1, 2], dilation=[2, 2]",
]


def differences(forward, x, grad):
    """The gradient by differences, in double precision."""
    found = np.zeros(x.shape)
    for place in np.ndindex(*x.shape):
        more, less = x.copy(), x.copy()
        more[place] += 1e-3
        less[place] -= 1e-3
        found[place] = ((forward(more) - forward(less)) * grad).sum() / 2e-3
    return found


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("kind, more", [("max", ""), ("avg", ""), ("avg", ", count_include_pad=True")])
def test_gradients_of_pools(rng, kind, more, window):
    if more and "ceil" in window:
        pytest.skip("said not to be supported")
    x = rng.permutation(2 * 2 * 6 * 7).reshape(2, 2, 6, 7).astype(np.float64)
    script = module_of(f"R.nn.{kind}_pool2d(x, {window}{more})", x.shape, dtypes=["float64"])
    executable = tenon.compile(tenon.Module.parse(script), reference=True)
    grad = rng.standard_normal(executable(x).shape, np.float32)
    expected = differences(executable, x, grad)
    backward = module_of(f"R.grad.{kind}_pool2d_backward(x, y, {window}{more})", grad.shape, x.shape)
    for module in both_readers(backward):
        np.testing.assert_allclose(run(module, grad, x.astype(np.float32)), expected, rtol=1e-3, atol=1e-3)
    behind = [np.ascontiguousarray(array.astype(np.float32).transpose(0, 2, 3, 1)) for array in (grad, x)]
    script = module_of(f'R.grad.{kind}_pool2d_backward(x, y, {window}{more}, layout="NHWC")', *[array.shape for array in behind])
    for module in both_readers(script):
        np.testing.assert_allclose(run(module, *behind), expected.transpose(0, 2, 3, 1), rtol=1e-3, atol=1e-3)
