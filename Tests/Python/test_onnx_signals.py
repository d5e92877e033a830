"""Transforms, frames, mel scales and patches whose sizes or axis only a run knows, beside the same with known ones."""

import itertools

import numpy as np
import pytest
from onnx import TensorProto as T
from onnx import helper as h

import tenon
from test_onnx_forms import by_reference, check, info, model, r


def values(constants, isknown, inputs, feed):
    """What stays a constant; the rest becomes inputs of the model."""
    for name, value in constants.items():
        if not isknown:
            inputs.append(info(name, h.np_dtype_to_tensor_dtype(value.dtype), value.shape))
            feed[name] = value
    return constants if isknown else {}


def dft(x, length, axis, inverse, onesided):
    z = x[..., 0] if x.shape[-1] == 1 else x[..., 0] + 1j * x[..., 1]
    if inverse and onesided:
        return np.fft.irfft(z, length, axis)[..., None].astype(np.float32)
    y = (np.fft.ifft if inverse else np.fft.fft)(z, length, axis)
    if onesided:
        y = np.take(y, range(y.shape[axis] // 2 + 1), axis)
    return np.stack([y.real, y.imag], -1).astype(np.float32)


@pytest.mark.parametrize("axis, length", list(itertools.product([0, 1, 2, -2, -3], [None, 5, 12])))
@pytest.mark.parametrize("inverse, onesided, parts", [(0, 0, 1), (0, 0, 2), (0, 1, 1), (1, 0, 2), (1, 1, 2), (1, 1, 1)])
@pytest.mark.parametrize("isknown", [True, False])
def test_dft(axis, length, inverse, onesided, parts, isknown):
    feed = {"x": r(3, 7, 8, parts)}
    expected = dft(feed["x"], length or (2 * (feed["x"].shape[:3][axis if axis >= 0 else axis + 1] - 1) if inverse and onesided else None),
                   axis if axis >= 0 else axis + 1, inverse, onesided)
    inputs = [info("x", T.FLOAT, [3, 7, 8, parts] if isknown else ["a", "b", "c", parts])]
    given = {"axis": np.array(axis)} | ({"n": np.array(length)} if length else {})
    constants = values(given, isknown, inputs, feed)
    node = h.make_node("DFT", ["x", "n" if length else "", "axis"], ["y"], inverse=inverse, onesided=onesided)
    check(model([node], inputs, ["y"], constants), [feed], lambda _: [expected], 1e-5)


@pytest.mark.parametrize("axis", [3, -1, -5, 7])
def test_an_axis_that_a_transform_does_not_have(axis):
    node = h.make_node("DFT", ["x", "", "axis"], ["y"])
    proto = model([node], [info("x", T.FLOAT, [2, 3, 4, 1]), info("axis", T.INT64, [])], ["y"])
    executable = tenon.compile(tenon.Module.load_onnx(proto.SerializeToString()))
    with pytest.raises(tenon.TenonError):
        executable(r(2, 3, 4, 1), np.array(axis))


@pytest.mark.parametrize("onesided", [0, 1])
@pytest.mark.parametrize("window", [False, True])
@pytest.mark.parametrize("computed", [["step"], ["size"], ["step", "size"]])
def test_stft(onesided, window, computed):
    inputs = [info("x", T.FLOAT, ["n", "t", 1])]
    given = {"step": np.array(5), "size": np.hanning(12).astype("f4") if window else np.array(12)}
    for name in computed:
        inputs.append(info(name, h.np_dtype_to_tensor_dtype(given[name].dtype), ["w"] if given[name].ndim else []))
    node = h.make_node("STFT", ["x", "step", "size" if window else "", "" if window else "size"], ["y"], onesided=onesided)
    proto = model([node], inputs, ["y"], {k: v for k, v in given.items() if k not in computed}, opset=17)
    weights = given["size"] if window else np.ones(12, "f4")

    def expected(feed):
        x = feed["x"][..., 0]
        frames = [x[:, i * 5: i * 5 + 12] * weights for i in range((x.shape[1] - 12) // 5 + 1)]
        y = (np.fft.rfft if onesided else np.fft.fft)(np.stack(frames, 1))
        return [np.stack([y.real, y.imag], -1).astype("f4")]

    check(proto, [{"x": r(2, t, 1)} | {name: given[name] for name in computed} for t in (64, 37, 12)], expected, 1e-5)


@pytest.mark.parametrize("isknown", [True, False])
@pytest.mark.parametrize("numbers", [(8, 16, 8192, 0, 4096), (40, 400, 16000, 20, 8000), (5, 64, 8000, 100, 3000), (1, 9, 100, 0, 50)])
@pytest.mark.parametrize("dtype", [T.FLOAT, T.DOUBLE])
def test_mel_weights(numbers, isknown, dtype):
    names = ["bins", "length", "rate", "low", "high"]
    given = {n: np.array(v, "f4" if n in ("low", "high") else "i8") for n, v in zip(names, numbers)}
    inputs, feed = [], {}
    constants = values(given, isknown, inputs, feed)
    node = h.make_node("MelWeightMatrix", names, ["y"], output_datatype=dtype)
    check(model([node], inputs, [info("y", dtype, None)], constants), [feed], by_reference)


@pytest.mark.parametrize("attributes", [{}, {"strides": [2, 2]}, {"pads": [1, 0, 0, 1]}, {"dilations": [2, 1], "strides": [1, 3]}])
@pytest.mark.parametrize("image, block", [((7, 8), (2, 3)), ((9,), (4,)), ((4, 5, 6, 6), (2, 1, 3, 2))])
@pytest.mark.parametrize("isknown", [True, False])
def test_patches(image, block, attributes, isknown):
    rank = len(image)
    own = {k: (v * 2)[:rank * (2 if k == "pads" else 1)] for k, v in attributes.items()}
    if "pads" in own and rank != 2:
        own["pads"] = [1] + [0] * (rank * 2 - 2) + [1]
    strides, dilations, pads = own.get("strides", [1] * rank), own.get("dilations", [1] * rank), own.get("pads", [0] * rank * 2)
    counts = [(image[i] + pads[i] + pads[i + rank] - dilations[i] * (block[i] - 1) - 1) // strides[i] + 1 for i in range(rank)]
    node = h.make_node("Col2Im", ["x", "i", "b"], ["y"], **own)
    inputs, feed = [info("x", T.FLOAT, ["n", "c", "l"] if not isknown else ["n", 2 * int(np.prod(block)), "l"])], {}
    feed["x"] = r(2, 2 * int(np.prod(block)), int(np.prod(counts)))
    constants = values({"i": np.array(image), "b": np.array(block)}, isknown, inputs, feed)
    check(model([node], inputs, ["y"], constants), [feed], by_reference)
