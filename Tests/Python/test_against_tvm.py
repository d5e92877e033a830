"""The same random graphs and the same pattern lists through Apache TVM and Tenon: the partitions must be equal.

Compared are whole modules, function by function: names, which operators are together, parameters, outputs, attributes, order.
Where TVM is known to go wrong, the graph is counted and not compared; each of these is decided by what TVM made, never by
what Tenon did:

- TVM lets a later match take operators out of an earlier one of the same rule, which is then no match any more, and may
  report the cycle that it thereby made (F-33). Here the earlier match stays.
- TVM sees cycles over one binding only; over several, it makes modules that are not well formed (F-36). Here
  both are errors, and the test asks that they are.
- TVM unites regions by dependencies that are out of date, and then reports a cycle (C-18).

TENON_TVM_GRAPHS sets how many graphs there are (1000), TENON_TVM_SEED where the numbers begin.
"""

import collections
import ctypes
import os
import random

import pytest

tvm = pytest.importorskip("tvm")

from tvm import relax  # noqa: E402
from tvm.relax.backend.utils import has_leaking_intermediate_variables  # noqa: E402
from tvm.relax.dpl import is_const, is_op, is_tuple, is_tuple_get_item, wildcard  # noqa: E402

import tvm_text  # noqa: E402

GRAPHS = int(os.environ.get("TENON_TVM_GRAPHS", "1000"))
SEED = int(os.environ.get("TENON_TVM_SEED", "0"))
UNBOUND = 1


class Tenon:
    """The few functions of the C API that this test needs."""

    def __init__(self, path):
        self.library = ctypes.CDLL(path)
        self.library.tenon_last_error_message.restype = ctypes.c_char_p
        for name in ("parse", "fuse", "apply", "equal", "print"):
            getattr(self.library, f"tenon_module_{name}").restype = ctypes.c_int

    def check(self, status):
        if status != 0:
            raise RuntimeError(self.library.tenon_last_error_message().decode())

    def parse(self, text):
        module = ctypes.c_void_p()
        data = text.encode()
        self.check(
            self.library.tenon_module_parse(
                ctypes.c_char_p(data), ctypes.c_size_t(len(data)), ctypes.byref(module)
            )
        )
        return module

    def fuse(self, module, rules, flags):
        self.check(self.library.tenon_module_fuse(module, ctypes.c_char_p(rules.encode()), ctypes.c_uint32(flags), None))

    def apply(self, module, name):
        self.check(self.library.tenon_module_apply(module, ctypes.c_char_p(name.encode()), None))

    def equal(self, a, b):
        result = ctypes.c_int()
        self.check(self.library.tenon_module_equal(a, b, ctypes.byref(result)))
        return bool(result.value)

    def text(self, module):
        text = ctypes.c_char_p()
        self.check(self.library.tenon_module_print(module, None, ctypes.byref(text)))
        result = text.value.decode()
        self.library.tenon_string_release(text)
        return result

    def release(self, module):
        self.library.tenon_module_release(module)


@pytest.fixture(scope="module")
def tenon():
    path = os.environ.get("TENON_LIBRARY")
    if not path:
        pytest.skip("TENON_LIBRARY does not say where the library is")
    return Tenon(path)


# ------------------------------------------------------------------------------------------------------------ rules

conv = lambda: is_op("relax.nn.conv2d")(wildcard(), wildcard())  # noqa: E731
relu = is_op("relax.nn.relu")
gelu = is_op("relax.nn.gelu")
silu = is_op("relax.nn.silu")
tanh = is_op("relax.tanh")
add = is_op("relax.add")
multiply = is_op("relax.multiply")
reshape = is_op("relax.reshape")
concat = is_op("relax.concat")
split = is_op("relax.split")


def shared_sum():
    node = wildcard()
    return add(node, node)


def optional_relu():
    inner = add(conv(), wildcard())
    return inner | relu(inner)


def split_sum():
    node = split(wildcard())
    return add(is_tuple_get_item(node, 0), is_tuple_get_item(node, 1))


# Name, pattern in TVM, pattern in text, number of operators.
POOL = [
    ("conv", conv, "nn.conv2d(*, *)", 1),
    ("relu", lambda: relu(wildcard()), "nn.relu(*)", 1),
    ("add", lambda: add(wildcard(), wildcard()), "add(*, *)", 1),
    ("add_const", lambda: add(wildcard(), is_const()), "add(*, const)", 1),
    ("double", shared_sum, "add(%n, %n)", 1),
    ("concat", lambda: concat(wildcard()), "concat(*)", 1),
    ("split", lambda: split(wildcard()), "split(*)", 1),
    ("pool", lambda: is_op("relax.nn.max_pool2d")(wildcard()), "nn.max_pool2d(*)", 1),
    ("gelu_or_silu", lambda: gelu(wildcard()) | silu(wildcard()), "nn.gelu(*) | nn.silu(*)", 1),
    ("reshape", lambda: reshape(wildcard(), wildcard()), "reshape(*, *)", 1),
    ("conv_relu", lambda: relu(conv()), "nn.relu(nn.conv2d(*, *))", 2),
    ("conv_add", lambda: add(conv(), wildcard()), "add(nn.conv2d(*, *), *)", 2),
    ("conv_add_relu", lambda: relu(add(conv(), wildcard())), "nn.relu(add(nn.conv2d(*, *), *))", 3),
    ("conv_bias_relu", lambda: relu(add(conv(), reshape(wildcard(), wildcard()))),
     "nn.relu(add(nn.conv2d(*, *), reshape(*, *)))", 4),
    ("conv_add_optional_relu", optional_relu,
     "%a: add(nn.conv2d(*, *), *) | nn.relu(%a)", 3),
    ("relu_relu", lambda: relu(relu(wildcard())), "nn.relu(nn.relu(*))", 2),
    ("sum_of_relus", lambda: add(relu(wildcard()), relu(wildcard())), "add(nn.relu(*), nn.relu(*))", 3),
    ("scaled", lambda: tanh(multiply(wildcard(), is_const())), "tanh(multiply(*, const))", 2),
    ("add_add", lambda: add(add(wildcard(), wildcard()), wildcard()), "add(add(*, *), *)", 2),
    ("concat_relus", lambda: concat(is_tuple([relu(wildcard()), relu(wildcard())])),
     "concat(tuple(nn.relu(*), nn.relu(*)))", 3),
    ("split_sum", split_sum, "add((%s: split(*)).0, %s.1)", 4),
    ("relu_gelu", lambda: gelu(relu(wildcard())), "nn.gelu(nn.relu(*))", 2),
]


class Check:
    """A rule's check; keeps what TVM matched, to tell whether matches share operators."""

    def __init__(self, closed):
        self.closed = closed
        self.matches = []

    def __call__(self, context):
        if self.closed and has_leaking_intermediate_variables(context):
            return False
        members = {var.name for var in context.matched_bindings}
        root = next(
            (var.name for var, value in context.matched_bindings.items() if value.same_as(context.matched_expr)), None
        )
        self.matches.append((root, members))
        return True

    def tears(self):
        """Whether a later match takes operators of an earlier one, but not its root."""
        return any(
            root not in later and members & later
            for index, (_, later) in enumerate(self.matches)
            for root, members in self.matches[:index]
        )


def random_rules(random_):
    """A list for TVM, and the same as text."""
    tvm_rules, texts = [], []
    for name, make, text, size in random_.sample(POOL, random_.randint(1, 6)):
        composite = f"{random_.choice('ab')}.{name}"
        closed = random_.random() < (0.7 if size > 1 else 0.2)
        tvm_rules.append((composite, make(), {}, Check(closed)))
        texts.append(f"{'closed ' if closed else ''}{composite} = {text};")
    return tvm_rules, "\n".join(texts)


# ----------------------------------------------------------------------------------------------------------- graphs

SHAPE = (1, 4, 6, 6)


def random_graph(random_):
    """A function of one dataflow block on tensors of one shape, with joins, several users and several outputs."""
    import numpy

    builder = relax.BlockBuilder()
    x = relax.Var("x", relax.TensorType(SHAPE, "float32"))
    y = relax.Var("y", relax.TensorType(SHAPE, "float32"))
    w = relax.Var("w", relax.TensorType((4, 4, 1, 1), "float32"))
    b = relax.Var("b", relax.TensorType((4,), "float32"))
    weights = [w, relax.const(numpy.arange(16, dtype="float32").reshape(4, 4, 1, 1))]
    biases = [b, relax.const(numpy.arange(4, dtype="float32"))]
    scalars = [relax.const(numpy.float32(value)) for value in (0.5, 2.0)]
    with builder.function("main", [x, y, w, b]):
        with builder.dataflow():
            values = [x, y]

            outputs = []

            def emit(expr, may_leave=True):
                # Outputs are bound as such, so that no aliases stand behind the graph: TVM moves aliases to what they name.
                if may_leave and random_.random() < 0.1:
                    outputs.append(builder.emit_output(expr))
                    return outputs[-1]
                return builder.emit(expr)

            def pick():
                # Recent values are likelier: chains grow, and yet many values have several users.
                return values[-1] if random_.random() < 0.5 else random_.choice(values)

            def unary(op):
                return emit(op(pick()))

            def convolution():
                return emit(relax.op.nn.conv2d(pick(), random_.choice(weights)))

            def biased():
                convolved = convolution()
                bias = emit(relax.op.reshape(random_.choice(biases), (1, 4, 1, 1)), may_leave=False)
                total = emit(relax.op.add(*random_.sample([convolved, bias], 2)))
                return emit(relax.op.nn.relu(total)) if random_.random() < 0.7 else total

            def joined():
                both = emit(relax.op.concat([pick(), pick()], axis=1), may_leave=False)
                if random_.random() < 0.5:
                    both = emit(relax.op.nn.relu(both), may_leave=False)
                parts = emit(relax.op.split(both, 2, axis=1), may_leave=False)
                first, second = (builder.emit(relax.TupleGetItem(parts, index)) for index in (0, 1))
                values.extend([first, second])
                return emit(relax.op.add(first, second))

            makers = [
                (3, lambda: unary(relax.op.nn.relu)), (2, lambda: unary(relax.op.nn.gelu)),
                (1, lambda: unary(relax.op.nn.silu)), (1, lambda: unary(relax.op.tanh)),
                (3, convolution), (3, biased),
                (3, lambda: emit(relax.op.add(pick(), pick()))),
                (1, lambda: emit(relax.op.multiply(pick(), random_.choice(scalars)))),
                (1, lambda: emit(relax.op.add(random_.choice(scalars), pick()))),
                (1, lambda: emit(relax.op.nn.max_pool2d(pick(), (1, 1)))),
                (1, lambda: emit(relax.op.reshape(pick(), SHAPE))),
                (1, joined),
            ]
            for _ in range(random_.randint(2, 16)):
                (maker,) = random_.choices([m for _, m in makers], [weight for weight, _ in makers])
                values.append(maker())
            outputs.append(builder.emit_output(relax.op.nn.relu(pick())))
        builder.emit_func_output(outputs[0] if len(outputs) == 1 else relax.Tuple(outputs))
    return builder.get()


# -------------------------------------------------------------------------------------------------------- comparison


def well_formed(module):
    """TVM has both: an answer, and an exception."""
    try:
        return relax.analysis.well_formed(module) is not False
    except ValueError:
        return False


def tvm_partition(module, rules, bind_constants, merges):
    """TVM's result, or a word for what went wrong."""
    try:
        result = relax.transform.FuseOpsByPattern(rules, bind_constants=bind_constants)(module)
    except Exception as error:  # noqa: BLE001
        if "cyclic dependency" not in str(error):
            raise
        return None, "torn match" if any(check.tears() for *_, check in rules) else "cycle"
    if any(check.tears() for *_, check in rules):
        return None, "torn match"
    if merges and well_formed(result):
        try:
            result = relax.transform.MergeCompositeFunctions()(result)
        except Exception as error:  # noqa: BLE001
            if "cyclic dependency" not in str(error):
                raise
            return None, "merge cycle"
    return (result, "") if well_formed(result) else (None, "ill-formed")


def compare(tenon, seed, counts):
    random_ = random.Random(seed)
    graph = random_graph(random_)
    rules, text = random_rules(random_)
    bind_constants = random_.random() < 0.5
    merges = random_.random() < 0.6
    source = tvm_text.module_text(graph)
    expected, problem = tvm_partition(graph, rules, bind_constants, merges)
    handle = tenon.parse(source)
    wanted = None
    try:
        failure = ""
        try:
            tenon.fuse(handle, text, 0 if bind_constants else UNBOUND)
            if merges:
                tenon.apply(handle, "MergeCompositeFunctions")
        except RuntimeError as error:
            failure = str(error)
        if problem:
            counts[problem] += 1
            if problem in ("cycle", "ill-formed"):
                assert "A cyclic dependency detected" in failure, f"seed {seed}: TVM: {problem}\n{source}\n{text}"
            return
        assert not failure, f"seed {seed}: {failure}\n{source}\n{text}"
        wanted = tenon.parse(tvm_text.module_text(expected))
        counts["fused" if len(expected.functions) > 1 else "nothing to fuse"] += 1
        assert tenon.equal(handle, wanted), (
            f"seed {seed}, constants {'bound' if bind_constants else 'not bound'}\n{source}\nrules\n{text}\n"
            f"Tenon\n{tenon.text(handle)}\nTVM\n{tenon.text(wanted)}"
        )
    finally:
        tenon.release(handle)
        if wanted is not None:
            tenon.release(wanted)


def test_partitions_are_those_of_tvm(tenon):
    counts = collections.Counter()
    print(f"TVM {tvm_text.version()}, {GRAPHS} graphs from seed {SEED}")
    for seed in range(SEED, SEED + GRAPHS):
        compare(tenon, seed, counts)
    print(dict(counts))
    # The exceptions must stay exceptions.
    assert counts["fused"] >= GRAPHS * 0.6
