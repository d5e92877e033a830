"""The fields of exceptions."""

import copy
import pickle

import numpy as np
import pytest

import tenon
from tenon import transform


def raised(call):
    with pytest.raises(tenon.TenonError) as info:
        call()
    return info.value


RELU = "fn @main(%x: f32[2]) -> f32[2] { %y: f32[2] = nn.relu(%x)  return %y }"


def test_fields_of_a_run():
    run = tenon.compile(tenon.Module.parse(RELU))
    error = raised(lambda: run(np.zeros(3, np.float32)))
    assert (error.status_name, error.node) == ("TENON_ERROR_INVALID_SHAPE", "x")
    assert (error.expectation, error.found) == ("f32[2]", "f32[3]")
    error = raised(lambda: run(np.zeros(2)))
    assert (error.status_name, error.expectation, error.found) == ("TENON_ERROR_INVALID_TYPE", "f32[2]", "f64[2]")
    error = raised(lambda: run.run([]))
    assert error.expectation.startswith("1 input") and error.found == "0"
    error = raised(lambda: run(y=1))
    assert (error.node, error.expectation, error.found) == ("y", "'x'", "'y'")


def test_fields_of_an_operator():
    text = "fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3]) { %y = nn.conv2d(%x, %w)  return %y }"
    error = raised(lambda: tenon.Module.parse(text))
    assert error.operator == "nn.conv2d"
    assert (error.expectation, error.found) == ("4 dimensions", "f32[4,3,3]")
    # Another error is put in front of: its place. The fields are those of what went wrong.
    assert str(error).startswith("line 1") and str(error).endswith("expects 4 dimensions, found f32[4,3,3]")


def test_words_in_what_was_given_do_not_count():
    text = 'fn @main(%x: f32[2], %i: i64[2]) { %y = take(%x, %i) {mode="a expects b, found c"}  return %y }'
    error = raised(lambda: tenon.Module.parse(text))
    assert error.found == "'a expects b, found c'"
    assert "'clip'" in error.expectation and "found" not in error.expectation


def test_an_error_without_them_has_none():
    module = tenon.Module.parse(RELU)
    module.close()
    error = raised(module.optimize)
    assert (error.operator, error.expectation, error.found) == ("", "", "")


def test_an_error_does_not_keep_fields_of_the_one_before():
    run = tenon.compile(tenon.Module.parse(RELU))
    assert raised(lambda: run(np.zeros(3, np.float32))).found == "f32[3]"
    error = raised(lambda: tenon.load("/no/such/file.onnx"))
    assert (error.node, error.expectation, error.found) == ("", "", "")


def test_errors_of_the_package_carry_them_too():
    error = raised(lambda: transform.Sequential([3]))
    assert isinstance(error, TypeError)
    assert (str(error), error.expectation, error.found) == ("a Sequential expects passes, found int", "passes", "int")
    error = raised(lambda: tenon.compile(tenon.Module.parse(RELU), threads=-1))
    assert (error.node, error.expectation, error.found) == ("threads", "a number from 0", "-1")


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_carry_them(way):
    error = raised(lambda: tenon.compile(tenon.Module.parse(RELU))(np.zeros(3, np.float32)))
    other = way(error)
    assert type(other) is type(error)
    for name in ("message", "status", "operator", "node", "expectation", "found"):
        assert getattr(other, name) == getattr(error, name)


def test_operands_that_do_not_go_together_in_what_an_operator_is_written_in():
    """The schema lets them through; that is no defect of the library but of the module."""
    module = tenon.Module.parse("""
        fn @main(%g: f32[2,3], %p: f32[2,3], %t: i64[2,3]) {
          %y = grad.nll_loss_backward(%g, %p, %t) {reduction="none"}
          return %y
        }""")
    with pytest.raises(tenon.InvalidShapeError, match="grad.nll_loss_backward: expects"):
        module.optimize()


@pytest.mark.parametrize("call", ["squeeze(%x) {axis=[AXES]}", "sum(%x) {axis=[AXES]}", "expand_dims(%x) {axis=[AXES]}",
                                  "strided_slice(%x, shape[AXES], shape[AXES], shape[AXES])"])
def test_a_message_is_not_as_long_as_what_it_is_about(call):
    axes = ",".join(["0"] * 50_000)
    with pytest.raises(tenon.TenonError) as info:
        tenon.Module.parse(f"fn @main(%x: f32[1,2]) {{ %y = {call.replace('AXES', axes)}  return %y }}")
    assert len(str(info.value)) < 10_000
