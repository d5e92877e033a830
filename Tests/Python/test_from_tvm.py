"""Modules of Apache TVM, there and back."""

import numpy as np
import pytest

import tenon

tvm = pytest.importorskip("tvm")
from tvm import relax  # noqa: E402

SOURCE = '''
@I.ir_module
class Module:
    @R.function
    def main(x: R.Tensor((2, 8, 8, 3), dtype="float32"), w: R.Tensor((4, 3, 3, 3), dtype="float32"), b: R.Tensor((4,), dtype="float32")):
        with R.dataflow():
            c = R.nn.conv2d(x, w, padding=(1, 1), data_layout="NHWC", kernel_layout="OHWI")
            r = R.reshape(b, (1, 1, 1, 4))
            a = R.add(c, r)
            y = R.nn.relu(a)
            s = R.split(y, 2, axis=3)
            t = s[0]
            k = R.multiply(t, R.const(2.0, "float32"))
            z = R.strided_slice(k, axes=[1], begin=[0], end=[4])
            R.output(z)
        return z
'''


def convolution(x, w):
    x = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,oijc->nhwo", windows, w.astype(np.float64))


def test_a_module_and_its_text(rng):
    module = tenon.from_tvm(SOURCE)
    assert tenon.from_tvm(tvm.script.from_source(SOURCE.strip())) == module
    assert tenon.from_tvm("from tvm.script import ir as I, relax as R\n" + SOURCE) == module
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in ((2, 8, 8, 3), (4, 3, 3, 3), 4))
    expected = np.maximum(convolution(x, w) + b, 0)[..., :2][:, :4] * 2
    for stage in (module, module.optimize(), module.apply("FuseConv2dReshapeAddRelu", "MergeCompositeFunctions")):
        np.testing.assert_allclose(tenon.compile(stage, threads=1)(x, w, b), expected, rtol=1e-4, atol=1e-4)
    assert "dnnl.conv2d_reshape_add_relu" in str(module.apply("FuseConv2dReshapeAddRelu"))


def test_partitioned_there_and_run_here(rng):
    from tvm.relax.dpl import is_op, wildcard

    there = tvm.script.from_source(SOURCE.strip())
    pattern = is_op("relax.nn.relu")(is_op("relax.add")(
        is_op("relax.nn.conv2d")(wildcard(), wildcard()), is_op("relax.reshape")(wildcard(), wildcard())))
    there = relax.transform.FuseOpsByPattern([("dnnl.conv2d_reshape_add_relu", pattern)])(there)
    there = relax.transform.MergeCompositeFunctions()(there)
    here = tenon.from_tvm(there)
    assert any(f.attributes.get("Codegen") == "dnnl" for f in here.functions.values())
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in ((2, 8, 8, 3), (4, 3, 3, 3), 4))
    expected = tenon.compile(tenon.from_tvm(SOURCE), threads=1)(x, w, b)
    np.testing.assert_allclose(tenon.compile(here, threads=1)(x, w, b), expected, rtol=1e-4, atol=1e-4)


def test_back(rng):
    module = tenon.from_tvm(SOURCE)
    there = tenon.to_tvm(module)
    relax.analysis.well_formed(there)
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in ((2, 8, 8, 3), (4, 3, 3, 3), 4))
    again = tenon.from_tvm(there)
    expected = tenon.compile(module, threads=1)(x, w, b)
    np.testing.assert_allclose(tenon.compile(again, threads=1)(x, w, b), expected, rtol=1e-5, atol=1e-5)


def test_large_constants_symbols_and_branches(rng):
    weight = rng.standard_normal((70, 70), np.float32)
    builder = relax.BlockBuilder()
    n = tvm.tirx.Var("n", "int64")
    x = relax.Var("x", relax.TensorType([n, 70], "float32"))
    with builder.function("main", [x]):
        with builder.dataflow():
            y = builder.emit(relax.op.matmul(x, relax.const(weight)))
            y = builder.emit_output(relax.op.nn.relu(y))
        builder.emit_func_output(y)
    module = tenon.from_tvm(builder.get())
    assert [p.name for p in module["main"].graph.parameters] == ["x"] and "f32[n,70]" in str(module)
    data = rng.standard_normal((3, 70), np.float32)
    np.testing.assert_allclose(tenon.compile(module, threads=1)(data), np.maximum(data @ weight, 0), rtol=1e-4, atol=1e-4)


def test_what_is_no_module():
    with pytest.raises(tenon.InvalidTypeError):
        tenon.from_tvm(3)


def test_operators_of_relax_are_here_or_it_is_said_why_not():
    """docs/relax-operators.md lists what is missing, no more and no less than TVM has: functions of relax.op and its registry."""
    import inspect
    import pathlib
    import re

    names = {name.removeprefix("relax.") for name in tvm.ir.Op.list_op_names() if name.startswith("relax.")}

    def collect(module, prefix):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__.startswith("tvm.relax.op") and not name.startswith("_"):
                names.add(prefix + name)

    collect(relax.op, "")
    parts = [name for name, value in vars(relax.op).items() if inspect.ismodule(value) and not name.startswith("_")]
    for part in parts:
        if getattr(relax.op, part).__name__.startswith("tvm.relax.op.") and hasattr(getattr(relax.op, part), "__path__"):
            collect(getattr(relax.op, part), part + ".")
    page = (pathlib.Path(__file__).resolve().parents[2] / "docs/relax-operators.md").read_text()
    listed = [name for row in re.findall(r"^\| (`.*?) \|", page, flags=re.M) for name in re.findall(r"`([\w.]+)`", row)]
    assert len(listed) == len(set(listed))
    helpers = {"convert_to_expr", "create_attr_call", "const"}
    assert names - set(tenon.operators()) - helpers == set(listed)
