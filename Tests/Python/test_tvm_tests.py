"""docs/tvm-tests.md: what it names exists; and what TVM's pattern table of DNNL fuses is fused here."""

import importlib
import pathlib
import re
import sys

import numpy as np
import pytest

import tenon

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/tvm-tests.md").read_text()
ROWS = re.findall(r"^\| (?!TVM's \||---)(.*?) \| (.*) \|$", PAGE, flags=re.M)

#: How many tests each file of TVM has; a table with another number of rows has lost one. Types as constraints have had two names.
COUNTS = {
    "test_dataflow_pattern.py": 59, "test_dataflow_rewriter.py": 28, "test_transform_fuse_ops_by_pattern.py": 27,
    "test_transform_merge_composite_functions.py": 12, "test_transform_canonicalize_bindings.py": 37, "test_codegen_dnnl.py": 1,
    "test_conv2d_reshape_add_relu.py": 3, "Pattern table of DNNL": 5,
}


def test_every_test_of_tvm_has_a_row_of_its_own():
    sections = re.split(r"^## (.*)$", PAGE, flags=re.M)[1:]
    found = {name: len(re.findall(r"^\| (?!TVM's \||---)", text, flags=re.M)) for name, text in zip(sections[::2], sections[1::2])}
    assert found == COUNTS
    assert len({(name, row) for name, text in zip(sections[::2], sections[1::2]) for row in
                re.findall(r"^\| (.*?) \|", text, flags=re.M)}) == sum(COUNTS.values()) + 2 * len(COUNTS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_what_a_row_names_exists(row):
    scenarios = (ROOT / "docs/scenarios.md").read_text()
    ids = re.findall(r"\b[MRFCDBW]-\d\d\b", row[1])
    files = re.findall(r"`(\w+/[\w.]+)(?:::(\w+))?`", row[1])
    assert ids or files
    for scenario in ids:
        assert re.search(rf"^\| {scenario} \|", scenarios, flags=re.M), scenario
    for file, function in files:
        text = (ROOT / "Tests" / file).read_text()
        assert not function or re.search(rf"^def {function}\(", text, flags=re.M), (file, function)


# ------------------------------------------------------------------------------------- the pattern table of DNNL

ANCHORS = {
    "conv1d": ("nn.conv1d", (1, 4, 12), (6, 4, 3), (1, 6, 1)),
    "conv2d": ("nn.conv2d", (1, 4, 8, 8), (6, 4, 3, 3), (1, 6, 1, 1)),
    "conv3d": ("nn.conv3d", (1, 4, 5, 5, 5), (6, 4, 3, 3, 3), (1, 6, 1, 1, 1)),
    "deconv2d": ("nn.conv2d_transpose", (1, 4, 6, 6), (4, 6, 3, 3), (1, 6, 1, 1)),
    "deconv3d": ("nn.conv3d_transpose", (1, 4, 4, 4, 4), (4, 6, 3, 3, 3), (1, 6, 1, 1, 1)),
    "dense": ("matmul", (5, 4), (4, 6), (6,)),
}

ACTIVATIONS = {
    None: "", "relu": "%r = nn.relu(%y)", "tanh": "%r = tanh(%y)", "sigmoid": "%r = sigmoid(%y)", "clip": "%r = clip(%y, 0.0, 6.0)",
    "gelu": ("%d = divide(%y, const f32[](1.4142135)) %e = erf(%d) %f = add(%e, const f32[](1)) %g = multiply(%y, %f) "
             "%r = multiply(%g, const f32[](0.5))"),
    "swish": "%s = sigmoid(%y) %r = multiply(%y, %s)",
}


def tensor(shape):
    return f"f32[{','.join(map(str, shape))}]"


def module_of(anchor, bias, activation, extra=""):
    op, data, weight, shift = ANCHORS[anchor]
    body = f"%y0 = {op}(%x, %w) " + ("%y = add(%y0, %b) " if bias else "%y = %y0 ") + ACTIVATIONS[activation] + extra
    parameters = f"%x: {tensor(data)}, %w: {tensor(weight)}, %b: {tensor(shift)}"
    return tenon.Module.parse(f"fn @main({parameters}) {{ dataflow {{ {body} output {'%r' if activation else '%y'} }} "
                              f"return {'%r' if activation else '%y'} }}"), (data, weight, shift)


def composites(module):
    return re.findall(r'Composite: ?"([^"]*)"', str(module)) or re.findall(r'Composite[^"]*"([^"]*)"', str(module))


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=str)
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "plain"])
@pytest.mark.parametrize("anchor", ANCHORS)
def test_patterns_of_the_table(rng, anchor, bias, activation):
    module, shapes = module_of(anchor, bias, activation)
    optimised = module.optimize()
    assert len(composites(optimised)) == 1, optimised
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    expected = tenon.compile(module, reference=True)(*arrays)
    found = tenon.compile(optimised, threads=1, optimize=False)(*arrays)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("relu", [True, False], ids=["relu", "plain"])
def test_sums_of_the_table(rng, relu):
    body = "%c = nn.conv2d(%x, %w) %s = add(%c, %b) %y = add(%s, %z) " + ("%r = nn.relu(%y) " if relu else "")
    last = "%r" if relu else "%y"
    shapes = (1, 4, 8, 8), (6, 4, 3, 3), (1, 6, 1, 1), (1, 6, 6, 6)
    parameters = ", ".join(f"%{name}: {tensor(shape)}" for name, shape in zip("xwbz", shapes))
    module = tenon.Module.parse(f"fn @main({parameters}) {{ dataflow {{ {body} output {last} }} return {last} }}")
    optimised = module.optimize()
    assert len(composites(optimised)) == 1, optimised
    arrays = [rng.standard_normal(shape, np.float32) for shape in shapes]
    expected = tenon.compile(module, reference=True)(*arrays)
    np.testing.assert_allclose(tenon.compile(optimised, optimize=False)(*arrays), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("call", [
    "nn.batch_norm(%x, %v, %v, %v, %p)", "nn.max_pool2d(%x) {pool_size=[2,2]}", "nn.avg_pool2d(%x) {pool_size=[2,2]}", "abs(%x)",
    "clip(%x, 0.0, 1.0)", "exp(%x)", "log(%p4)", "sqrt(%p4)", "round(%x)", "nn.relu(%x)", "nn.leakyrelu(%x)", "tanh(%x)", "sigmoid(%x)",
    "nn.softmax(%x)", "add(%x, %z)", "multiply(%x, %z)", "nn.layer_norm(%x, %v, %p) {axes=[-1]}", "matmul(%x, %z)",
], ids=lambda call: call.split("(")[0])
def test_single_operators_of_the_table(rng, call):
    item = call.startswith("nn.batch_norm")
    module = tenon.Module.parse(
        "fn @main(%x: f32[2,4,4,4], %z: f32[2,4,4,4], %p4: f32[2,4,4,4], %v: f32[4], %p: f32[4]) { dataflow { %t = " + call
        + (" %y = %t.0" if item else " %y = %t") + " output %y } return %y }")
    optimised = module.optimize()
    # These run on kernels of our own.
    assert "Codegen" in str(optimised) or call.startswith(("exp", "log", "nn.batch_norm")), optimised
    arrays = [rng.standard_normal((2, 4, 4, 4), np.float32) for _ in range(2)]
    arrays += [rng.random((2, 4, 4, 4), np.float32) + 1, rng.standard_normal(4, np.float32), rng.random(4, np.float32) + 1]
    expected = tenon.compile(module, reference=True)(*arrays)
    np.testing.assert_allclose(tenon.compile(optimised, optimize=False)(*arrays), expected, rtol=1e-4, atol=1e-4)
