"""Timeouts and tokens end every long call, in time and with nothing changed."""

import threading
import time

import numpy as np
import pytest

import tenon


def chain(length, op="nn.relu", shape="f32[4]"):
    lines = [f"    %v{i + 1}: {shape} = {op}(%v{i})" for i in range(length)]
    return f"fn @main(%v0: {shape}) -> {shape} {{\n  dataflow {{\n" + "\n".join(lines) + (
        f"\n    output %v{length}\n  }}\n  return %v{length}\n}}")


@pytest.fixture(scope="module")
def module():
    return tenon.Module.parse(chain(3000))


RULE = """
fn @before(%x: f32[4]) -> f32[4] {
  %y: f32[4] = nn.relu(%x)
  return %y
}
fn @after(%x: f32[4]) -> f32[4] {
  %y: f32[4] = exp(%x)
  return %y
}"""

CALLS = {
    "optimize": lambda m, data, tmp, **limits: m.optimize(**limits),
    "apply": lambda m, data, tmp, **limits: m.apply("FoldConstant", **limits),
    "fuse": lambda m, data, tmp, **limits: m.fuse("a.b = nn.relu(*);", **limits),
    "rewrite": lambda m, data, tmp, **limits: m.rewrite(RULE, **limits),
    "explain": lambda m, data, tmp, **limits: m.explain(**limits),
    "print": lambda m, data, tmp, **limits: m.print(**limits),
    "save": lambda m, data, tmp, **limits: m.save_onnx(tmp / "model.onnx", **limits),
    "load": lambda m, data, tmp, **limits: tenon.Module.load_onnx(data, **limits),
    "compile": lambda m, data, tmp, **limits: tenon.compile(m, threads=1, **limits),
    "tune": lambda m, data, tmp, **limits: tenon.compile(m, threads=1, tuning=1, **limits),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_deadline_ends_the_call(module, tmp_path, call):
    data = module.serialize_onnx()
    text = module.print()
    with pytest.raises(tenon.DeadlineExceededError):
        CALLS[call](module, data, tmp_path, timeout=1e-6)
    assert module.print() == text
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("call", CALLS)
def test_a_token_ends_the_call(module, tmp_path, call):
    data = module.serialize_onnx()
    token = tenon.CancelToken()
    token.cancel()
    with pytest.raises(tenon.CancelledError):
        CALLS[call](module, data, tmp_path, cancel=token)
    # And what had time enough goes through with it.
    token.reset()
    CALLS[call](module, data, tmp_path, cancel=token, timeout=600)


def test_a_deadline_holds_inside_one_kernel():
    """One multiplication of many seconds, on the kernels of the library."""
    n = 3000
    module = tenon.Module.parse(f"""
        fn @main(%x: f64[{n},{n}], %y: f64[{n},{n}]) -> f64[{n},{n}] {{
          %z: f64[{n},{n}] = matmul(%x, %y)
          return %z
        }}""")
    for threads in (1, 2):
        run = tenon.compile(module, threads=threads)
        x = np.ones((n, n))
        start = time.monotonic()
        with pytest.raises(tenon.DeadlineExceededError):
            run.run([x, x], timeout=0.05)
        # 50 ms after the deadline on an idle machine; tests share theirs.
        assert time.monotonic() - start < 1.0


def test_a_token_of_another_thread_ends_one_kernel():
    n = 3000
    module = tenon.Module.parse(f"""
        fn @main(%x: f64[{n},{n}]) -> f64[{n},{n}] {{
          %z: f64[{n},{n}] = matmul(%x, %x)
          return %z
        }}""")
    token = tenon.CancelToken()
    run = tenon.compile(module, threads=1)
    timer = threading.Timer(0.1, token.cancel)
    timer.start()
    start = time.monotonic()
    with pytest.raises(tenon.CancelledError):
        run.run([np.ones((n, n))], cancel=token)
    assert time.monotonic() - start < 1.5
    timer.join()


def test_limits_do_not_change_results(rng):
    x = rng.standard_normal((257, 130))
    module = tenon.Module.parse("""
        fn @main(%x: f64[257,130]) -> f64[257,257] {
          %t: f64[130,257] = permute_dims(%x)
          %z: f64[257,257] = matmul(%x, %t)
          %s: f64[257,257] = nn.softmax(%z)
          return %s
        }""")
    for threads in (1, 2):
        run = tenon.compile(module, threads=threads)
        np.testing.assert_array_equal(run.run([x])[0], run.run([x], timeout=100, cancel=tenon.CancelToken())[0])


def convolution(batch, channels, size):
    builder = tenon.Builder()
    x = builder.parameter("x", [batch, channels, size, size])
    weights = np.random.default_rng(2).standard_normal((channels, channels, 3, 3)).astype(np.float32)
    y = builder.call("nn.conv2d", x, builder.constant(weights), padding=[1, 1, 1, 1])
    return builder.finish(y)


def test_a_run_ends_within_one_long_convolution():
    # 170 Gflop: seconds, in one primitive of oneDNN.
    executable = tenon.compile(convolution(1, 384, 256), threads=1, cancellable=True)
    x = np.ones((1, 384, 256, 256), np.float32)
    started = time.monotonic()
    with pytest.raises(tenon.DeadlineExceededError):
        executable.run([x], timeout=0.2)
    # 50 ms after it on an idle machine; tests share theirs.
    assert time.monotonic() - started < 1.0
    token = tenon.CancelToken()
    timer = threading.Timer(0.2, token.cancel)
    timer.start()
    started = time.monotonic()
    with pytest.raises(tenon.CancelledError):
        executable.run([x], cancel=token)
    assert time.monotonic() - started < 1.0
    timer.join()


LINES = {
    "max_pool1d": ("f64[1,1,60000]", "nn.max_pool1d(%x) {pool_size=[30000], strides=[1]}"),
    "avg_pool1d": ("f32[1,1,60000]", "nn.avg_pool1d(%x) {pool_size=[30000], strides=[1]}"),
    "max_pool2d": ("f32[1,1,300,3000]", "nn.max_pool2d(%x) {pool_size=[150, 1500], strides=[1, 1]}"),
    "with_indices": ("f32[1,1,60000]", "nn.max_pool1d_with_indices(%x) {pool_size=[30000], strides=[1]}"),
    "adaptive": ("i64[16,2,4,5]", "nn.adaptive_avg_pool2d(%x) {output_size=[40, 1000000]}"),
    "lrn": ("f32[1,100000,4]", "nn.lrn(%x) {size=99999}"),
    "softmax": ("f32[8388608,4]", "nn.softmax(%x)"),
    "cumsum": ("f32[1,67108864]", "cumsum(%x) {axis=1}"),
    "nonzero": ("f32[33554432]", "nonzero(%x)"),
    "outer_product": ("f32[20000,1]", "matmul(%x, const#0: f32[1,20000])"),
}


@pytest.mark.parametrize("name", LINES)
def test_a_deadline_holds_inside_one_line(name):
    """A window, a row or a product of a column and a row that is long by itself."""
    shape, expression = LINES[name]
    if "const#0" in expression:
        builder = tenon.Builder()
        left = builder.parameter("x", [20000, 1])
        module = builder.finish(builder.call("matmul", left, builder.constant(np.ones((1, 20000), np.float32))))
    else:
        module = tenon.Module.parse(f"fn @main(%x: {shape}) {{ %y = {expression}  return %y }}")
    dtype, sizes = shape[:-1].split("[")
    kind = {"f32": np.float32, "f64": np.float64, "i64": np.int64}[dtype]
    x = np.ones([int(size) for size in sizes.split(",")], kind)
    run = tenon.compile(module, threads=1, cancellable=True)
    start = time.process_time()
    with pytest.raises(tenon.DeadlineExceededError):
        run.run([x], timeout=0.02)
    # 50 ms after it in an optimised library on an idle machine.
    assert time.process_time() - start < 2.0


@pytest.mark.parametrize("rows", ["n", 1 << 26])
def test_a_deadline_holds_while_an_input_is_copied(rows):
    """Inputs that are not dense are copied first, of any size."""
    module = tenon.Module.parse(f"fn @main(%x: f32[{rows},4]) {{ %y = argmax(%x) {{axis=1}}  return %y }}")
    run = tenon.compile(module, threads=1)
    x = np.lib.stride_tricks.as_strided(np.ones((1, 4), np.float32), (1 << 26, 4), (0, 4))
    start = time.process_time()
    with pytest.raises(tenon.DeadlineExceededError):
        run.run([x], timeout=0.02)
    assert time.process_time() - start < 2.0
