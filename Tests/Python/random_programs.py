"""Random ONNX graphs with symbolic sizes, computed sizes, control flow and stages that depend on data.

`graph(seed)` gives a model, the sizes to try it at and a function that makes inputs. Every value is exact in f32 and i64
(small integers), so that any order of evaluation gives the same bits.
"""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


class Graph:
    """Nodes of one graph under construction, and what is known of its values: f32 tensors of rank 2, [rows, width]."""

    def __init__(self, rng, prefix, names, width):
        self.rng, self.prefix, self.width = rng, prefix, width
        self.nodes, self.initializers = [], []
        self.values = list(names)
        self.count = 0

    def name(self):
        self.count += 1
        return f"{self.prefix}{self.count}"

    def add(self, op, inputs, attributes=None, outputs=1):
        names = [self.name() for _ in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, **(attributes or {})))
        return names[0] if outputs == 1 else names

    def constant(self, array):
        name = self.name()
        self.nodes.append(helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.asarray(array))))
        return name

    def ints(self, *values):
        return self.constant(np.array(values, np.int64))

    def pick(self):
        # The newest value is likelier, so that graphs get deep.
        back = min(int(self.rng.exponential(1.5)), len(self.values) - 1)
        return self.values[len(self.values) - 1 - back]

    def size(self, value, axis):
        """The size of a dimension as a vector of one number."""
        shape = self.add("Shape", [value])
        return self.add("Gather", [shape, self.ints(axis)], {"axis": 0})

    # Steps: each adds one f32 value [rows, width], whatever the number of rows.

    def unary(self):
        return self.add(str(self.rng.choice(["Relu", "Neg", "Abs", "Identity", "Sign", "Floor"])), [self.pick()])

    def bounded(self):
        return self.add("Clip", [self.pick(), self.constant(np.float32(-8)), self.constant(np.float32(8))])

    def same_rows(self):
        x = self.pick()
        other = self.add(str(self.rng.choice(["Abs", "Neg", "Relu"])), [x])
        return self.add(str(self.rng.choice(["Add", "Sub", "Max", "Min"])), [x, other])

    def row_constant(self):
        return self.add("Add", [self.pick(), self.constant(self.rng.integers(-3, 4, self.width).astype(np.float32))])

    def product(self):
        weights = self.rng.integers(-1, 2, (self.width, self.width)).astype(np.float32)
        x = self.add("Clip", [self.pick(), self.constant(np.float32(-4)), self.constant(np.float32(4))])
        return self.add("MatMul", [x, self.constant(weights)])

    def concat(self):
        return self.add("Concat", [self.pick(), self.pick()], {"axis": 0})

    def sliced(self):
        x = self.pick()
        half = self.add("Div", [self.add("Add", [self.size(x, 0), self.ints(1)]), self.ints(2)])
        return self.add("Slice", [x, self.ints(0), half, self.ints(0)])

    def reversed_rows(self):
        big = np.iinfo(np.int64)
        return self.add("Slice", [self.pick(), self.ints(-1), self.ints(big.min), self.ints(0), self.ints(-1)])

    def reshaped(self):
        x = self.pick()
        flat = self.add("Reshape", [x, self.ints(-1)])
        target = self.add("Concat", [self.size(x, 0), self.ints(-1)], {"axis": 0}) if self.rng.random() < 0.5 else None
        return self.add("Reshape", [flat, target or self.ints(-1, self.width)])

    def counted(self):
        x = self.pick()
        rows = self.add("Squeeze", [self.size(x, 0), self.ints(0)])
        zero, one = self.constant(np.int64(0)), self.constant(np.int64(1))
        steps = self.add("Range", [zero, rows, one])
        column = self.add("Unsqueeze", [self.add("Cast", [steps], {"to": FLOAT}), self.ints(1)])
        return self.add("Add", [x, column])

    def expanded(self):
        x = self.pick()
        row = self.constant(self.rng.integers(-2, 3, (1, self.width)).astype(np.float32))
        shape = self.add("Concat", [self.size(x, 0), self.ints(self.width)], {"axis": 0})
        return self.add("Add", [x, self.add("Expand", [row, shape])])

    def tiled(self):
        return self.add("Tile", [self.pick(), self.ints(2, 1)])

    def padded(self):
        return self.add("Pad", [self.pick(), self.ints(1, 0, 0, 0), self.constant(np.float32(2))])

    def chosen(self):
        """Rows whose first element is positive: how many there are depends on the data."""
        x = self.pick()
        first = self.add("Slice", [x, self.ints(0), self.ints(1), self.ints(1)])
        flags = self.add("Greater", [self.add("Squeeze", [first, self.ints(1)]), self.constant(np.float32(0))])
        return self.add("Compress", [x, flags], {"axis": 0})

    def nonzero(self):
        x = self.pick()
        places = self.add("Transpose", [self.add("NonZero", [x])], {"perm": [1, 0]})
        rows = self.add("Gather", [places, self.constant(np.int64(0))], {"axis": 1})
        return self.add("Gather", [x, rows], {"axis": 0})

    def branch(self, depth):
        x = self.pick()
        condition = (
            self.add("Greater", [self.add("Squeeze", [self.size(x, 0), self.ints(0)]), self.constant(np.int64(2))])
            if self.rng.random() < 0.5
            else self.add("Greater", [self.add("ReduceSum", [x], {"keepdims": 0}), self.constant(np.float32(0))])
        )
        bodies = []
        for side in "te":
            body = Graph(self.rng, f"{self.prefix}{self.count}{side}_", [x], self.width)
            result = body.fill(int(self.rng.integers(1, 4)), depth + 1)
            body.nodes.append(helper.make_node("Identity", [result], [body.name()]))
            output = helper.make_tensor_value_info(body.nodes[-1].output[0], FLOAT, None)
            bodies.append(helper.make_graph(body.nodes, f"{self.prefix}{side}", [], [output]))
        return self.add("If", [condition], {"then_branch": bodies[0], "else_branch": bodies[1]})

    def loop(self, depth):
        x = self.pick()
        prefix = f"{self.prefix}{self.count}l_"
        state, iteration, given = prefix + "s", prefix + "i", prefix + "c"
        body = Graph(self.rng, prefix, [state, x], self.width)
        body.values = [state]
        step = body.add("Clip", [body.fill(int(self.rng.integers(1, 3)), depth + 1), body.constant(np.float32(-8)), body.constant(np.float32(8))])
        # Otherwise rows double with each iteration.
        kept = body.add("Slice", [step, body.ints(0), body.ints(12), body.ints(0)])
        scan = body.add("Cast", [iteration], {"to": FLOAT})
        goes = body.add("Identity", [given])
        graph = helper.make_graph(
            body.nodes, prefix + "body",
            [
                helper.make_tensor_value_info(iteration, INT64, []), helper.make_tensor_value_info(given, BOOL, []),
                helper.make_tensor_value_info(state, FLOAT, None),
            ],
            [
                helper.make_tensor_value_info(goes, BOOL, []), helper.make_tensor_value_info(kept, FLOAT, None),
                helper.make_tensor_value_info(scan, FLOAT, None),
            ],
        )
        trips = self.constant(np.int64(self.rng.integers(1, 5)))
        last, scanned = self.add("Loop", [trips, self.constant(np.array(True)), x], {"body": graph}, outputs=2)
        total = self.add("ReduceSum", [scanned], {"keepdims": 0})
        return self.add("Add", [last, total])

    def fill(self, steps, depth=0):
        choices = [
            self.unary, self.bounded, self.same_rows, self.row_constant, self.product, self.concat, self.sliced,
            self.reversed_rows, self.reshaped, self.counted, self.expanded, self.tiled, self.padded, self.chosen,
            self.nonzero,
        ]
        if depth < 2:
            choices += [lambda: self.branch(depth), lambda: self.loop(depth)]
        for _ in range(steps):
            self.values.append(choices[int(self.rng.integers(len(choices)))]())
        return self.values[-1]


def graph(seed):
    """A model with one input x of [n, width], three sizes of n, and a function from n to an input."""
    rng = np.random.default_rng(seed)
    width = int(rng.integers(1, 5))
    made = Graph(rng, "v", ["x"], width)
    result = made.fill(int(rng.integers(3, 9)))
    short = made.add("Slice", [result, made.ints(0), made.ints(64), made.ints(0)])
    outputs = [helper.make_tensor_value_info(short, FLOAT, ["rows", width])]
    model = helper.make_model(
        helper.make_graph(
            made.nodes, "random", [helper.make_tensor_value_info("x", FLOAT, ["n", width])], outputs, made.initializers),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    sizes = [1, int(rng.integers(2, 5)), int(rng.integers(5, 9))]
    return model, sizes, lambda n: np.random.default_rng(seed * 31 + n).integers(-3, 4, (n, width)).astype(np.float32)
