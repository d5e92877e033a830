#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets into Tests/Fuzz: small ONNX files, texts of modules, and dictionaries.

Needs the onnx package and, for the texts, the tenon package with its library. Regressions, which fuzzing has found, are kept.
"""

import re
import shutil
import sys
from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.loader import load_model_tests

import tenon

ROOT = Path(__file__).resolve().parent.parent
FUZZ = ROOT / "Tests/Fuzz"

# Cases of the onnx package, one or two per family of importers and kernels.
NODE_CASES = """
attention_4d batchnorm_example bitshift_left_uint8 clip_example concat_2d_axis_1 constant_pad constantofshape_float_ones
conv_with_autopad_same convinteger_with_padding convtranspose_pads cumsum_2d_axis_0 depthtospace_example
dequantizelinear_axis dynamicquantizelinear einsum_batch_matmul expand_dim_changed eyelike_with_dtype flatten_axis1
gather_elements_1 gathernd_example_int32_batch_dim1 gemm_all_attributes globalaveragepool gridsample_bilinear gru_defaults
hardmax_axis_1 if instancenorm_example layer_normalization_2d_axis1 loop11 lrn lstm_with_initial_bias matmul_3d
maxpool_2d_pads mvn nllloss_NC nonmaxsuppression_two_classes nonzero_example onehot_with_axis
qlinearmatmul_2D_uint8_float32 quantizelinear_axis range_int32_type_negative_delta
reduce_sum_negative_axes_keepdims_example reshape_negative_dim resize_upsample_scales_linear reversesequence_time
rms_normalization_2d_axis1 roialign_aligned_true rotary_embedding scan9_sum scatter_elements_with_axis scatternd_add
simple_rnn_with_initial_bias slice softmax_axis_1 split_variable_parts_2d_opset13 squeeze_negative_axes tile top_k
transpose_all_permutations_0 tril unique_sorted_with_axis where_example
""".split()


def write(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)


def node_models() -> dict[str, bytes]:
    models = {}
    with numpy.errstate(all="ignore"):
        cases = {case.name.removeprefix("test_"): case for case in collect_testcases(None)}
    for name in NODE_CASES:
        models[name] = cases[name].model.SerializeToString()
    for kind, name in [("pytorch-converted", "test_Linear"), ("pytorch-operator", "test_operator_basic")]:
        (case,) = [case for case in load_model_tests(kind=kind) if case.name == name]
        models[name.removeprefix("test_")] = (Path(case.model_dir) / "model.onnx").read_bytes()
    return models


def model(nodes, inputs, outputs, weights=(), opset=18, functions=(), **graph_parts) -> bytes:
    graph = helper.make_graph(nodes, "g", inputs, outputs, list(weights), **graph_parts)
    imports = [helper.make_opsetid("", opset)] + ([helper.make_opsetid("local", 1)] if functions else [])
    return helper.make_model(graph, opset_imports=imports, ir_version=9, functions=list(functions)).SerializeToString()


def value(name, shape, dtype=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, dtype, shape)


def weight(name, shape, dtype=numpy.float32):
    return numpy_helper.from_array(numpy.arange(numpy.prod(shape)).reshape(shape).astype(dtype) / 8, name)


def composed_models() -> dict[str, bytes]:
    """What fusion looks for, shape arithmetic, functions, sparse and external tensors."""
    node = helper.make_node
    ints = lambda name, *numbers: numpy_helper.from_array(numpy.array(numbers, numpy.int64), name)
    models = {}
    models["conv_bias_relu"] = model(
        [node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1], strides=[2, 2]), node("Relu", ["c"], ["r"]),
         node("GlobalAveragePool", ["r"], ["p"]), node("Flatten", ["p"], ["f"]),
         node("Gemm", ["f", "v"], ["y"], transB=1)],
        [value("x", ["batch", 2, 4, 4])], [value("y", ["batch", 3])],
        [weight("w", (2, 2, 3, 3)), weight("b", (2,)), weight("v", (3, 2))])
    models["conv_batchnorm_add"] = model(
        [node("Conv", ["x", "w"], ["c"], group=2), node("BatchNormalization", ["c", "s", "s", "s", "s"], ["n"]),
         node("Add", ["n", "x"], ["a"]), node("HardSwish", ["a"], ["y"])],
        [value("x", [1, 4, 3, 3])], [value("y", None)], [weight("w", (4, 2, 1, 1)), weight("s", (4,))])
    models["attention"] = model(
        [node("MatMul", ["x", "w"], ["q"]), node("Transpose", ["q"], ["t"], perm=[0, 2, 1]),
         node("MatMul", ["q", "t"], ["m"]), node("Div", ["m", "d"], ["s"]), node("Softmax", ["s"], ["p"], axis=-1),
         node("MatMul", ["p", "q"], ["o"]), node("Add", ["o", "x"], ["a"]),
         node("LayerNormalization", ["a", "g", "g"], ["n"]), node("Gelu", ["n"], ["y"])],
        [value("x", [2, 3, 4])], [value("y", [2, 3, 4])],
        [weight("w", (4, 4)), weight("g", (4,)), weight("d", (1,))], opset=20)
    models["layernorm_pieces"] = model(
        [node("ReduceMean", ["x", "axes"], ["m"]), node("Sub", ["x", "m"], ["d"]), node("Pow", ["d", "two"], ["q"]),
         node("ReduceMean", ["q", "axes"], ["v"]), node("Add", ["v", "eps"], ["e"]), node("Sqrt", ["e"], ["s"]),
         node("Div", ["d", "s"], ["n"]), node("Mul", ["n", "g"], ["y"])],
        [value("x", [2, 4])], [value("y", None)],
        [ints("axes", -1), weight("two", ()), weight("eps", ()), weight("g", (4,))])
    models["shape_arithmetic"] = model(
        [node("Shape", ["x"], ["s"]), node("Gather", ["s", "zero"], ["n"]), node("Unsqueeze", ["n", "zeros"], ["u"]),
         node("Concat", ["u", "rest"], ["t"], axis=0), node("Reshape", ["x", "t"], ["r"]),
         node("Slice", ["r", "zeros", "ends", "ones"], ["y"])],
        [value("x", ["n", 2, 3])], [value("y", None)],
        [ints("zeros", 0), numpy_helper.from_array(numpy.array(0, numpy.int64), "zero"), ints("rest", -1), ints("ends", 4),
         ints("ones", 1)])
    models["function"] = model(
        [node("Twice", ["x"], ["y"], domain="local", scale=2.0)], [value("x", [2])], [value("y", [2])],
        functions=[helper.make_function(
            "local", "Twice", ["a"], ["c"],
            [node("Add", ["a", "a"], ["b"]), _with_reference(node("LeakyRelu", ["b"], ["c"]), "alpha", "scale")],
            [helper.make_opsetid("", 18)], ["scale"])])
    models["sparse"] = model(
        [node("Add", ["x", "s"], ["y"])], [value("x", [2, 3])], [value("y", [2, 3])],
        sparse_initializer=[helper.make_sparse_tensor(weight("s", (2,)), ints("i", 1, 5), [2, 3])])
    external = TensorProto(name="w", dims=[2], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, text in [("location", "weights.bin"), ("offset", "0"), ("length", "8")]:
        external.external_data.add(key=key, value=text)
    models["external"] = model(
        [node("Add", ["x", "w"], ["y"])], [value("x", [2])], [value("y", [2])], [external])
    models["dtypes"] = model(
        [node("Cast", ["x"], ["h"], to=TensorProto.FLOAT16), node("Cast", ["h"], ["b"], to=TensorProto.BFLOAT16),
         node("Cast", ["b"], ["i"], to=TensorProto.INT8), node("BitShift", ["u", "u"], ["t"], direction="LEFT"),
         node("Cast", ["t"], ["v"], to=TensorProto.INT8), node("Mul", ["i", "v"], ["y"])],
        [value("x", [2])], [value("y", [2], TensorProto.INT8)], [weight("u", (2,), numpy.uint8)])
    models["computed_axes"] = model(
        [node("ReduceSum", ["x", "a"], ["s"], keepdims=0), node("Tile", ["s", "r"], ["t"]), node("TopK", ["t", "k"], ["v", "i"]),
         node("NonZero", ["v"], ["z"]), node("Range", ["start", "limit", "delta"], ["g"])],
        [value("x", [2, 3]), value("a", [1], 7), value("r", [1], 7), value("k", [1], 7), value("start", [], 7),
         value("limit", [], 7), value("delta", [], 7)],
        [value("z", None, 7), value("i", None, 7), value("g", None, 7)])
    return models


def _with_reference(node, name, target):
    attribute = node.attribute.add()
    attribute.name, attribute.ref_attr_name, attribute.type = name, target, onnx.AttributeProto.FLOAT
    return node


def texts(models: dict[str, bytes]) -> dict[str, bytes]:
    found = {}
    scenarios = (ROOT / "Tests/Fixtures/scenarios/scenarios.txt").read_text()
    for case in scenarios.split("\n=== ")[1:]:
        for part in re.split(r"^--- ", case, flags=re.M)[1:]:
            kind, _, text = part.partition("\n")
            if kind == "module":
                found["scenario-" + case.split("\n", 1)[0]] = text.encode()
    for name in ["conv_bias_relu", "attention", "computed_axes", "lstm_with_initial_bias", "loop11", "if"]:
        module = tenon.Module.load_onnx(models[name])
        found[name] = module.print(with_data=True).encode()
        found[name + "-optimized"] = module.optimize().print(with_data=True).encode()
    return {name: text for name, text in found.items() if len(text) < 4096}


def quoted(word: str) -> str:
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"') + '"'


def dictionaries(models: dict[str, bytes]) -> dict[str, list[str]]:
    operators = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})
    attributes = sorted({name for schema in onnx.defs.get_all_schemas() for name in schema.attributes})
    words = "fn @main %x const shape dataflow output return yield if else extern match_cast f32 f16 bf16 i64 i8 u8 bool".split()
    words += ["true", "false", "inf", "nan", "-1", "9223372036854775807", "-9223372036854775808", "0x", "[]", "()"]
    described = set(re.findall(r"^attribute (\w+)", "\n".join(map(tenon.describe, tenon.operators())), flags=re.M))
    return {"onnx": operators + attributes, "text": words + tenon.operators() + [name + "=" for name in sorted(described)]}


def main() -> int:
    models = node_models() | composed_models()
    for kind, files, ending in [("onnx", models, ".onnx"), ("text", texts(models), ".txt")]:
        folder = FUZZ / "corpus" / kind
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, data in files.items():
            write(folder, name + ending, data)
        print(f"{len(files)} files in {folder.relative_to(ROOT)}")
    for name, words in dictionaries(models).items():
        (FUZZ / f"{name}.dict").write_text("".join(quoted(word) + "\n" for word in words))
    return 0


if __name__ == "__main__":
    sys.exit(main())
