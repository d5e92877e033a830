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


#: Functions of Relax that are none here, and why.
ABSENT = {
    "assert_op print": "effects: a run prints nothing, and what a model demands of sizes it says by casts",
    "builtin.alloc_tensor memory.alloc_storage memory.alloc_tensor memory.kill_storage memory.kill_tensor":
        "memory is planned when a module is compiled",
    "memory.view": "views of memory at byte offsets",
    "call_builtin_with_ctx call_py_func make_closure invoke_closure invoke_pure_closure": "parts of TVM's machine",
    "call_tir call_tir_inplace call_tir_with_grad call_dps_packed call_inplace_packed call_pure_packed":
        "kinds of calls: calls of what the library knows nothing of, in from_tvm and in TVMScript",
    "ccl.allgather ccl.allreduce ccl.broadcast_from_worker0 ccl.scatter_from_worker0 distributed.annotate_sharding "
    "distributed.call_tir_local_view distributed.redistribute distributed.redistribute_replica_to_shard":
        "one process, one machine",
    "grad.avg_pool2d_backward grad.max_pool2d_backward grad.nll_loss_backward grad.take_backward register_gradient":
        "inference",
    "layout_transform": "layouts of a planner; the reorderings among them are permute_dims",
    "linear": "in TVMScript matmul, permute_dims and add",
    "nn.attention_bias": "another name of nn.attention",
    "nn.attention_var_len": "sequences packed into one; nn.attention takes lengths",
    "null_value": "an operand that is left out",
    "get_valid_counts multibox_transform_loc non_max_suppression vision.get_valid_counts vision.multibox_transform_loc "
    "vision.non_max_suppression": "steps of one detector; all_class_non_max_suppression is here",
    "all_class_non_max_suppression roi_align roi_pool": "under vision, as in Relax's registry",
}


def test_operators_of_relax_are_here_or_it_is_said_why_not():
    import inspect

    names = set()

    def collect(module, prefix):
        for name, value in vars(module).items():
            if inspect.isfunction(value) and value.__module__.startswith("tvm.relax.op") and not name.startswith("_"):
                names.add(prefix + name)

    collect(relax.op, "")
    for part in ("nn", "image", "vision", "grad", "memory", "builtin", "ccl", "distributed"):
        if hasattr(relax.op, part):
            collect(getattr(relax.op, part), part + ".")
    absent = {name for group in ABSENT for name in group.split()}
    helpers = {"convert_to_expr", "create_attr_call", "const"}
    assert names - set(tenon.operators()) - absent - helpers == set()
    assert absent & set(tenon.operators()) == set()
