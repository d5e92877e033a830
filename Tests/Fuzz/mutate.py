"""Mutates valid ONNX models and runs what comes of it: every input ends in a result or an error, within limits and in time.

usage: mutate.py SECONDS [--seed N] [--keep FOLDER] [--models FOLDER] [--small]

Models are the corpus of the fuzzers, ONNX's own tests of operators and control flow (not with `--small`), and what `--models`
holds. Children do the work, each
for some hundreds of models; what a child died of, or did not finish, is kept in FOLDER and makes the exit status 1.
"""

import argparse
import os
import pathlib
import pickle
import random
import signal
import sys
import time
import warnings

import numpy as np

warnings.filterwarnings("ignore")
import onnx  # noqa: E402
from onnx import AttributeProto, TensorProto, numpy_helper  # noqa: E402

EXTREMES = [0, 1, -1, 2, 3, 5, 7, 16, 100, 255, 256, 4096, 65535, 65536, 10**6, 2**24, 2**30, 2**31 - 1, 2**31, 2**32, 2**40,
            2**53, 2**62, 2**63 - 1, -2, -3, -2**31, -2**62, -2**63]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 1e-38, 1e-45, 1e38, 3e38, 1e300, float("inf"), float("-inf"), float("nan"), 2.5, 1e9, -1e18]
WORDS = ["", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET", "linear", "cubic", "nearest", "reflect", "edge", "wrap", "max",
         "mean", "sum", "none", "asymmetric", "align_corners", "tf_crop_and_resize", "half_pixel", "bidirectional", "reverse", "Tanh",
         "ij,jk->ik", "...i->...", "ii->i", "n", "floor", "round_prefer_ceil", "stretch", "add", "mul", "DCR", "CRD"]


def graphs(graph):
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from graphs(attribute.g)


def number(rng, old=None):
    if old is not None and rng.random() < 0.5:
        return max(-2**63, min(2**63 - 1, old + rng.choice([-2, -1, 1, 2, old, -2 * old])))
    return rng.choice(EXTREMES) if rng.random() < 0.6 else rng.randint(-4, 12)


def change_attribute(rng, graph):
    node = rng.choice(graph.node)
    if not node.attribute:
        return
    attribute = rng.choice(node.attribute)
    kind = attribute.type
    if kind == AttributeProto.INT:
        attribute.i = number(rng, attribute.i)
    elif kind == AttributeProto.INTS:
        values = list(attribute.ints)
        action = rng.random()
        if values and action < 0.7:
            index = rng.randrange(len(values))
            values[index] = number(rng, values[index])
        elif action < 0.85:
            values.append(number(rng))
        elif values:
            values.pop()
        del attribute.ints[:]
        attribute.ints.extend(values)
    elif kind == AttributeProto.FLOAT:
        attribute.f = rng.choice([f for f in FLOATS if not abs(f) > 3.4e38 or f != f or f in (float("inf"), float("-inf"))])
    elif kind == AttributeProto.STRING:
        attribute.s = rng.choice(WORDS).encode()
    elif kind == AttributeProto.TENSOR:
        change_tensor(rng, attribute.t)
    elif kind == AttributeProto.STRINGS and attribute.strings:
        attribute.strings[rng.randrange(len(attribute.strings))] = rng.choice(WORDS).encode()


def drop_attribute(rng, graph):
    node = rng.choice(graph.node)
    if node.attribute:
        del node.attribute[rng.randrange(len(node.attribute))]


def change_tensor(rng, tensor):
    try:
        values = numpy_helper.to_array(tensor).copy()
    except Exception:
        return
    action = rng.random()
    if values.dtype.kind in "iu" and values.size and action < 0.6:
        flat = values.reshape(-1)
        info = np.iinfo(values.dtype)
        index = rng.randrange(flat.size)
        flat[index] = max(info.min, min(info.max, number(rng, int(flat[index]))))
    elif values.dtype.kind == "f" and values.size and action < 0.6:
        values.reshape(-1)[rng.randrange(values.size)] = rng.choice(FLOATS)
    elif action < 0.7 and values.ndim:
        values = values.reshape(values.shape[::-1])
    elif action < 0.8:
        values = values.reshape(-1)
    elif action < 0.9:
        values = values[:0] if values.ndim else values.reshape(1)
    else:
        values = values.reshape((1,) * rng.randint(1, 9) + values.shape)
    name = tensor.name
    try:
        tensor.CopyFrom(numpy_helper.from_array(values, name))
    except Exception:
        pass


def change_initializer(rng, graph):
    if graph.initializer:
        change_tensor(rng, rng.choice(graph.initializer))


def change_type(rng, graph):
    infos = list(graph.input) + list(graph.output) + list(graph.value_info)
    if not infos:
        return
    info = rng.choice(infos)
    if not info.type.HasField("tensor_type"):
        return
    type_ = info.type.tensor_type
    action = rng.random()
    if action < 0.15:
        type_.elem_type = rng.randint(1, 16)
    elif action < 0.25:
        type_.ClearField("shape")
    elif action < 0.35:
        type_.shape.dim.add().dim_value = rng.choice([1, 2, 0])
    elif type_.shape.dim:
        dim = rng.choice(type_.shape.dim)
        if rng.random() < 0.4:
            dim.dim_param = rng.choice(["n", "m", "batch"])
        else:
            dim.dim_value = rng.choice([0, 1, 2, 3, 5, 8, 17, 64, 1000, 100000, 2**20, 2**31, 2**40])


def change_edges(rng, graph):
    node = rng.choice(graph.node)
    names = [name for other in graph.node for name in (*other.input, *other.output)] + [""]
    if node.input and rng.random() < 0.8:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif rng.random() < 0.5:
        node.input.append(rng.choice(names))
    elif node.output:
        node.output[rng.randrange(len(node.output))] = rng.choice(names)


def change_operator(rng, graph):
    rng.choice(graph.node).op_type = rng.choice(OPERATORS)


def make_input_constant(rng, graph):
    """An input becomes an initializer: what depends on it is computed, or refused, early."""
    given = [info for info in graph.input if info.type.HasField("tensor_type")]
    if not given:
        return
    info = rng.choice(given)
    dims = [dim.dim_value or 2 for dim in info.type.tensor_type.shape.dim]
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        if int(np.prod(dims, dtype=object)) > 1 << 16:
            return
        values = np.array([rng.choice(EXTREMES + [1] * 30) for _ in range(int(np.prod(dims)))], dtype=object)
        values = np.clip(values.astype(np.float64), -1e18, 1e18).astype(dtype).reshape(dims)
        graph.initializer.append(numpy_helper.from_array(values, info.name))
    except Exception:
        return
    graph.input.remove(info)


def copy_node(rng, graph):
    node = rng.choice(graph.node)
    copy = graph.node.add()
    copy.CopyFrom(node)
    for index, name in enumerate(copy.output):
        copy.output[index] = name + "_again"
    if copy.input and node.output:
        copy.input[0] = node.output[0]
        if graph.output and rng.random() < 0.7:
            graph.output[0].name = copy.output[0]


def drop_node(rng, graph):
    if len(graph.node) > 1:
        del graph.node[rng.randrange(len(graph.node))]


CHANGES = [(change_attribute, 6), (drop_attribute, 1), (change_initializer, 3), (change_type, 4), (change_edges, 2),
           (change_operator, 1), (make_input_constant, 3), (copy_node, 1), (drop_node, 1)]
OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain})


def mutate(rng, data):
    model = onnx.load_from_string(data)
    for _ in range(rng.choice([1, 1, 1, 2, 2, 3, 5])):
        graph = rng.choice(list(graphs(model.graph)))
        if graph.node:
            change = rng.choices([c for c, _ in CHANGES], [w for _, w in CHANGES])[0]
            try:
                change(rng, graph)
            except (ValueError, TypeError, OverflowError):
                pass
    return model.SerializeToString()


# What a child does.


def inputs(rng, executable):
    arrays = []
    for port in executable.inputs:
        shape = [2 if size is None else size for size in (port.shape if port.shape is not None else [2, 2])]
        if int(np.prod(shape, dtype=object)) > 1 << 22 or port.dtype is None:
            return None
        dtype = np.dtype(port.dtype)
        if dtype.kind in "iu":
            values = np.array([rng.choice([0, 1, 2, 3, 1, 1, -1, 2**31, 2**62]) for _ in range(min(int(np.prod(shape)), 64))] or [0])
            info = np.iinfo(dtype)
            values = np.clip(np.resize(values, shape), info.min, info.max)
        else:
            values = np.resize(np.linspace(-2, 2, 31), shape)
        arrays.append(values.astype(dtype))
    return arrays


def attempt(tenon, rng, data):
    token = {"timeout": 2.0}
    module = tenon.Module.load_onnx(data, **token)
    module.print(**token)
    for current in (module, module.optimize(**token)):
        executable = tenon.compile(current, threads=1, memory_limit=256 << 20, **token)
        arrays = inputs(rng, executable)
        if arrays is not None:
            executable.run(arrays, timeout=1.0)
    module.serialize_onnx()


def child(models, seed, count, note, keep_bytes):
    import resource
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
    import tenon
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    rng = random.Random(seed)
    late = 0
    for _ in range(count):
        data = mutate(rng, rng.choice(models))
        note.write_bytes(data)
        start = time.monotonic()
        signal.alarm(30)
        try:
            attempt(tenon, rng, data)
        except tenon.InternalError as error:
            print("internal error:", error, flush=True)
            os._exit(98)
        except (tenon.TenonError, ValueError, MemoryError):
            pass
        # Eight stages of two seconds at most, on a machine that may be busy.
        if time.monotonic() - start > 20:
            os._exit(97)
    os._exit(late)


def corpus(folder, small):
    cache = pathlib.Path(os.environ.get("TMPDIR", "/tmp")) / f"tenon-models-{onnx.__version__}-{os.getuid()}.pickle"
    if small:
        models = []
    elif cache.exists():
        models = pickle.loads(cache.read_bytes())
    else:
        from onnx.backend.test.loader import load_model_tests
        models = [case.model.SerializeToString() for case in load_model_tests(kind="node") if case.model is not None]
        models = [model for model in models if len(model) < 1 << 14]
        cache.write_bytes(pickle.dumps(models))
    here = pathlib.Path(__file__).resolve().parent
    models += [path.read_bytes() for path in sorted((here / "corpus" / "onnx").iterdir())] * 5
    for path in sorted(pathlib.Path(folder).glob("*.onnx")) if folder else []:
        models += [path.read_bytes()] * 5
    good = []
    for model in models:
        try:
            onnx.load_from_string(model)
            good.append(model)
        except Exception:
            pass
    # Models with branches and bodies are few, and where most can go wrong.
    nested = [m for m in good if b"then_branch" in m or b"body" in m]
    return good + nested * 10


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", default="build/fuzz")
    parser.add_argument("--models")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--batch", type=int, default=200)
    options = parser.parse_args()
    keep = pathlib.Path(options.keep)
    keep.mkdir(parents=True, exist_ok=True)
    models = corpus(options.models, options.small)
    end = time.monotonic() + options.seconds
    seed, done, findings = options.seed, 0, 0
    note = keep / f"current-{os.getpid()}.onnx"
    while time.monotonic() < end:
        seed += 1
        pid = os.fork()
        if pid == 0:
            child(models, seed, options.batch, note, keep)
        _, status = os.waitpid(pid, 0)
        done += options.batch
        if status != 0:
            findings += 1
            what = f"signal-{os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit-{os.WEXITSTATUS(status)}"
            target = keep / f"models-{what}-{seed}.onnx"
            note.rename(target)
            print(f"{what}: {target}", flush=True)
    note.unlink(missing_ok=True)
    print(f"models    {done} inputs in {options.seconds:.0f} s, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
