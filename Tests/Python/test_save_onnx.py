"""Modules as ONNX models: ONNX's checker accepts them, ONNX Runtime computes the same with them, and so does Tenon again."""

import os
import pathlib

import numpy as np
import pytest

import tenon
from test_onnx_node_suite import NODES, array, same

onnx = pytest.importorskip("onnx")


def check_round_trip(module, feeds, tmp_path, tolerance=1e-4, runtime=True):
    """Saves what the module is and what it becomes when it is optimised; both compute what it computes."""
    onnxruntime = pytest.importorskip("onnxruntime")
    expected = tenon.compile(module, optimize=False).run(list(feeds.values()))
    # A picture of noise has nothing to detect: the largest output is close to zero.
    scale = max(float(np.abs(value).max(initial=1e-2)) for value in expected)
    for name, saved in [("plain", module), ("optimised", module.optimize())]:
        path = tmp_path / f"{name}.onnx"
        saved.save_onnx(path)
        onnx.checker.check_model(str(path), full_check=True)
        answers = [tenon.compile(tenon.load(path)).run(list(feeds.values()))]
        if runtime:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            assert [value.name for value in session.get_inputs()] == list(feeds)
            answers.append(session.run(None, feeds))
        for found in answers:
            assert len(found) == len(expected)
            for a, b in zip(found, expected):
                assert a.shape == b.shape and a.dtype == b.dtype
                assert float(np.abs(a - b).max(initial=0)) <= tolerance * scale


def test_digits(fixtures, tmp_path, rng):
    module = tenon.load(fixtures / "digits/digits.onnx")
    check_round_trip(module, {"image": rng.standard_normal((1, 1, 8, 8), np.float32)}, tmp_path)


@pytest.mark.parametrize(
    "name, shape",
    [("ch_PP-OCRv4_det_infer", (1, 3, 96, 160)), ("ch_PP-OCRv4_rec_infer", (1, 3, 48, 96)),
     ("ch_ppocr_mobile_v2.0_cls_infer", (1, 3, 48, 192))])
def test_models_of_others(name, shape, tmp_path, rng):
    package = pytest.importorskip("rapidocr_onnxruntime")
    path = pathlib.Path(package.__file__).parent / "models" / f"{name}.onnx"
    # Dynamic sizes stay dynamic.
    check_round_trip(tenon.load(path), {"x": rng.standard_normal(shape, np.float32)}, tmp_path)


@pytest.mark.filterwarnings("ignore")
def test_onnx_cases_again(tmp_path):
    """Every case of ONNX's own that Tenon runs, saved and run again; what has no form is said so with the operator's name."""
    agreed, refused = 0, {}
    for name, case in NODES.items():
        try:
            module = tenon.Module.load_onnx(case.model.SerializeToString())
            tenon.compile(module)
        except tenon.UnsupportedError:
            continue
        try:
            model = module.serialize_onnx()
        except tenon.UnsupportedError as error:
            refused[name] = error
            continue
        onnx.checker.check_model(model)
        run = tenon.compile(tenon.Module.load_onnx(model))
        for inputs, expected in case.data_sets:
            for a, b in zip(run.run([array(value) for value in inputs]), [array(value) for value in expected]):
                same(a, b, case)
        agreed += 1
    assert agreed >= 1400
    assert not [error for error in refused.values() if not error.operator]


def test_external_data(tmp_path, fixtures, rng):
    module = tenon.load(fixtures / "digits/digits.onnx")
    path = tmp_path / "model.onnx"
    module.save_onnx(path, external_data=True, size_threshold=64, location="weights")
    assert sorted(os.listdir(tmp_path)) == ["model.onnx", "weights"]
    onnx.checker.check_model(str(path))
    found = {tensor.name: tensor for tensor in onnx.load(str(path), load_external_data=False).graph.initializer}
    assert sum(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in found.values()) >= 3
    feeds = rng.standard_normal((1, 1, 8, 8), np.float32)
    np.testing.assert_allclose(tenon.compile(tenon.load(path))(feeds), tenon.compile(module)(feeds), rtol=1e-4)
    # The file beside it may be replaced while the module still uses the old one.
    again = tenon.load(path)
    again.save_onnx(path, external_data=True, size_threshold=64, location="weights")
    np.testing.assert_allclose(tenon.compile(again)(feeds), tenon.compile(tenon.load(path))(feeds), rtol=1e-4)


def test_a_failed_call_leaves_nothing(tmp_path):
    module = tenon.Module.parse("fn @main(%x: f32[2], %y: f32[2]) { %z = atan2(%x, %y)  return %z }")
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    with pytest.raises(tenon.UnsupportedError, match="atan2") as error:
        module.save_onnx(path)
    assert error.value.operator == "atan2"
    with pytest.raises(tenon.UnsupportedError, match="atan2"):
        module.serialize_onnx()
    good = tenon.Module.parse("fn @main(%x: f32[2]) { %y = nn.relu(%x)  return %y }")
    for wrong, expected in [
        (tmp_path / "missing" / "model.onnx", tenon.FileError), (tmp_path, tenon.FileError), ("", tenon.FileError),
    ]:
        with pytest.raises(expected):
            good.save_onnx(wrong)
    with pytest.raises(tenon.InvalidArgumentError, match="location"):
        good.save_onnx(path, external_data=True, location="a/b")
    assert os.listdir(tmp_path) == ["model.onnx"] and path.read_bytes() == b"before"


def test_permissions_follow_the_umask(tmp_path):
    module = tenon.Module.parse("fn @main(%x: f32[2]) { %y = nn.relu(%x)  return %y }")
    before = os.umask(0o027)
    try:
        module.save_onnx(tmp_path / "model.onnx")
    finally:
        os.umask(before)
    assert (tmp_path / "model.onnx").stat().st_mode & 0o777 == 0o640


def test_computed_sizes(tmp_path, rng):
    """Sizes that only a run knows become nodes that compute them."""
    module = tenon.Module.parse("""
        fn @main(%x: f32[n,m]) {
          dataflow {
            %a = reshape(%x, shape[n * m])
            %b = broadcast_to(%a, shape[floordiv(n, 2) + m, n * m])
            %c = zeros(shape[n, 2 * m])
            output %b, %c
          }
          return (%b, %c)
        }""")
    check_round_trip(module, {"x": rng.standard_normal((5, 3), np.float32)}, tmp_path)


def test_branches_and_loops(tmp_path):
    module = tenon.Module.parse("""
        fn @main(%n: i64[], %go: bool[], %x: f32[2]) {
          %all: (f32[2], f32[k,2]) = loop(@step, %n, %go, (%x,), (%x,))
          %last = %all.0
          %trace = %all.1
          %y: f32[2] = if %go {
            %a = add(%last, %x)
            yield %a
          } else {
            %b = subtract(%last, %x)
            yield %b
          }
          return (%y, %trace)
        }
        fn @step(%i: i64[], %go: bool[], %s: f32[2], %x: f32[2]) {
          %t = add(%s, %x)
          return (%go, %t, %t)
        }""")
    for go in (True, False):
        feeds = {"n": np.array(3), "go": np.array(go), "x": np.array([1, 2], np.float32)}
        check_round_trip(module, feeds, tmp_path)


def test_layouts_and_composed_operators(tmp_path, rng):
    b = tenon.Builder()
    x = b.parameter("x", (2, 12, 12, 3))
    # Square in every dimension that could be taken for another: nothing but the layout tells.
    w = b.constant(rng.standard_normal((3, 3, 3, 3), np.float32))
    y = b.call("nn.conv2d", x, w, padding=1, data_layout="NHWC", kernel_layout="OHWI")
    y = b.call("nn.max_pool2d", y, pool_size=2, strides=2, layout="NHWC")
    y = b.call("image.resize2d", y, (12, 9), layout="NHWC", coordinate_transformation_mode="asymmetric")
    y = b.call("einsum", b.tuple([y, b.constant(rng.standard_normal((3, 4), np.float32))]), subscripts="nhwc,cd->nhwd")
    y = b.call("nn.pixel_shuffle", b.call("permute_dims", y, axes=[0, 3, 1, 2]), upscale_factor=2)
    module = b.finish(y)
    feeds = {"x": rng.standard_normal((2, 12, 12, 3), np.float32)}
    check_round_trip(module, feeds, tmp_path)
    # Regions are written out, and their layouts with them.
    region = module.fuse("mine.conv = nn.conv2d(*, *);").apply("MergeCompositeFunctions")
    path = tmp_path / "region.onnx"
    region.save_onnx(path)
    same_as = tenon.compile(module).run([feeds["x"]])[0]
    np.testing.assert_allclose(tenon.compile(tenon.load(path)).run([feeds["x"]])[0], same_as, rtol=1e-4, atol=1e-4)
