import gc

import numpy as np
import pytest

import tenon


def conv_bias_relu(builder, x, weight, bias, **attributes):
    y = builder.call("nn.conv2d", x, builder.constant(weight), **attributes)
    y = builder.call("add", y, builder.call("reshape", builder.constant(bias), (1, len(bias), 1, 1)))
    return builder.call("nn.relu", y)


def test_types_follow_calls():
    b = tenon.Builder()
    x = b.parameter("x", ("n", 3, 8, 8))
    assert x.type == "f32[n,3,8,8]"
    assert b.call("nn.relu", x).type == "f32[n,3,8,8]"
    assert b.call("astype", x, dtype=np.dtype(np.float64)).type == "f64[n,3,8,8]"
    pair = b.tuple([x, x])
    assert pair[1].type == x.type
    assert b.parameter("p", "(f32[2], i64[])").type == "(f32[2], i64[])"
    assert b.shape(("n", 4)).type == "shape[n,4]"


def test_operators_of_values(rng):
    b = tenon.Builder()
    x, y = b.parameter("x", (2, 2)), b.parameter("y", (2, 2))
    run = tenon.compile(b.finish((x + y) * x - y / x, x @ y))
    p, q = (rng.random((2, 2), np.float32) + 1 for _ in range(2))
    first, second = run(p, q)
    np.testing.assert_allclose(first, (p + q) * p - q / p, rtol=1e-6)
    np.testing.assert_allclose(second, p @ q, rtol=1e-6)


def test_errors_say_what_was_expected():
    b = tenon.Builder()
    x = b.parameter("x", (1, 3, 8, 8))
    with pytest.raises(tenon.InvalidShapeError) as caught:
        b.call("nn.conv2d", x, np.zeros((4, 3, 3), np.float32))
    assert caught.value.operator == "nn.conv2d"
    assert caught.value.status_name == "TENON_ERROR_INVALID_SHAPE"
    assert "weight" in str(caught.value)
    with pytest.raises(tenon.NotFoundError):
        b.call("nn.conv9d", x)
    with pytest.raises(tenon.InvalidArgumentError, match="unknown attribute 'stride'"):
        b.call("nn.conv2d", x, np.zeros((4, 3, 3, 3), np.float32), stride=[1, 1])
    with pytest.raises(TypeError):
        b.call("nn.relu", object())
    with pytest.raises(tenon.InvalidArgumentError, match="another builder"):
        tenon.Builder().call("nn.relu", x)
    with pytest.raises(TypeError):
        b.call("nn.relu", x, oddity={1: 2})
    # The builder is as good as before.
    assert b.call("nn.relu", x).type == "f32[1,3,8,8]"


def test_big_constants_are_borrowed_and_given_back(rng):
    from tenon import builder

    gc.collect()
    before = len(builder._borrowed)
    weight = rng.random((256, 256), np.float32)
    b = tenon.Builder()
    x = b.parameter("x", (1, 256))
    module = b.finish(b.call("matmul", x, b.constant(weight)))
    assert len(builder._borrowed) == before + 1
    b.close()
    data = rng.random((1, 256), np.float32)
    with tenon.compile(module) as run:
        np.testing.assert_allclose(run(data), data @ weight, rtol=1e-4)
    module.close()
    gc.collect()
    assert len(builder._borrowed) == before


def test_constants_of_any_layout(rng):
    turned = rng.random((3, 2), np.float32).T
    b = tenon.Builder()
    x = b.parameter("x", (2, 3))
    run = tenon.compile(b.finish(x + b.constant(turned)))
    np.testing.assert_array_equal(run(np.zeros((2, 3), np.float32)), turned)
    b = tenon.Builder()
    assert b.constant(np.float32(2)).type == "f32[]"
    assert b.constant(np.zeros((0, 4), np.int64)).type == "i64[0,4]"


def test_functions_call_each_other():
    b = tenon.Builder()
    x = b.parameter("x", (2,))
    module = b.finish(x + x, name="twice")
    b = tenon.Builder()
    y = b.parameter("y", (2,))
    b.finish(b.call_function(module, "twice", y), module=module)
    assert list(module.functions) == ["twice", "main"]
    np.testing.assert_array_equal(tenon.compile(module)(np.float32([1, 2])), [2, 4])


def test_numbers_are_operands():
    b = tenon.Builder()
    x = b.parameter("x", (3,))
    run = tenon.compile(b.finish(b.call("clip", (x + 1) * 0.5 - 2, -1.5, 1)))
    np.testing.assert_array_equal(run(np.array([-4, 1, 9], np.float32)), np.array([-1.5, -1, 1], np.float32))
    integers = b = tenon.Builder()
    n = b.parameter("n", (2,), "i64")
    assert (tenon.compile(integers.finish(n * 3 + 1))(np.array([2, -5])) == [7, -14]).all()
    with pytest.raises(tenon.InvalidTypeError, match="a number"):
        b.call("add", n, object())
