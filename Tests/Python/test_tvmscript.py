"""Relax's TVMScript as text that the library reads and writes; Apache TVM is needed only where its own printer speaks."""

import numpy as np
import pytest

import tenon
from tenon import Module

CONVOLUTION = '''
# from tvm.script import ir as I
# from tvm.script import relax as R

@I.ir_module
class Module:
    @T.prim_func(private=True)
    def scale(x: T.Buffer((T.int64(4),), "float32"), y: T.Buffer((T.int64(4),), "float32")):
        T.func_attr({"tir.noalias": True})
        for i in range(T.int64(4)):
            with T.sblock("T_multiply"):
                y[i] = x[i] * T.float32(2.0) if i % 2 == 0 else x[i]

    @R.function
    def main(
        x: R.Tensor((2, 8, 8, 3), dtype="float32"),
        w: R.Tensor((4, 3, 3, 3), dtype="float32"),
        b: R.Tensor((4,), dtype="float32"),
    ) -> R.Tensor((2, 4, 8, 2), dtype="float32"):
        R.func_attr({"num_input": 1})
        cls = Module
        with R.dataflow():
            c: R.Tensor((2, 8, 8, 4), dtype="float32") = R.nn.conv2d(
                x, w, strides=[1, 1], padding=[1, 1, 1, 1], dilation=[1, 1], groups=1, data_layout="NHWC",
                kernel_layout="OHWI", out_layout="NHWC", out_dtype=None)
            r: R.Tensor((1, 1, 1, 4), dtype="float32") = R.reshape(b, R.shape([1, 1, 1, 4]))
            a = R.add(c, r)  # of inferred type
            y: R.Tensor((2, 8, 8, 4), dtype="float32") = cls.act(a)
            s: R.Tuple(R.Tensor((2, 8, 8, 2), dtype="float32"), R.Tensor((2, 8, 8, 2), dtype="float32")) = R.split(y, indices_or_sections=2, axis=3)
            t: R.Tensor((2, 8, 8, 2), dtype="float32") = s[0]
            k = R.multiply(t, R.const(2.0, "float32"))
            z: R.Tensor((2, 4, 8, 2), dtype="float32") = R.strided_slice(k, (1,), (0,), (4,), assume_inbound=False)
            R.output(z)
        return z

    @R.function(private=True)
    def act(a: R.Tensor((2, 8, 8, 4), dtype="float32")) -> R.Tensor((2, 8, 8, 4), dtype="float32"):
        y = R.nn.relu(a)
        return y
'''


def convolution(x, w):
    x = np.pad(x.astype(np.float64), ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 3), axis=(1, 2))
    return np.einsum("nhwcij,oijc->nhwo", windows, w.astype(np.float64))


def test_a_module_of_a_convolution_runs_and_partitions(rng):
    module = Module.parse(CONVOLUTION)
    assert list(module.functions) == ["main", "act"]
    assert module["main"].attributes == {"num_input": 1} and module["act"].attributes == {}
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in ((2, 8, 8, 3), (4, 3, 3, 3), 4))
    expected = np.maximum(convolution(x, w) + b, 0)[..., :2][:, :4] * 2
    for stage in (module, module.apply("InlinePrivateFunctions").optimize()):
        np.testing.assert_allclose(tenon.compile(stage, threads=1)(x, w, b), expected, rtol=1e-4, atol=1e-4)
    inlined = module.apply("InlinePrivateFunctions", "ConvertToDataflow")
    assert "dnnl.conv2d_reshape_add_relu" in str(inlined.apply("FuseConv2dReshapeAddRelu"))


WHOLE = '''
n = TypeVar("n")
@I.ir_module
class M:
    I.module_attrs({"system": "x", "level": 2})
    I.module_global_infos({"vdevice": []})
    @R.function(pure=False)
    def main(x: R.Tensor((n, 4), "float32"), c: R.Tensor((), "bool"),
             q: R.Tuple(R.Tensor((4,), "float32"), R.Object), shape: R.Shape(["m"]),
             o: R.Tensor(dtype="float32", ndim=2), u: R.Tensor, p: R.Prim("int64")) -> R.Any:
        """What it does."""
        R.func_attr({"tag": "it's", "Primitive": False, "rates": [0.5, 1], "none": None})
        a = R.match_cast(o, R.Tensor((n, 4), "float32"))
        if c:
            w = R.add(a, R.const(1, "float32"))
        else:
            h = R.multiply(x, a)
            w = R.subtract(h, R.const([1, 2, 3, 4.5], "float32"))
        d = q[0]
        e = R.call_tir(M.kernel, (d,), out_ty=R.Tensor((4,), "float32"))
        f: R.Tensor((4,), dtype="float32") = R.call_packed("foo", e, ty_args=(R.Tensor((4,), dtype="float32"),))
        g = R.call_dps_packed("bar", (e, f), out_sinfo=R.Tensor((4,), dtype="float32"))
        @R.function
        def inner(p: R.Tensor((4,), "float32")) -> R.Tensor((4,), "float32"):
            r = R.nn.relu(p)
            return r
        i2 = inner(g)
        k = R.reshape(R.nn.relu(x + a), R.shape([n * 2, 2]))
        l = R.full((n, 4), R.const(1.0, "float32"), dtype="float32")
        t = R.astype(l, "float16")
        j = R.permute_dims(R.mean(k, axis=[1], keepdims=True))
        v = (w, i2)
        return (v, t, -j)
    @T.prim_func
    def kernel(x: T.handle, y: T.handle):
        pass
'''


def test_everything_that_a_script_can_say():
    module = Module.parse(WHOLE)
    assert module.attributes == {"system": "x", "level": 2}
    assert module["main"].attributes == {"tag": "it's", "Primitive": False, "rates": [0.5, 1.0]}
    text = str(module)
    for line in (
        "%x: f32[n,4], %c: bool[], %q: (f32[4], object), %shape: shape[m], %o: f32[rank=2], %u: ?[...], %p: scalar i64",
        "%a: f32[n,4] = match_cast(%o, f32[n,4])",
        "if %c {",
        'const f32[4](1.0, 2.0, 3.0, 4.5)',
        '%e: f32[4] = extern "kernel"(%d)',
        '%f: f32[4] = extern "foo"(%e)',
        '%g: f32[4] = extern "bar"(%e, %f)',
        "%inner: fn(f32[4]) -> f32[4] = fn(%p: f32[4]) -> f32[4] {",
        "%i2: f32[4] = %inner(%g)",
        "shape[2*n,2]",
        "astype(%l) {dtype=f16}",
        "negative(%j)",
    ):
        assert line in text, line


def test_a_function_alone_and_the_same_name_again(rng):
    module = Module.parse('''
        from tvm.script import relax as R
        @R.function
        def main(x: R.Tensor(("n", 8), "float32"), w: R.Tensor((4, 8), "float32"), b: R.Tensor((4,), "float32")):
            x = R.linear(x, w, b)
            x = R.nn.relu(x)
            a, b = R.split(x, 2, 1)
            return a * b - a
    ''')
    x, w, b = (rng.standard_normal(shape, np.float32) for shape in ((3, 8), (4, 8), 4))
    y = np.maximum(x @ w.T + b, 0)
    np.testing.assert_allclose(
        tenon.compile(module, threads=1)(x, w, b), y[:, :2] * y[:, 2:] - y[:, :2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("source", [CONVOLUTION, WHOLE])
def test_what_is_written_reads_back(source):
    module = Module.parse(source)
    again = Module.parse(module.script())
    assert again.attributes == module.attributes
    assert again == module


ROUND = '''
fn @main(%x: f32[n,4], %c: bool[], %s: shape[n,m]) -> (f32[n,4], f32[], i64[2]) {bits=[1, 2], name="a\\"b\\\\c"} {
  dataflow {
    %"odd name": f32[n,4] = nn.relu(%x)
    %def: f32[n,4] = exp(%"odd name")
    output %"odd name", %def
  }
  %y: f32[n,4] = if %c {
    dataflow {
      %a: f32[n,4] = add(%x, %def)
      output %a
    }
    yield %a
  } else {
    %b: f32[n,4] = @helper(%def)
    yield %b
  }
  %n: f32[floordiv(n, 2) + 2,4] = extern "no such \\"thing\\""(%y, max(n, 4))
  return (%y, const f32[](-inf), const i64[2](9223372036854775807, -9223372036854775808))
}

fn @helper(%x: f32[n,4]) -> f32[n,4] {Composite="a.b"} {
  %y: f32[n,4] = nn.relu(%x)
  return %y
}
'''.replace("(%y, max(n, 4))", "(%y, shape[max(n, 4),n - 1])")


def test_names_numbers_and_sizes_of_the_text_form():
    module = Module.parse(ROUND)
    again = Module.parse(module.script())
    x, c = np.float32([[-1, 2, 3, 4]]), np.bool_(True)
    assert again["helper"].attributes == {"Composite": "a.b"}
    assert again["main"].attributes == module["main"].attributes
    assert again == module or "yield" in str(again)
    assert "9223372036854775807" in str(again) and "-9223372036854775808" in str(again) and "-inf" in str(again)
    del x, c


def test_large_constants_stay_out_unless_asked_for(rng):
    weight = rng.standard_normal((8, 8), np.float32)
    rows = ", ".join(str(float(value)) for value in weight.ravel())
    module = Module.parse(
        f"fn @main(%x: f32[3,8]) {{ %y = matmul(%x, const f32[8,8]({rows})) return %y }}")
    assert 'metadata["relax.expr.Constant"][0]' in module.script()
    with pytest.raises(tenon.ParseError, match="constant is not in the text"):
        Module.parse(module.script())
    again = Module.parse(module.script(with_data=True))
    assert again == module


@pytest.mark.parametrize("source, message", [
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    y = R.nn.rel(x)\n    return y\n",
     "line 3, column 9: unknown operator 'nn.rel'"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    return z\n", "line 3, column 12: 'z' is not defined"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    y = R.nn.relu(x)\n", "expected 'return'"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float99')):\n    return x\n", "unknown element type 'float99'"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n  with R.dataflow():\n    y = R.exp(x)\n   z = y\n  return x\n",
     "line 5"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    y = R.add(x, x, x)\n    return y\n", "at most 2 arguments"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    y = R.permute_dims(x, axes=[5])\n    return y\n", "permute_dims"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32'), c: R.Tensor((), 'bool')):\n    if c:\n        y = x\n"
     "    else:\n        z = x\n    return y\n", "both branches bind the same name"),
    ("@R.function\ndef main(x: R.Tensor(('n // 0',), 'float32')):\n    return x\n", "neither a size nor a type"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    return " + "(" * 500 + "x", "nested deeper"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    return x" + " + x" * 5000 + "\n", "nested deeper"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    return x" + "[0]" * 5000 + "\n", "nested deeper"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32')):\n    y = R.const([[1, 2], [3]], 'float32')\n    return y\n",
     "rows of different lengths"),
    ("@R.function\ndef main(", "expected a name"),
    ("@R.function\ndef main(x: R.Tensor((2,), 'float32", "expected"),
    ("@", "expected an expression"),
    ("class M:", "expected an indented block"),
])
def test_what_is_wrong_is_said_where_it_is(source, message):
    with pytest.raises(tenon.TenonError) as caught:
        Module.parse(source)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_scripts_cut_anywhere_are_refused_or_read():
    for source in (CONVOLUTION, WHOLE):
        for end in range(0, len(source), 7):
            try:
                Module.parse(source[:end])
            except tenon.TenonError:
                pass


def test_a_long_script_takes_time_in_proportion():
    import time

    def script(count):
        lines = "\n".join(f"        lv{i + 1} = R.nn.relu(lv{i})" for i in range(count))
        return f"@R.function\ndef main(lv0: R.Tensor((4,), 'float32')):\n    with R.dataflow():\n{lines}\n        R.output(lv{count})\n    return lv{count}\n"

    def best(count):
        source, times = script(count), []
        for _ in range(3):
            start = time.process_time()
            module = Module.parse(source)
            module.script()
            times.append(time.process_time() - start)
        return min(times)

    # The processor's time, of which caches take their share: a square would be 16 times as much.
    small, large = best(1000), best(4000)
    assert large < 10 * small


# What Apache TVM itself prints and reads.

@pytest.fixture
def tvm():
    return pytest.importorskip("tvm")


def test_the_printer_of_tvm_is_understood(tvm):
    kernel, rest = CONVOLUTION.split("    @T.prim_func")[0], "    @R.function" + CONVOLUTION.split("    @R.function", 1)[1]
    parsed = tvm.script.from_source((kernel + rest).strip())
    assert Module.parse(parsed.script()) == tenon.from_tvm(parsed)


F = "float32"
IMAGE = ((1, 4, 8, 8), F)
HEADS = ((1, 4, 2, 8), F)
#: Calls as Relax's functions make them of what they are told and what not, with types of their operands.
CALLS = {
    "prelu": (lambda R, x, a: R.nn.prelu(x, a), IMAGE, ((4,), F)),
    "topk": (lambda R, x: R.topk(x, 3), ((5, 8), F)),
    "topk_values": (lambda R, x: R.topk(x, 3, ret_type="values"), ((5, 8), F)),
    "topk_indices": (lambda R, x: R.topk(x, 3, ret_type="indices"), ((5, 8), F)),
    "roi_align": (lambda R, x, r: R.vision.roi_align(x, r, (2, 2), 1.0, sample_ratio=2), IMAGE, ((3, 5), F)),
    "roi_pool": (lambda R, x, r: R.vision.roi_pool(x, r, (2, 2), 1.0), IMAGE, ((3, 5), F)),
    "attention_bias": (lambda R, q, k, v, b: R.nn.attention(q, k, v, b), HEADS, HEADS, HEADS, ((1, 2, 4, 4), F)),
    "attention_causal": (lambda R, q, k, v: R.nn.attention(q, k, v, causal_mask="TopLeft"), HEADS, HEADS, HEADS),
    "quantize": (
        lambda R, x, s, z: R.quantize(x, s, z, axis=1, out_dtype="int8"), ((2, 4), F), ((4,), F), ((4,), "int8")),
    "unique": (lambda R, x: R.unique(x), ((8,), F)),
    "unique_counts": (lambda R, x: R.unique(x, return_counts=True), ((8,), F)),
    "eye": (lambda R, x: R.add(x, R.eye(4, 5, 1)), ((4, 5), F)),
    "tril": (lambda R, x: R.tril(x, 1), ((4, 4), F)),
    "median": (lambda R, x: R.median(x, axis=[1])[0], ((4, 5), F)),
    "median_all": (lambda R, x: R.median(x), ((4, 6), F)),
    "median_kept": (lambda R, x: R.median(x, axis=[0, 2], keepdims=True), ((4, 3, 5), F)),
    "dynamic_strided_slice": (
        lambda R, x, b, e, s: R.dynamic_strided_slice(x, b, e, s), ((8, 8), F), *[((2,), "int64")] * 3),
    "resize": (lambda R, x: R.image.resize2d(x, (4, 4), layout="NHWC", method="nearest_neighbor"), ((1, 8, 8, 4), F)),
    "batch_norm": (lambda R, x, g, b, m, v: R.nn.batch_norm(x, g, b, m, v, axis=1, training=False)[0], IMAGE,
                   *[((4,), F)] * 4),
    "layer_norm": (lambda R, x, g, b: R.nn.layer_norm(x, g, b, axes=-1), ((3, 4), F), ((4,), F), ((4,), F)),
    "group_norm": (lambda R, x, g, b: R.nn.group_norm(x, g, b, 2, 1, [2, 3]), IMAGE, ((4,), F), ((4,), F)),
    "adaptive": (lambda R, x: R.nn.adaptive_avg_pool2d(x), IMAGE),
    "adaptive_one": (lambda R, x: R.nn.adaptive_avg_pool2d(x, (1, 1)), IMAGE),
    "avg_pool": (lambda R, x: R.nn.avg_pool1d(x, 2, padding=1), ((1, 4, 8), F)),
    "max_pool": (lambda R, x: R.nn.max_pool2d(x, (2, 2)), IMAGE),
    "transposed": (
        lambda R, x, w: R.nn.conv2d_transpose(x, w, strides=(2, 2), output_padding=(1, 1)), IMAGE, ((4, 3, 3, 3), F)),
    "argsort": (lambda R, x: R.argsort(x), ((3, 4), F)),
    "reverse": (lambda R, x, n: R.reverse_sequence(x, n), ((3, 4), F), ((3,), "int64")),
    "linear": (lambda R, x, w, b: R.linear(x, w, b), ((4, 5), F), ((3, 5), F), ((3,), F)),
    "strided_slice": (lambda R, x: R.strided_slice(x, [0, 1], [0, 1], [2, 3], [1, 1]), ((3, 4), F)),
    "take": (lambda R, x, i: R.take(x, i, axis=1, mode="clip"), ((3, 4), F), ((2,), "int64")),
    "full": (lambda R, x: R.add(x, R.full((4,), R.relax.const(1.0), F)), ((4,), F)),
    "einsum": (lambda R, a, b: R.einsum((a, b), "ij,jk->ik"), ((3, 4), F), ((4, 5), F)),
}


@pytest.mark.parametrize("name", CALLS)
def test_calls_of_relax_by_their_objects_and_by_their_text(tvm, name):
    from tvm import relax

    relax.op.relax = relax
    make, *operands = CALLS[name]
    builder = relax.BlockBuilder()
    parameters = [relax.Var(f"p{i}", relax.TensorType(list(shape), dtype)) for i, (shape, dtype) in enumerate(operands)]
    with builder.function("main", parameters):
        with builder.dataflow():
            y = builder.emit_output(builder.emit(make(relax.op, *parameters)))
        builder.emit_func_output(y)
    there = builder.get()
    here = tenon.from_tvm(there)
    tenon.compile(here, threads=1)
    assert Module.parse(there.script()) == here
    assert tenon.from_tvm(tvm.script.from_source(here.script())) == here


def test_forms_of_results_have_numbers(rng):
    x = rng.permutation(24).astype(np.float32).reshape(4, 6)

    def run(line, result, *inputs):
        module = Module.parse(
            f"@R.function\ndef main(x: R.Tensor((4, 6), 'float32'), *, s: R.Tensor((6,), 'float32')):\n"
            f"    y = {line}\n    return {result}\n".replace("*, ", ""))
        return tenon.compile(module, threads=1)(x, np.linspace(-1, 1, 6, dtype=np.float32))

    np.testing.assert_array_equal(run("R.median(x, axis=[1])", "y[0]"), np.sort(x, 1)[:, 2])
    places = run("R.median(x, axis=[1])", "y[1]")
    np.testing.assert_array_equal(np.take_along_axis(x, places[:, None], 1)[:, 0], np.sort(x, 1)[:, 2])
    assert run("R.median(x)", "y") == 11 and run("R.median(x, [0, 1], True)", "y").shape == (1, 1)
    np.testing.assert_array_equal(run("R.median(x, axis=0, keepdims=True)", "y[0]"), np.sort(x, 0)[1:2])
    np.testing.assert_array_equal(run("R.topk(x, 2, ret_type='values')", "y"), -np.sort(-x, 1)[:, :2])
    assert run("R.topk(x, 2, ret_type='indices')", "y").dtype == np.int32
    np.testing.assert_array_equal(run("R.unique(x)", "y"), np.arange(24))
    np.testing.assert_allclose(
        run("R.nn.prelu(x - R.const(9.0, 'float32'), s)", "y"),
        np.where(x > 9, x - 9, (x - 9) * np.linspace(-1, 1, 6, dtype=np.float32)), rtol=1e-6)
    np.testing.assert_array_equal(
        run("R.dynamic_strided_slice(x, R.const([0, 1], 'int64'), R.const([4, 6], 'int64'), R.const([2, 3], 'int64'))", "y"),
        x[0:4:2, 1:6:3])


def test_tvm_reads_what_is_written(tvm):
    module = Module.parse(CONVOLUTION)
    there = tvm.script.from_source(module.script())
    assert tenon.from_tvm(there) == module


def test_tvm_reads_sizes_branches_and_functions(tvm):
    module = Module.parse('''
fn @main(%x: f32[n,4], %c: bool[]) -> f32[2*n,2] {
  %f: fn(f32[n,4]) -> f32[n,4] = fn(%p: f32[n,4]) -> f32[n,4] {
    %q: f32[n,4] = nn.relu(%p)
    return %q
  }
  %y: f32[n,4] = if %c {
    %a: f32[n,4] = exp(%x)
    yield %a
  } else {
    %b: f32[n,4] = nn.relu(%x)
    yield %b
  }
  %w: f32[n,4] = %f(%y)
  %z: f32[2*n,2] = reshape(%w, shape[2*n,2])
  return %z
}
''')
    there = tvm.script.from_source(module.script())
    assert tenon.from_tvm(there) == module


def test_calls_of_kernels_match_by_name_and_in_diamonds():
    from tenon.dpl import PatternContext, is_call_dps_packed, is_call_tir, is_var

    module = Module.parse('''
@I.ir_module
class Diamond:
    @R.function
    def main(x: R.Tensor((8, 8), "float32"), w: R.Tensor((8, 8), "float32")) -> R.Tensor:
        cls = Diamond
        with R.dataflow():
            product = R.call_dps_packed("product", (x, w), R.Tensor((8, 8), dtype="float32"))
            left = R.call_dps_packed("left", (product,), R.Tensor((8, 8), dtype="float32"))
            right = R.call_tir(cls.right, (product), out_ty=R.Tensor((8, 8), dtype="float32"))
            total = R.call_dps_packed("total", (left, right), R.Tensor((8, 8), dtype="float32"))
            R.output(total)
        return total
''')
    product, left, right, total = module["main"].graph.bindings
    assert is_call_dps_packed("left", [is_call_dps_packed("product", [is_var("x"), is_var("w")])]).match(left)
    assert is_call_tir("right", [is_call_dps_packed("product")]).match(right)
    assert not is_call_tir("right", [is_call_tir("left")]).match(right)

    def found(only):
        with PatternContext() as context:
            source, ends = is_call_dps_packed("product"), (is_call_dps_packed("left"), is_call_tir("right"))
            join = is_call_dps_packed("total")
            for end in ends:
                source >> end if only else source ^ end
                end >> join
            return context.match_dfb(module["main"])

    matched = found(False)
    assert {str(value) for value in matched.values()} == {str(value) for value in (product, left, right, total)}
    assert not found(True)
