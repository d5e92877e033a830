"""Sizes that a model computes from shapes: exact for every size, whether they are fixed or symbolic in the file, planned (no
interpreted model), and operands whose values or whose number only a run knows."""

import random

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper as nh

import tenon

onnxruntime.set_default_logger_severity(4)


def info(name, dtype, shape):
    return h.make_tensor_value_info(name, dtype, shape)


def model(nodes, inputs, outputs, constants=(), opset=18):
    graph = h.make_graph(nodes, "g", inputs, outputs, [nh.from_array(np.asarray(v), k) for k, v in dict(constants).items()])
    return h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=9).SerializeToString()


def reference(data, feeds):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, feeds)


def check(data, feeds, planned=None):
    """Plain and optimised, against ONNX Runtime; each feed in turn on one executable."""
    for optimised in (False, True):
        module = tenon.Module.load_onnx(data)
        executable = tenon.compile(module.optimize() if optimised else module)
        for feed in feeds:
            want = reference(data, feed)
            got = executable(*feed.values())
            got = list(got) if isinstance(got, (list, tuple)) else [got]
            assert len(got) == len(want)
            for a, b in zip(got, want):
                assert a.shape == b.shape and a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
            if planned:
                assert len(executable.profile(list(feed.values()))) > 0


class Arithmetic:
    """Random int64 scalars made of the sizes of x, as nodes and as Python functions of the sizes."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.nodes = [h.make_node("Shape", ["x"], ["shape"])]
        self.constants = {}
        self.values = []
        for axis in range(3):
            self.constants[f"i{axis}"] = np.array(axis)
            self.nodes.append(h.make_node("Gather", ["shape", f"i{axis}"], [f"size{axis}"]))
            self.values.append((f"size{axis}", lambda s, axis=axis: s[axis]))
        for number in (-3, -1, 0, 1, 2, 5):
            self.values.append(self.constant(number))

    def constant(self, number):
        name = f"c{number}"
        self.constants[name] = np.array(number)
        return name, lambda s: number

    def add(self, op, inputs, f, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(h.make_node(op, inputs, [name], **attributes))
        return name, f

    def step(self, sizes):
        (a, fa), (b, fb), (c, fc), (d, fd) = (self.random.choice(self.values) for _ in range(4))
        kind = self.random.choice("Add Sub Mul Div Mod Fmod Max Min Neg Abs Sign Where Cast Clip".split())

        def cut(x, y):
            return abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)

        if kind in ("Div", "Mod", "Fmod") and any(fb(s) == 0 for s in sizes):
            return
        if kind == "Where":
            compare, test = self.random.choice(
                [("Less", lambda x, y: x < y), ("Greater", lambda x, y: x > y), ("Equal", lambda x, y: x == y),
                 ("LessOrEqual", lambda x, y: x <= y), ("GreaterOrEqual", lambda x, y: x >= y)])
            flag, ff = self.add(compare, [a, b], lambda s: test(fa(s), fb(s)))
            if self.random.random() < 0.3:
                flag, ff = self.add("Not", [flag], lambda s, ff=ff: not ff(s))
            if self.random.random() < 0.3:
                other, fo = self.add("Less", [c, d], lambda s: fc(s) < fd(s))
                logic, combine = self.random.choice(
                    [("And", lambda x, y: x and y), ("Or", lambda x, y: x or y), ("Xor", lambda x, y: x != y)])
                flag, ff = self.add(logic, [flag, other], lambda s, ff=ff: combine(ff(s), fo(s)))
            new = self.add("Where", [flag, c, d], lambda s: fc(s) if ff(s) else fd(s))
        elif kind == "Cast":
            middle, _ = self.add("Cast", [a], fa, to=T.INT32)
            new = self.add("Cast", [middle], fa, to=T.INT64)
        elif kind == "Clip":
            low = self.constant(0)
            new = self.add("Clip", [a, low[0]], lambda s: max(fa(s), 0))
        elif kind == "Fmod":
            new = self.add("Mod", [a, b], lambda s: fa(s) - fb(s) * cut(fa(s), fb(s)), fmod=1)
        elif kind in ("Neg", "Abs", "Sign"):
            f = {"Neg": lambda x: -x, "Abs": abs, "Sign": lambda x: (x > 0) - (x < 0)}[kind]
            new = self.add(kind, [a], lambda s: f(fa(s)))
        else:
            f = {
                "Add": lambda x, y: x + y, "Sub": lambda x, y: x - y, "Mul": lambda x, y: x * y, "Div": cut,
                "Mod": lambda x, y: x % y, "Max": max, "Min": min,
            }[kind]
            new = self.add(kind, [a, b], lambda s: f(fa(s), fb(s)))
        if all(abs(new[1](s)) < 10_000 for s in sizes):
            self.values.append(new)

    def bounded(self, value, low, high):
        self.constants |= {f"c{low}": np.array(low), f"c{high}": np.array(high)}
        name, f = value
        cut, _ = self.add("Max", [name, f"c{low}"], None)
        return self.add("Min", [cut, f"c{high}"], lambda s: min(max(f(s), low), high))

    def vector(self, value):
        self.constants["axis0"] = np.array([0])
        return self.add("Unsqueeze", [value[0], "axis0"], value[1])


SIZES = [(1, 1, 4), (2, 5, 4), (7, 3, 4), (0, 2, 4), (6, 6, 4)]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("symbolic", [True, False])
def test_arithmetic_on_sizes(seed, symbolic):
    a = Arithmetic(seed)
    for _ in range(14):
        a.step(SIZES)
    made = a.values[9:] or a.values
    picked = [a.random.choice(made) for _ in range(4)]
    parts = [a.vector(v) for v in picked]
    a.nodes.append(h.make_node("Concat", [p[0] for p in parts], ["numbers"], axis=0))
    # As operands of operators that take sizes.
    first, last = (a.vector(a.bounded(v, -7, 7)) for v in picked[:2])
    step = a.random.choice([-2, -1, 1, 2, 3])
    a.constants |= {"axes": np.array([1]), "step": np.array([step])}
    a.nodes.append(h.make_node("Slice", ["x", first[0], last[0], "axes", "step"], ["sliced"]))
    end = a.bounded(picked[2], -9, 9)
    a.constants["delta"] = np.array(a.random.choice([-2, -1, 1, 3]))
    a.nodes.append(h.make_node("Range", [a.constant(1)[0], end[0], "delta"], ["counted"]))
    a.constants["c1"] = np.array(1)
    length = a.vector(a.bounded(picked[3], 0, 9))
    a.nodes.append(h.make_node("Expand", ["one", length[0]], ["filled"]))
    a.constants["one"] = np.ones(1, np.float32)
    for sizes in SIZES if symbolic else SIZES[1:3]:
        shape = ["n", "m", 4] if symbolic else list(sizes)
        outputs = [info("numbers", T.INT64, None), info("sliced", T.FLOAT, None), info("counted", T.INT64, None),
                   info("filled", T.FLOAT, None)]
        data = model(a.nodes, [info("x", T.FLOAT, shape)], outputs, a.constants)
        feeds = [{"x": np.random.default_rng(1).random(s, np.float32)} for s in (SIZES if symbolic else [sizes])]
        if symbolic:
            module = tenon.Module.load_onnx(data)
            executable = tenon.compile(module)
            for s, feed in zip(SIZES, feeds):
                numbers = executable(*feed.values())[0]
                assert numbers.tolist() == [v[1](s) for v in picked], (s, [v[0] for v in picked])
        check(data, feeds)
        if symbolic:
            break


def test_reshape_beside_sizes_of_another_tensor():
    """The file says -1 beside sizes that come from a tensor of the same symbols, from a broadcast, and from products."""
    nodes = [
        h.make_node("Shape", ["k"], ["s"]),
        h.make_node("Gather", ["s", "i0"], ["b"]), h.make_node("Gather", ["s", "i1"], ["q"]),
        h.make_node("Add", ["x", "p"], ["xx"]),
        h.make_node("Concat", ["b", "q", "minus", "four"], ["t1"], axis=0), h.make_node("Reshape", ["xx", "t1"], ["y1"]),
        h.make_node("Mul", ["b", "q"], ["bq"]), h.make_node("Concat", ["bq", "minus"], ["t2"], axis=0),
        h.make_node("Reshape", ["xx", "t2"], ["y2"]), h.make_node("Concat", ["minus", "q", "eight"], ["t3"], axis=0),
        h.make_node("Reshape", ["y2", "t3"], ["y3"]),
    ]
    constants = {"i0": [0], "i1": [1], "minus": [-1], "four": [4], "eight": [8]}
    data = model(
        nodes, [info("x", T.FLOAT, ["n", "t", 8]), info("k", T.INT64, ["n", "t"]), info("p", T.FLOAT, ["one", "u", 8])],
        [info(f"y{i}", T.FLOAT, None) for i in (1, 2, 3)], {k: np.array(v) for k, v in constants.items()})
    feeds = [
        {"x": np.random.rand(b, q, 8).astype("f4"), "k": np.ones((b, q), "i8"), "p": np.random.rand(c, u, 8).astype("f4")}
        for b, q, c, u in ((2, 5, 1, 5), (3, 1, 3, 1), (1, 4, 1, 1))
    ]
    check(data, feeds, planned=True)


def test_range_over_a_size_is_planned():
    nodes = [
        h.make_node("Shape", ["x"], ["s"], start=0, end=1), h.make_node("Squeeze", ["s"], ["n"]),
        h.make_node("Range", ["zero", "n", "one"], ["r"]), h.make_node("Cast", ["r"], ["f"], to=T.FLOAT),
        h.make_node("Unsqueeze", ["f", "axis"], ["u"]), h.make_node("Add", ["x", "u"], ["y"]),
    ]
    data = model(
        nodes, [info("x", T.FLOAT, ["n", 3])], [info("y", T.FLOAT, None)],
        {"zero": np.array(0), "one": np.array(1), "axis": np.array([1])})
    assert "f32[n,3]" in str(tenon.Module.load_onnx(data))
    check(data, [{"x": np.random.rand(n, 3).astype("f4")} for n in (1, 4, 0, 9)], planned=True)


def test_condition_on_a_size():
    def branch(name, op):
        return h.make_graph([h.make_node(op, ["x"], [name])], name, [], [info(name, T.FLOAT, None)])

    nodes = [
        h.make_node("Shape", ["x"], ["s"], start=0, end=1), h.make_node("Squeeze", ["s"], ["n"]),
        h.make_node("Mod", ["n", "two"], ["r"]), h.make_node("Equal", ["r", "zero"], ["even"]),
        h.make_node("If", ["even"], ["y"], then_branch=branch("a", "Neg"), else_branch=branch("b", "Exp")),
    ]
    data = model(
        nodes, [info("x", T.FLOAT, ["n", 3])], [info("y", T.FLOAT, None)], {"two": np.array(2), "zero": np.array(0)})
    check(data, [{"x": np.random.rand(n, 3).astype("f4")} for n in (1, 4, 3)])


COMPUTED = {
    # operator: nodes, extra inputs (name, value per run), constants
    "Reshape": ([h.make_node("Reshape", ["x", "t"], ["y"])], {"t": [[4, 6], [2, -1, 2], [0, 12]]}, {}),
    "Reshape, zero kept": ([h.make_node("Reshape", ["x", "t"], ["y"], allowzero=1)], {"t": [[4, 6], [24]]}, {}),
    "Expand": ([h.make_node("Expand", ["x", "t"], ["y"])], {"t": [[2, 1, 4], [5, 2, 3, 4]]}, {}),
    "Unsqueeze": ([h.make_node("Unsqueeze", ["x", "t"], ["y"])], {"t": [[0], [0, -1], []]}, {}),
    "Squeeze": (
        [h.make_node("Unsqueeze", ["x", "two"], ["u"]), h.make_node("Squeeze", ["u", "t"], ["y"])],
        {"t": [[0], [0, 1]]}, {"two": [0, 1]}),
    "Slice": (
        [h.make_node("Slice", ["x", "t", "e", "a"], ["y"])],
        {"t": [[0], [1, 1]], "e": [[1], [3, -1]], "a": [[2], [1, 2]]}, {}),
    "Slice, leading axes": ([h.make_node("Slice", ["x", "t", "e"], ["y"])], {"t": [[1], [0, 1]], "e": [[2], [2, 9]]}, {}),
    "Pad": ([h.make_node("Pad", ["x", "t"], ["y"])], {"t": [[0, 1, 0, 2, 0, 1], [1, 0, 0, 0, 0, 1]]}, {}),
    "Pad, axes": ([h.make_node("Pad", ["x", "t", "", "a"], ["y"])], {"t": [[1, 2], [0, 1, 2, 3]], "a": [[1], [0, 2]]}, {}),
    "Tile": ([h.make_node("Tile", ["x", "t"], ["y"])], {"t": [[1, 2, 1], [2, 1, 3]]}, {}),
    "ConstantOfShape": ([h.make_node("ConstantOfShape", ["t"], ["y"])], {"t": [[2, 3], [4], []]}, {}),
    "Split": ([h.make_node("Split", ["x", "t"], ["y", "z"], axis=2)], {"t": [[1, 3], [2, 2]]}, {}),
    "ReduceSum": ([h.make_node("ReduceSum", ["x", "t"], ["y"])], {"t": [[0], [1, 2], [-1]]}, {}),
    "Shape of it": (
        [h.make_node("Reshape", ["x", "t"], ["r"]), h.make_node("Shape", ["r"], ["y"]), h.make_node("Size", ["r"], ["z"])],
        {"t": [[4, 6], [2, -1, 2]]}, {}),
    "Goes on": (
        [
            h.make_node("Reshape", ["x", "t"], ["r"]), h.make_node("Relu", ["r"], ["a"]), h.make_node("Add", ["a", "a"], ["b"]),
            h.make_node("Flatten", ["b"], ["f"]), h.make_node("ReduceMean", ["f", "last"], ["y"]),
            h.make_node("Gather", ["b", "zero"], ["z"]),
        ], {"t": [[4, 6], [2, 3, 4]]}, {"last": [1], "zero": [0]}),
}


@pytest.mark.parametrize("name", COMPUTED)
@pytest.mark.parametrize("counted", [False, True])
def test_operands_that_only_a_run_knows(name, counted):
    nodes, given, constants = COMPUTED[name]
    lists = list(given.values())
    runs = list(zip(*lists))
    if counted:
        # Their number is in the file; one run's is taken.
        runs = [run for run in runs if [len(v) for v in run] == [len(v) for v in runs[0]]]
    outputs = [o for node in nodes for o in node.output if o in "yz"]
    shapes = {key: [len(runs[0][i])] if counted else [f"{key}s"] for i, key in enumerate(given)}
    takes_x = any("x" in node.input for node in nodes)
    data = model(
        nodes, ([info("x", T.FLOAT, [2, 3, 4])] if takes_x else []) + [info(k, T.INT64, s) for k, s in shapes.items()],
        [info(o, T.INT64 if "Shape of" in name else T.FLOAT, None) for o in outputs],
        {k: np.array(v, "i8") for k, v in constants.items()})
    x = {"x": np.random.default_rng(0).random((2, 3, 4), np.float32)} if takes_x else {}
    check(data, [x | {k: np.array(v, "i8") for k, v in zip(given, run)} for run in runs])


def test_resize_topk_onehot_by_sizes():
    nodes = [
        h.make_node("Shape", ["x"], ["s"], start=2, end=3), h.make_node("Mul", ["s", "two"], ["d"]),
        h.make_node("Concat", ["d", "d"], ["hw"], axis=0), h.make_node("Shape", ["x"], ["nc"], start=0, end=2),
        h.make_node("Concat", ["nc", "hw"], ["sizes"], axis=0),
        h.make_node("Resize", ["x", "", "", "sizes"], ["r"], mode="nearest", nearest_mode="floor", coordinate_transformation_mode="asymmetric"),
        h.make_node("Div", ["s", "two"], ["half"]), h.make_node("TopK", ["x", "half"], ["top", "place"], axis=2),
        h.make_node("OneHot", ["ids", "s", "values"], ["hot"]),
        h.make_node("Concat", ["half", "half"], ["parts"], axis=0), h.make_node("Tile", ["ids", "half"], ["tiled"]),
        h.make_node("Add", ["r", "one"], ["y"]),
    ]
    data = model(
        nodes, [info("x", T.FLOAT, ["n", 2, "h", "h"]), info("ids", T.INT64, [3])],
        [info("y", T.FLOAT, None), info("top", T.FLOAT, None), info("place", T.INT64, None), info("hot", T.FLOAT, None),
         info("tiled", T.INT64, None)],
        {"two": np.array([2]), "values": np.array([0, 1], "f4"), "one": np.ones(1, "f4")})
    text = str(tenon.Module.load_onnx(data))
    assert all(shape in text for shape in ("f32[n,2,2*h,2*h]", "f32[n,2,floordiv(h, 2),h]", "f32[3,h]", "i64[3*floordiv(h, 2)]"))
    check(
        data, [{"x": np.random.rand(n, 2, s, s).astype("f4"), "ids": np.array([0, 3, 1])} for n, s in ((1, 4), (2, 6))],
        planned=True)
