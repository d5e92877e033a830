"""Valid modules of every operator of the schema, with random attributes, symbolic sizes, branches, loops and functions; and what
every way to run them gives.

Choices are read from bytes, so that whatever makes bytes (a seed, or a fuzzer) makes a module. As a script it goes on for as many
as it is told, in children: ``python valid_programs.py COUNT [FIRST]``; what a child dies of, or does not finish, is told by its seed.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np

import tenon

#: Element counts beyond this make a run long without making it more of a test.
MOST = 1 << 14
DTYPES = ["f32", "f32", "f32", "f32", "i64", "i32", "bool", "f16", "f64", "u8", "i8", "bf16"]
NUMPY = {"f32": np.float32, "i64": np.int64, "i32": np.int32, "bool": np.bool_, "f16": np.float16, "f64": np.float64,
         "u8": np.uint8, "i8": np.int8}
SIZES = {"n": 3, "m": 4}
NUMBERS = [0, 1, 1, 1, 2, 2, 3, -1, -1, -2, 4, 5, 7, 8, 100, -100, 2**31, -(2**31), 2**62, -(2**63)]
FLOATS = [0.0, 1.0, 0.5, -1.0, 2.5, 1e-5, 1e30, -1e30, 1e-40, float("inf"), float("nan"), 1e300]
WORDS = ["", "NCHW", "NHWC", "OIHW", "relu", "tanh", "linear", "ij,jk->ik", "ii->i", "...i->...", "i,i", "ab,cb->ac", "max"]


class Bytes:
    """Choices from bytes; when there are no more, always the first."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def below(self, bound: int) -> int:
        if bound <= 1 or self.at >= len(self.data):
            return 0
        self.at += 1
        return self.data[self.at - 1] % bound

    def pick(self, choices):
        return choices[self.below(len(choices))]

    def chance(self, percent: int) -> bool:
        return self.below(100) < percent and self.at < len(self.data)


def schemas():
    """Inputs (kind, optional) and attributes (name, kind, allowed, required) of each operator."""
    result = {}
    for name in tenon.operators():
        text = tenon.describe(name)
        inputs = [(kind.split(",")[0], "optional" in kind) for kind in re.findall(r"^input \w+: (.*)$", text, re.M)]
        attributes = []
        for attribute, rest in re.findall(r"^attribute (\w+): (.*)$", text, re.M):
            kind = re.match(r"list of \w+|\w+", rest)[0]
            allowed = re.findall(r'"([^"]*)"', rest.split("one of", 1)[1]) if "one of" in rest else []
            attributes.append((attribute, kind, allowed, rest.endswith("required") or ", required" in rest))
        result[name] = (inputs, attributes)
    return result


#: Calls of operators that hardly come about by chance: types of operands, or numbers, and attributes that are needed.
RECIPES = {
    "clip": (["f32[2,3]", 0.0, 1.0], {}),
    "dequantize": (["i8[2,4]", "f32[]", "i8[]"], {}),
    "quantize": (["f32[2,4]", "f32[]", "i8[]"], {"out_dtype": "i8"}),
    "hamming_window": ([8, 1, 0.5, 0.5], {}),
    "image.resize3d": (["f32[1,2,3,4,4]", (4, 2, 3)], {}),
    "matmul_integer": (["u8[3,4]", "i8[4,5]"], {}),
    "nn.adaptive_avg_pool3d": (["f32[1,2,4,4,4]"], {}),
    "nn.adaptive_max_pool3d": (["f32[1,2,4,4,4]"], {}),
    "nn.avg_pool1d": (["f32[1,3,8]"], {"pool_size": [2]}),
    "nn.avg_pool2d": (["f32[1,3,8,6]"], {"pool_size": [2, 3]}),
    "nn.avg_pool3d": (["f32[1,3,4,6,5]"], {"pool_size": [2, 3, 2]}),
    "nn.max_pool1d": (["f32[1,3,8]"], {"pool_size": [3]}),
    "nn.max_pool2d": (["f32[1,8,8,6]"], {"pool_size": [2, 2]}),
    "nn.max_pool3d": (["f32[1,3,4,6,5]"], {"pool_size": [2, 3, 2]}),
    "nn.max_pool1d_with_indices": (["f32[1,3,8]"], {"pool_size": [3]}),
    "nn.max_pool2d_with_indices": (["f32[1,3,8,6]"], {"pool_size": [2, 2]}),
    "nn.max_pool3d_with_indices": (["f32[1,3,4,6,5]"], {"pool_size": [2, 3, 2]}),
    "nn.conv1d": (["f32[1,4,9]", "f32[8,4,3]"], {}),
    "nn.conv2d": (["f32[1,4,9,8]", "f32[8,4,3,3]"], {}),
    "nn.conv3d": (["f32[1,4,5,4,6]", "f32[3,4,3,2,3]"], {}),
    "nn.conv1d_transpose": (["f32[1,4,9]", "f32[4,6,3]"], {}),
    "nn.conv2d_transpose": (["f32[1,4,5,6]", "f32[4,6,3,2]"], {}),
    "nn.conv3d_transpose": (["f32[1,4,3,3,4]", "f32[4,2,3,2,2]"], {}),
    "nn.group_norm": (["f32[2,4,3,3]", "f32[4]", "f32[4]"], {"num_groups": 2}),
    "nn.lstm": (["f32[3,2,4]", "f32[1,20,4]", "f32[1,20,5]", "f32[1,40]", "f32[1,2,5]", "f32[1,2,5]", "f32[1,15]"], {}),
    "nn.gru": (["f32[3,2,4]", "f32[1,15,4]", "f32[1,15,5]", "f32[1,30]", "f32[1,2,5]"], {}),
    "nn.rnn": (["f32[3,2,4]", "f32[1,5,4]", "f32[1,5,5]", "f32[1,10]", "f32[1,2,5]"], {}),
    "quantized_matmul": (["u8[3,4]", "f32[]", "u8[]", "i8[4,5]", "f32[]", "i8[]"], {}),
    "nn.conv1d_integer": (["u8[1,4,9]", "i8[8,4,3]", "u8[]", "i8[]"], {}),
    "nn.conv2d_integer": (["u8[1,4,9,8]", "i8[8,4,3,3]", "u8[]", "i8[]"], {}),
    "nn.conv3d_integer": (["u8[1,4,5,4,6]", "i8[3,4,3,2,3]", "u8[]", "i8[]"], {}),
    "nn.quantized_conv1d": (["u8[1,4,9]", "i8[8,4,3]", "f32[]", "u8[]", "f32[]", "i8[]"], {}),
    "nn.quantized_conv2d": (["u8[1,4,9,8]", "i8[8,4,3,3]", "f32[]", "u8[]", "f32[]", "i8[]"], {}),
    "nn.quantized_conv3d": (["u8[1,4,5,4,6]", "i8[3,4,3,2,3]", "f32[]", "u8[]", "f32[]", "i8[]"], {}),
    "slice_scatter": (["f32[6,4]", "f32[2,4]", 1, 3, 1], {}),
    "vision.roi_align": (["f32[1,2,6,6]", "f32[3,5]"], {"pooled_size": [2, 2]}),
    "vision.roi_pool": (["f32[1,2,6,6]", "f32[3,5]"], {"pooled_size": [2, 2]}),
    "nn.attention": (["f32[1,4,2,8]", "f32[1,4,2,8]", "f32[1,4,2,8]"], {}),
    "matmul": (["f32[5,8]", "f32[8,16]"], {}),
}
SCHEMAS = schemas()
NAMES = sorted(SCHEMAS)


def dims(type_text: str):
    """The dimensions in a tensor's type; None where not even their number is known."""
    match = re.fullmatch(r"(\w+|\?)\[(.*)\]", type_text)
    if not match or match[2] == "..." or match[2].startswith("rank="):
        return None
    return [size.strip() for size in re.split(r",(?![^()]*\))", match[2])] if match[2] else []


def count(type_text: str) -> int:
    total = 1
    for size in dims(type_text) or []:
        scope = {**SIZES, "floordiv": lambda a, b: a // b, "max": max, "min": min, "broadcast": max}
        try:
            total *= max(int(eval(size, {"__builtins__": {}}, scope)), 0)  # noqa: S307 (sizes that the library printed)
        except Exception:
            total *= 4
    return total


class Program:
    """A module that grows call by call; what the library refuses is left out."""

    def __init__(self, data: bytes):
        self.bytes = Bytes(data)
        self.builder = tenon.Builder()
        self.values = []
        self.calls: list[str] = []
        self.kind = self.bytes.below(10)
        for index in range(1 + self.bytes.below(3)):
            shape = [self.bytes.pick([1, 2, 3, 4, 8, "n", "m", 5, 0]) for _ in range(self.bytes.below(5))]
            self.values.append(self.builder.parameter(f"x{index}", shape, self.bytes.pick(DTYPES)))
        for _ in range(1 + self.bytes.below(12)):
            self.step()

    def step(self) -> None:
        # The operators that come first would otherwise be all that short inputs reach.
        name = NAMES[(self.bytes.below(256) * 256 + self.bytes.below(256)) % len(NAMES)]
        for _ in range(6):
            try:
                value = self.recipe(name) if name in RECIPES and self.bytes.chance(60) else self.call(name)
            except tenon.TenonError:
                continue
            self.calls.append(name)
            self.add(value)
            return

    def add(self, value) -> None:
        fields = value.type
        if fields.startswith("("):
            for index in range(8):
                try:
                    self.add(value[index])
                except (tenon.TenonError, IndexError):
                    return
        elif count(fields) <= MOST:
            self.values.append(value)

    def call(self, name: str):
        inputs, attributes = SCHEMAS[name]
        arguments = []
        for kind, optional in inputs:
            if optional and not self.bytes.chance(40):
                break
            arguments.append(self.argument(kind))
        given = {}
        for attribute, kind, allowed, required in attributes:
            if required or self.bytes.chance(30):
                given[attribute] = self.attribute(kind, allowed)
        return self.builder.call(name, *arguments, **given)

    def recipe(self, name: str):
        """A call that is likely to be taken, with further attributes by chance."""
        wanted, needed = RECIPES[name]
        arguments = []
        for operand in wanted:
            if isinstance(operand, str):
                dtype, shape = operand.split("[")[0], [int(size) for size in dims(operand)]
                fitting = [value for value in self.values if value.type == operand]
                if fitting and self.bytes.chance(70):
                    arguments.append(fitting[-1])
                    continue
                data = np.random.default_rng(self.bytes.below(256)).standard_normal(shape)
                arguments.append(self.builder.constant(np.asarray(data).astype(NUMPY[dtype])))
            else:
                arguments.append(
                    tenon.Shape(operand) if isinstance(operand, tuple) else self.builder.literal(repr(operand)))
        if self.values and isinstance(wanted[0], str) and self.bytes.chance(70):
            # A value that the module has, brought to the shape: what comes before becomes part of what is fused.
            value, shape = self.values[-1], [int(size) for size in dims(wanted[0])]
            if value.type.startswith("f32[") and (count(value.type) == int(np.prod(shape))):
                arguments[0] = self.builder.call("reshape", value, tenon.Shape(shape))
        given = dict(needed)
        for attribute, kind, allowed, _ in SCHEMAS[name][1]:
            if attribute not in given and self.bytes.chance(15):
                given[attribute] = self.attribute(kind, allowed)
        return self.builder.call(name, *arguments, **given)

    def argument(self, kind: str):
        pick = self.bytes
        if kind == "shape":
            return tenon.Shape(pick.pick([1, 2, 3, 4, "n", "m", 8, 12, 24]) for _ in range(pick.below(5)))
        if kind == "scalar":
            return self.builder.literal(repr(pick.pick(NUMBERS) if pick.chance(60) else pick.pick(FLOATS)))
        if kind == "tuple":
            return self.builder.tuple([self.tensor() for _ in range(1 + pick.below(3))])
        if kind == "any" and pick.chance(50):
            return self.builder.constant(np.array([pick.pick(NUMBERS) for _ in range(1 + pick.below(3))], np.int64))
        return self.tensor()

    def tensor(self):
        pick = self.bytes
        if self.values and not pick.chance(30):
            # The newest is likelier, so that modules get deep.
            return self.values[-1 - min(pick.below(4), len(self.values) - 1)] if pick.chance(70) else pick.pick(self.values)
        # A constant: of the shape of a value, of a part of it, or of its own.
        shape = [pick.pick([1, 2, 3, 4, 5, 8]) for _ in range(pick.below(5))]
        if self.values and pick.chance(70):
            known = dims(pick.pick(self.values).type) or []
            sizes = [int(size) if size.isdigit() else 1 for size in known]
            shape = pick.pick([sizes, sizes[1:], sizes[1:2], sizes[-1:], sizes[::-1], sizes[:2] + [3, 3]])
        if int(np.prod(shape)) > MOST:
            shape = []
        dtype = NUMPY.get(pick.pick(DTYPES), np.float32)
        seed = np.random.default_rng(pick.below(256))
        data = seed.standard_normal(shape) * pick.pick([1, 1, 1, 0, 3, 100])
        return self.builder.constant(np.asarray(data).astype(dtype))

    def attribute(self, kind: str, allowed):
        pick = self.bytes
        if kind.startswith("list of "):
            entries = [1, 1, 2, 2, 3, 4, 4, 6, 0]
            return [self.attribute(kind[8:], allowed) for _ in range(pick.pick(entries))]
        if kind == "string":
            return pick.pick(allowed) if allowed and pick.chance(90) else pick.pick(WORDS)
        if kind == "dtype":
            return pick.pick(DTYPES)
        if kind == "bool":
            return bool(pick.below(2))
        if kind == "float":
            return pick.pick(FLOATS)
        return pick.pick(NUMBERS) if pick.chance(40) else pick.pick([0, 1, 1, 1, 2, -1])

    def module(self) -> tenon.Module:
        results = self.values[-1 - self.bytes.below(3):] if len(self.values) > 3 else self.values[-1:]
        module = self.builder.finish(*results)
        return self.wrapped(module) if self.kind < 4 else module

    def wrapped(self, module: tenon.Module) -> tenon.Module:
        """The function within a branch, a loop or a function of its own."""
        graph = module["main"].graph
        inner = re.sub(r"^fn @main", "fn @inner", str(module["main"]).replace("\t", " "))
        if "const#" in inner:
            inner = re.sub(r"^fn @main", "fn @inner", module.print(inline_elements=1 << 16))
        names = ", ".join(f"%{parameter.name}" for parameter in graph.parameters)
        given = ", ".join(f"%{parameter.name}: {parameter.type}" for parameter in graph.parameters)
        kind = self.kind
        if kind == 0:
            body = f"  %r = @inner({names})\n  return %r\n"
            head = f"({given})"
        elif kind == 1:
            body = (f"  %r = if %chosen {{\n    %a = @inner({names})\n    yield %a\n  }} else {{\n    %b = @inner({names})\n"
                    "    yield %b\n  }\n  return %r\n")
            head = f"({given}, %chosen: bool[])"
        elif kind == 2:
            body = ("  %f = fn(%p: f32[]) -> f32[] { %q = exp(%p) return %q }\n"
                    f"  %s = %f(%start)\n  %r = @inner({names})\n  return (%r, %s)\n")
            head = f"({given}, %start: f32[])"
        else:
            body = ("  %l = loop(@step, const i64[](3), const bool[](true), (%start,), ())\n"
                    f"  %r = @inner({names})\n  return (%r, %l)\n")
            head = f"({given}, %start: f32[2])"
            inner += ("\nfn @step(%i: i64[], %c: bool[], %s: f32[2]) -> (bool[], f32[2]) {\n"
                      "  %t = tanh(%s)\n  return (%c, %t)\n}\n")
        return tenon.Module.parse(f"{inner}\nfn @main{head} {{\n{body}}}\n")


def inputs(graph, data: int):
    rng = np.random.default_rng(data)
    for parameter in graph.parameters:
        dtype = parameter.type.split("[")[0]
        shape = [SIZES[size] if size in SIZES else int(size) for size in dims(parameter.type) or []]
        if dtype == "bf16":
            import ml_dtypes

            yield rng.standard_normal(shape).astype(np.float32).astype(ml_dtypes.bfloat16)
        elif dtype == "bool":
            yield np.asarray(rng.random(shape) < 0.5)
        elif np.issubdtype(NUMPY[dtype], np.integer):
            yield np.asarray(rng.integers(0, 4, shape)).astype(NUMPY[dtype])
        else:
            yield np.asarray(rng.standard_normal(shape)).astype(NUMPY[dtype])


def differs(a, b) -> str:
    """What two ways to run one module gave otherwise; empty where rounding explains it."""
    for x, y in zip(a, b):
        x, y = np.asarray(x), np.asarray(y)
        if x.shape != y.shape or x.dtype != y.dtype:
            return f"{x.dtype}{x.shape} and {y.dtype}{y.shape}"
        if x.dtype.kind not in "fV" and str(x.dtype) != "bfloat16":
            continue
        p, q = x.astype(np.float64), y.astype(np.float64)
        finite = np.isfinite(p) & np.isfinite(q)
        # Programs of arbitrary numbers cancel and overflow; what is told is what no rounding does.
        scale = max(float(np.abs(q[finite]).max(initial=0)), 1e-3)
        if finite.any() and scale < 1e6 and float(np.abs(p - q)[finite].max(initial=0)) > 0.05 * scale:
            return f"up to {float(np.abs(p - q)[finite].max()):g} of {scale:g}"
    return ""


def check(data: bytes) -> str:
    """Makes a module, and runs it in every way: each ends with a result or an error. Says what differs."""
    try:
        program = Program(data)
        module = program.module()
    except tenon.TenonError:
        return ""
    again = tenon.Module.parse(module.print(with_data=True))
    if again != module:
        return f"the text reads back as another module: {program.calls}"
    given = list(inputs(module["main"].graph, len(data)))
    results = {}
    for name, options in {
        "reference": {"reference": True}, "plain": {"optimize": False}, "optimised": {}, "threads": {"threads": 2},
    }.items():
        try:
            executable = tenon.compile(
                module, timeout=10, memory_limit=1 << 28, **{"threads": 1, **options})
            results[name] = executable.run(given, timeout=5)
        except tenon.TenonError as error:
            if isinstance(error, tenon.InternalError):
                return f"{name}: {error} ({program.calls})"
    try:
        module.serialize_onnx()
    except tenon.TenonError:
        pass
    for name, result in results.items():
        if name != "reference" and "reference" in results:
            difference = differs(result, results["reference"])
            if difference:
                return f"{name}: {difference} ({program.calls})"
    return ""


def bytes_of(seed: int) -> bytes:
    rng = random.Random(seed)
    return rng.randbytes(rng.choice([20, 60, 120, 250]))


def work(first: int, last: int) -> int:
    status = 0
    for seed in range(first, last):
        print(f"seed {seed}", flush=True)
        started = time.monotonic()
        found = check(bytes_of(seed))
        if time.monotonic() - started > 60:
            found = found or "took longer than a minute"
        if found:
            print(f"FOUND seed {seed}: {found}", flush=True)
            status = 1
    return status


def supervise(total: int, first: int, group: int = 100) -> list[str]:
    """Runs seeds in children, and goes on behind what one died of. Gives what was found."""
    found = []
    last = first + total
    while first < last:
        until = min(first + group, last)
        child = subprocess.run(
            [sys.executable, __file__, "--work", str(first), str(until)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, check=False, env={**os.environ}, timeout=None)
        seeds = re.findall(r"^seed (\d+)$", child.stdout, re.M)
        found += re.findall(r"^FOUND (.*)$", child.stdout, re.M)
        if child.returncode in (0, 1) and "Traceback" not in child.stdout:
            first = until
            continue
        died = int(seeds[-1]) if seeds else first
        reason = signal.Signals(-child.returncode).name if child.returncode < 0 else f"status {child.returncode}"
        found.append(f"seed {died}: the process ended by {reason}: {child.stdout[-600:]}")
        first = died + 1
    return found


if __name__ == "__main__":
    if sys.argv[1] == "--work":
        # A run that does not end ends the child, which tells its seed.
        signal.alarm(60 * 20)
        sys.exit(work(int(sys.argv[2]), int(sys.argv[3])))
    findings = supervise(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print("\n".join(findings) or "nothing found")
    sys.exit(bool(findings))
