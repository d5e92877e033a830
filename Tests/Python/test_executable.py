import gc
import pickle
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest

import tenon


def module(*shape, dtype="f32"):
    """relu(a - b)"""
    b = tenon.Builder()
    x, y = b.parameter("a", shape, dtype), b.parameter("b", shape, dtype)
    return b.finish(b.call("nn.relu", x - y), attributes={"output_names": ["difference"]})


@pytest.fixture
def run():
    with tenon.compile(module(2, 3)) as executable:
        yield executable


A = np.arange(6, dtype=np.float32).reshape(2, 3)
B = np.full((2, 3), 2, np.float32)
EXPECTED = np.maximum(A - B, 0)


def test_ports(run):
    assert [port.name for port in run.inputs] == ["a", "b"]
    assert run.outputs[0] == tenon.Port("difference", np.dtype(np.float32), (2, 3), "f32[2,3]")
    assert repr(run) == "<tenon.Executable (a: f32[2,3], b: f32[2,3]) -> (difference: f32[2,3])>"


def test_calls(run):
    for result in (run(A, B), run(a=A, b=B), run(b=B, a=A), run(A, b=B), run.run({"b": B, "a": A})[0]):
        np.testing.assert_array_equal(result, EXPECTED)
        assert result.dtype == np.float32 and result.flags.writeable


def test_results_are_independent(run):
    first = run(A, B)
    run(B, A)
    np.testing.assert_array_equal(first, EXPECTED)


def test_names_and_counts(run):
    with pytest.raises(tenon.InvalidArgumentError, match="no input 'c'; expected 'a', 'b'"):
        run(A, c=B)
    with pytest.raises(tenon.InvalidArgumentError, match="input 'a' is given twice"):
        run(A, a=B)
    with pytest.raises(tenon.InvalidArgumentError, match="input 'b' is missing"):
        run(a=A)
    with pytest.raises(ValueError, match=r"expected 2 inputs.*found 1"):
        run(A)
    with pytest.raises(ValueError):
        run(A, B, A)


def test_types_and_shapes(run):
    with pytest.raises(TypeError, match=r"input 'a' expects f32\[2,3\], found f64\[2,3\]") as caught:
        run(A.astype(np.float64), B)
    assert caught.value.node == "a"
    with pytest.raises(ValueError, match=r"input 'b' expects f32\[2,3\], found f32\[3,2\]"):
        run(A, B.reshape(3, 2))
    with pytest.raises(tenon.InvalidTypeError, match="byte order"):
        run(A.astype(">f4"), B)
    with pytest.raises(tenon.InvalidTypeError):
        run(np.array(["x"] * 6).reshape(2, 3), B)
    with pytest.raises(tenon.InvalidTypeError):
        run(A, [[None]])


@pytest.mark.parametrize("layout", [
    lambda a: np.asfortranarray(a), lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1, ::-1].copy()[::-1, ::-1],
    lambda a: np.frombuffer(b"x" + a.tobytes(), np.uint8)[1:].view(np.float32).reshape(2, 3),
])
def test_inputs_of_any_layout(run, layout):
    array = layout(A)
    np.testing.assert_array_equal(array, A)
    np.testing.assert_array_equal(run(array, B), EXPECTED)


def test_read_only_and_broadcast_inputs(run):
    array = A.copy()
    array.flags.writeable = False
    np.testing.assert_array_equal(run(array, np.broadcast_to(np.float32(2), (2, 3))), EXPECTED)


def test_callers_outputs(run):
    out = np.empty((2, 3), np.float32)
    assert run.run([A, B], [out])[0] is out
    np.testing.assert_array_equal(out, EXPECTED)
    with pytest.raises(ValueError, match="dense"):
        run.run([A, B], [np.empty((3, 2), np.float32).T])
    frozen = np.empty((2, 3), np.float32)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        run.run([A, B], [frozen])
    # Over an input: the result is that of the old values.
    both = A.copy()
    run.run([both, B], [both])
    np.testing.assert_array_equal(both, EXPECTED)


def test_dlpack(run):
    class Foreign:
        def __dlpack__(self, **arguments):
            return A.__dlpack__(**arguments)

        def __dlpack_device__(self):
            return A.__dlpack_device__()

    np.testing.assert_array_equal(run(Foreign(), B), EXPECTED)
    np.testing.assert_array_equal(np.from_dlpack(run(A, B)), EXPECTED)


def test_symbolic_shapes():
    run = tenon.compile(module("n", 2))
    assert run.inputs[0].shape == (None, 2)
    run.prepare((4, 2), (4, 2))
    for n in (1, 3, 4, 0):
        a = np.arange(2 * n, dtype=np.float32).reshape(n, 2)
        result = run(a, np.ones((n, 2), np.float32))
        np.testing.assert_array_equal(result, np.maximum(a - 1, 0))
    with pytest.raises(tenon.InvalidShapeError):
        run(np.zeros((1, 2), np.float32), np.zeros((2, 2), np.float32))
    with pytest.raises(tenon.InvalidShapeError):
        run.prepare((4, 3), (4, 3))


def test_bytes_of_a_run_are_told_before_it():
    chain = tenon.Module.parse("""
        fn @main(%x: f32[n,8]) -> f32[n,8] {
          %a = nn.softmax(%x)
          %b = cumsum(%a) {axis = 0}
          %c = nn.softmax(%b)
          return %c
        }""")
    run = tenon.compile(chain, threads=1)
    (few, is_complete), (many, _) = run.run_bytes((16, 8)), run.run_bytes((4096, 8))
    assert is_complete and 16 * 8 * 4 <= few < many and 4096 * 8 * 4 <= many < 16 * 4096 * 8 * 4
    run(np.ones((4096, 8), np.float32))
    assert run.memory.arena <= many
    with pytest.raises(tenon.InvalidShapeError):
        run.run_bytes((4, 3))
    counted = tenon.compile(tenon.Module.parse("""
        fn @main(%x: f32[n]) -> i64[rank=2] {
          %i = nonzero(%x)
          return %i
        }"""))
    assert counted.run_bytes((4,))[1] is False


def test_new_results_live_as_long_as_they_are_used():
    run = tenon.compile(module("n", 2))
    result = run(np.ones((50, 2), np.float32), np.zeros((50, 2), np.float32))
    view = result[10:]
    del result
    run.close()
    gc.collect()
    np.testing.assert_array_equal(view, np.ones((40, 2)))


def test_memory():
    run = tenon.compile(module(64, 64), optimize=False)
    assert run.memory.arena == 64 * 64 * 4
    with pytest.raises(tenon.LimitExceededError):
        tenon.compile(module(64, 64), memory_limit=1000, optimize=False)
    run(np.ones((64, 64), np.float32), np.ones((64, 64), np.float32))
    assert run.memory.in_use >= run.memory.arena
    run.trim()
    assert run.memory.in_use == run.memory.packed_weights


def test_options_are_checked():
    for bad in ({"threads": -1}, {"threads": 10**6}, {"memory_limit": -5}):
        with pytest.raises(tenon.TenonError):
            tenon.compile(module(1), **bad)
    with pytest.raises(TypeError, match="no option 'thread'; did you mean 'threads'"):
        tenon.compile(module(1), thread=1)
    with pytest.raises(tenon.InvalidTypeError, match="threads expects a number, found str"):
        tenon.compile(module(1), threads="2")
    with pytest.raises(tenon.InvalidArgumentError, match="spin"):
        tenon.compile(module(1), spin="never")


def conv_net():
    b = tenon.Builder()
    x = b.parameter("x", (1, 3, 8, 8))
    y = b.call("nn.conv2d", x, b.constant(np.ones((4, 3, 3, 3), np.float32)), padding=[1, 1, 1, 1], name="c")
    return b.finish(b.call("nn.relu", y, name="r"))


def test_optimized_unless_told_not_to(rng):
    plain = conv_net()
    image = rng.standard_normal((1, 3, 8, 8), np.float32)
    before = str(plain)
    fast, slow = tenon.compile(plain), tenon.compile(plain, optimize=False)
    assert str(plain) == before and not plain.is_fused
    assert any(step.region for step in fast.profile()) and not any(step.region for step in slow.profile())
    assert fast.module.is_fused and not slow.module.is_fused
    np.testing.assert_allclose(fast(image), slow(image), rtol=1e-4, atol=1e-5)
    # Who has fused anything has decided what is fused.
    half = plain.fuse("mine.conv_relu = nn.relu(nn.conv2d(*, *));")
    assert half.is_fused
    assert not any(step.region for step in tenon.compile(half).profile())
    assert not tenon.compile(plain, reference=True).module.is_fused
    # Pickled executables stay what they are.
    again = pickle.loads(pickle.dumps(slow))
    assert not any(step.region for step in again.profile())


def test_threads_and_their_names():
    run = tenon.compile(conv_net(), threads=2)
    assert run.threads == 2
    assert tenon.compile(conv_net()).threads >= 1
    program = """
import sys, threading, numpy as np, tenon
b = tenon.Builder()
x = b.parameter("x", (512, 512))
run = tenon.compile(b.finish(b.call("matmul", x, x)), threads=2)
run(np.ones((512, 512), np.float32))
import os
names = {open(f"/proc/self/task/{task}/comm").read().strip() for task in os.listdir("/proc/self/task")}
print("tenon-run" in names)
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    assert answer.stdout.strip() == "True"


def test_inputs_in_the_forms_of_a_call(run):
    for profile in (run.profile(A, B), run.profile([A, B]), run.profile({"a": A, "b": B}), run.profile(a=A, b=B),
                    run.profile(inputs=[A, B])):
        assert profile.nanoseconds > 0
    for comparison in (run.verify(A, B), run.verify([A, B]), run.verify({"a": A, "b": B}), run.verify(A, b=B)):
        assert comparison.ok and len(comparison) > 0
    for results in (run.run([A, B]), run.run((A, B)), run.run({"a": A, "b": B})):
        np.testing.assert_array_equal(results[0], EXPECTED)
    np.testing.assert_array_equal(run({"a": A, "b": B}), EXPECTED)
    image = np.ones((1, 3, 8, 8), np.float32)
    single = tenon.compile(conv_net())
    np.testing.assert_array_equal(single.run(image)[0], single(image))
    np.testing.assert_array_equal(single.run(list(image[0:1]) and [image])[0], single(image))
    with pytest.raises(tenon.InvalidArgumentError, match="'b'"):
        run.verify(a=A)


def test_logging(caplog):
    with caplog.at_level("INFO", logger="tenon"):
        tenon.compile(conv_net(), threads=1)
    assert any("threads" in record.message for record in caplog.records)


def test_report():
    run = tenon.compile(module(2, 3), optimize=False)
    run.run([A, B], profile=True)
    report = run.report()
    assert "subtract" in report or "relu" in report


def test_cancel_and_timeout(run):
    token = tenon.CancelToken()
    token.cancel()
    with pytest.raises(tenon.CancelledError):
        run.run([A, B], cancel=token)
    token.reset()
    run.run([A, B], cancel=token, timeout=10)
    big = tenon.compile(module(4096, 4096), threads=1)
    a = np.ones((4096, 4096), np.float32)
    with pytest.raises(TimeoutError):
        big.run([a, a], timeout=1e-9)


def test_close(run):
    other = tenon.compile(module(1))
    other.close()
    other.close()
    with pytest.raises(tenon.InvalidStateError, match="the Executable is closed"):
        other(A[:1, 0], B[:1, 0])
    assert repr(other) == "<tenon.Executable closed>"
    gone = weakref.ref(tenon.compile(module(1)))
    gc.collect()
    assert gone() is None


def test_close_during_a_run():
    b = tenon.Builder()
    x = b.parameter("x", (400, 400))
    y = x
    for _ in range(10):
        y = y @ x
    for _ in range(3):
        big = tenon.compile(b.finish(y).optimize(), threads=1)
        results, started = [], threading.Event()

        def work():
            started.set()
            results.append(big(np.zeros((400, 400), np.float32)))

        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        time.sleep(0.002)
        big.close()
        thread.join()
        assert big.closed and (not results or results[0].sum() == 0)


def test_pickle(run):
    again = pickle.loads(pickle.dumps(run))
    np.testing.assert_array_equal(again(A, B), EXPECTED)
    assert again.outputs == run.outputs


def test_errors_are_pickled():
    with pytest.raises(tenon.InvalidTypeError) as caught:
        tenon.compile(module(1))(np.zeros(1), np.zeros(1, np.float32))
    error = pickle.loads(pickle.dumps(caught.value))
    assert (type(error), error.node, str(error)) == (type(caught.value), "a", str(caught.value))


def test_threads_share_an_executable(run):
    failures = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for _ in range(50):
            a, b = rng.random((2, 3), np.float32), rng.random((2, 3), np.float32)
            if not np.array_equal(run(a, b), np.maximum(a - b, 0)):
                failures.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_other_python_threads_go_on_during_a_run():
    b = tenon.Builder()
    x = b.parameter("x", (600, 600))
    y = x
    for _ in range(12):
        y = y @ x
    big = tenon.compile(b.finish(y).optimize(), threads=1)
    data = np.full((600, 600), 1 / 600, np.float32)
    ticks, done = [], threading.Event()

    def tick():
        while not done.is_set():
            ticks.append(time.monotonic())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    begin = time.monotonic()
    big(data)
    end = time.monotonic()
    done.set()
    thread.join()
    # With the lock held there would be none in between.
    assert sum(begin < moment < end for moment in ticks) >= min(3, int((end - begin) / 0.02))


def test_digest():
    fixed = module(3, 2)
    run = tenon.compile(fixed, threads=1, reproducible=True)
    assert run.digest != 0
    assert run.digest == tenon.compile(fixed, threads=1, reproducible=True).digest
    assert run.digest != tenon.compile(fixed, threads=2, reproducible=True).digest
    assert run.digest == tenon.compile(fixed.optimize(), threads=1, reproducible=True).digest
    assert run.digest != tenon.compile(fixed, threads=1, reproducible=True, optimize=False).digest
    assert tenon.compile(module("n", 2)).digest == 0


def test_shapes_and_executables_share_packed_weights():
    b = tenon.Builder()
    x = b.parameter("x", ("n", 16, 12, 12))
    rng = np.random.default_rng(3)
    weight = rng.standard_normal((24, 16, 3, 3)).astype(np.float32)
    y = b.call("nn.conv2d", x, b.constant(weight), padding=[1, 1, 1, 1])
    module = b.finish(b.call("nn.relu", y)).optimize()
    first = tenon.compile(module, threads=1)
    assert first.memory.packed_weights == 0

    def run(executable, batch):
        data = rng.standard_normal((batch, 16, 12, 12)).astype(np.float32)
        expected = tenon.compile(module, threads=1, reference=True)(data)
        np.testing.assert_allclose(executable(data), expected, atol=1e-4)

    run(first, 2)
    once = first.memory
    assert once.packed_weights >= weight.nbytes
    run(first, 3)
    both = first.memory
    # Layouts may differ between shapes, but these two differ in the batch alone.
    assert both.packed_weights == once.packed_weights
    second = tenon.compile(module, threads=1)
    run(second, 2)
    first.close()
    run(second, 5)
    assert second.memory.in_use >= second.memory.packed_weights == once.packed_weights


def test_progress(fixtures):
    seen = []
    loaded = tenon.load(fixtures / "digits/digits.onnx", progress=lambda *event: seen.append(event))
    assert {stage for stage, _, _ in seen} == {"import"}
    done = [done for _, done, _ in seen]
    assert done == sorted(done) and seen[0][1] == 0 and seen[-1][1] == seen[-1][2] == len(seen) - 1
    seen.clear()
    fused = loaded.optimize()
    regions = sum("Codegen" in function.attributes for function in fused.functions.values())
    run = tenon.compile(fused, threads=2, tuning=0.05, progress=lambda *event: seen.append(event))
    assert [event for event in seen if event[0] == "compile"] == [
        ("compile", done, regions) for done in range(1, regions + 1)]
    assert any(stage == "tune" and done == total for stage, done, total in seen)
    # Neither kept nor pickled.
    seen.clear()
    pickle.loads(pickle.dumps(run))(np.zeros((1, 1, 8, 8), np.float32))
    assert not seen


def test_progress_ends_the_work(fixtures):
    path = fixtures / "digits/digits.onnx"

    def stop(stage, done, total):
        raise KeyError(stage)

    for threads in (1, 2):
        with pytest.raises(KeyError, match="compile"):
            tenon.compile(tenon.load(path).optimize(), threads=threads, progress=stop)
    with pytest.raises(KeyError, match="import"):
        tenon.load(path, progress=stop)
    with pytest.raises(KeyError, match="import"):
        tenon.Module.load_onnx(path.read_bytes(), progress=stop)


def test_ranges_of_sizes_are_prepared():
    run = tenon.compile(module("n", "m"))
    run.prepare_ranges(n=range(2, 7, 2), m=3)
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(run(x, x), np.zeros((4, 3), np.float32))
    with pytest.raises(tenon.NotFoundError, match="'k'"):
        run.prepare_ranges(n=1, m=1, k=1)
    with pytest.raises(tenon.InvalidArgumentError, match="'m'"):
        run.prepare_ranges(n=1)
    with pytest.raises(tenon.InvalidArgumentError):
        run.prepare_ranges(n=range(0), m=1)
    with pytest.raises(tenon.InvalidArgumentError, match="'n'"):
        run.prepare_ranges(n=range(-2, 2), m=1)
    with pytest.raises(tenon.LimitExceededError):
        run.prepare_ranges(n=range(1, 1 << 30), m=1)
