"""Modules of this library as Apache TVM's."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np

from . import _dtypes
from ._tvm import _tvm
from .errors import UnsupportedError
from .graph import Expr, Graph
from .module import Module, describe


def to_tvm(module: Module) -> Any:
    """The module as an ``IRModule`` of Relax: functions of operators that Relax has, by the same names."""
    tvm, relax = _tvm()
    writer = _Writer(tvm, relax)
    for name in module.functions:
        writer.globals[name] = relax.GlobalVar(name)
    result = {}
    for name, function in module.functions.items():
        attributes = {key: value for key, value in function.attributes.items() if not key.startswith("tenon.")}
        if not {"Composite", "Primitive"} & set(attributes):
            attributes.setdefault("global_symbol", name)
        result[writer.globals[name]] = writer.function(function.graph, attributes)
    # What is pure is a dataflow block, as patterns there want it.
    return tvm.transform.Sequential([relax.transform.Normalize(), relax.transform.ConvertToDataflow(1)])(tvm.IRModule(result))


class _Writer:
    def __init__(self, tvm: Any, relax: Any):
        self.tvm, self.relax = tvm, relax
        self.globals: dict[str, Any] = {}
        self._symbols: dict[str, Any] = {}

    # Types.

    def dims(self, source: str) -> list[Any]:
        return [self.dim(part) for part in _split(source)]

    def dim(self, source: str) -> Any:
        for name in re.findall(r"[A-Za-z_]\w*", source):
            if name not in ("max", "min"):
                self._symbols.setdefault(name, self.tvm.tirx.Var(name, "int64"))
        scope = {**self._symbols, "max": self.tvm.tirx.max, "min": self.tvm.tirx.min}
        if not re.fullmatch(r"[\w\s+\-*/(),]*", source):
            raise UnsupportedError(f"to_tvm: a size {source}")
        value = eval(source, {"__builtins__": {}}, scope)  # noqa: S307 (sizes that the library printed)
        return value if not isinstance(value, int) else self.tvm.tirx.IntImm("int64", value)

    def type(self, source: str) -> Any:
        relax = self.relax
        source = source.strip()
        if source.startswith("("):
            return relax.TupleType([self.type(part) for part in _split(source[1:-1]) if part])
        if source == "object":
            return relax.AnyType() if hasattr(relax, "AnyType") else relax.ObjectStructInfo()
        if source.startswith("shape"):
            return relax.ShapeType(self.dims(source[6:-1])) if "[" in source else relax.ShapeType(ndim=-1)
        name, _, rest = source.partition("[")
        dtype = "" if name == "?" else str(np.dtype(_dtypes.to_numpy(_dtypes.number(name))))
        rest = rest[:-1]
        if rest == "...":
            return relax.TensorType(dtype=dtype or None)
        if rest.startswith("rank="):
            return relax.TensorType(dtype=dtype or None, ndim=int(rest[5:]))
        return relax.TensorType(self.dims(rest), dtype)

    # Functions.

    def function(self, graph: Graph, attributes: dict[str, Any]) -> Any:
        relax = self.relax
        outer, self._symbols = self._symbols, {}
        values: dict[int, Any] = {}
        parameters = []
        for parameter in graph.parameters:
            values[parameter._id] = relax.Var(parameter.name or f"p{parameter._id}", self.type(parameter.type))
            parameters.append(values[parameter._id])
        bindings = []
        for expr in graph.bindings:
            made = self.expression(expr, values)
            var = relax.Var(expr.name or f"v{expr._id}", None if expr.kind == "function" else self.type(expr.type))
            values[expr._id] = var
            bindings.append(relax.VarBinding(var, made))
        results = [self.operand(expr, values) for expr in graph.results]
        body = results[0] if len(results) == 1 else relax.Tuple(results)
        blocks = [relax.BindingBlock(bindings)] if bindings else []
        types = [self.type(expr.type) for expr in graph.results]
        returned = types[0] if len(types) == 1 else relax.TupleType(types)
        made = relax.Function(parameters, relax.SeqExpr(blocks, body), returned)
        for key, value in attributes.items():
            made = made.with_attr(key, value)
        self._symbols = outer
        return made

    def operand(self, expr: Expr, values: dict[int, Any]) -> Any:
        relax = self.relax
        if expr._id in values:
            return values[expr._id]
        if expr.kind == "constant":
            return relax.const(expr.data)
        if expr.kind == "tuple":
            return relax.Tuple([self.operand(field, values) for field in expr.args])
        source = expr.text
        if source.startswith("shape"):
            return relax.ShapeExpr(self.dims(source[6:-1]))
        if source.startswith("@"):
            return self.globals[source[1:]]
        if source.startswith('"'):
            return relax.StringImm(source[1:-1])
        if re.fullmatch(r"-?\d+", source):
            return self.tvm.tirx.IntImm("int64", int(source))
        try:
            return self.tvm.tirx.FloatImm("float64", float(source))
        except ValueError:
            return relax.DataTypeImm(str(np.dtype(_dtypes.to_numpy(_dtypes.number(source)))))

    def expression(self, expr: Expr, values: dict[int, Any]) -> Any:
        relax = self.relax
        kind = expr.kind
        if kind == "call":
            return self.call(expr, [self.operand(argument, values) for argument in expr.args])
        if kind == "function_call":
            return relax.Call(self.globals[expr.op], [self.operand(argument, values) for argument in expr.args])
        if kind == "external_call":
            return relax.Call(
                relax.ExternFunc(expr.op), [self.operand(argument, values) for argument in expr.args], None,
                [self.type(expr.type)])
        if kind == "local_call":
            callee = next(values[e._id] for e in expr._graph.bindings if e.kind == "function" and e.name == expr.op)
            return relax.Call(callee, [self.operand(argument, values) for argument in expr.args])
        if kind == "tuple":
            return relax.Tuple([self.operand(field, values) for field in expr.args])
        if kind == "tuple_get_item":
            return relax.TupleGetItem(self.operand(expr.args[0], values), expr.index)
        if kind == "alias":
            return self.operand(expr.args[0], values)
        if kind == "function":
            inner = expr.callee
            return self.function(inner, inner.attributes)
        raise UnsupportedError(f"to_tvm: {kind} %{expr.name}")

    def call(self, expr: Expr, arguments: list[Any]) -> Any:
        import inspect

        function: Any = self.relax.op
        for part in expr.op.split("."):
            function = getattr(function, part, None)
            if function is None:
                raise UnsupportedError(f"to_tvm: Relax has no operator '{expr.op}'")
        attributes = dict(expr.attrs)
        if expr.op == "split":
            indices = attributes.pop("indices", None)
            sections = attributes.pop("sections", None)
            attributes["indices_or_sections"] = sections if indices is None else indices
        if expr.op == "image.grid_sample" and attributes.pop("grid_axis", -1) == -1:
            # Relax's grid has its axes behind the batch.
            rank = len(expr.args[1].shape or (0,) * 4)
            arguments[1] = self.relax.op.permute_dims(arguments[1], [0, rank - 1, *range(1, rank - 1)])
        if expr.op == "layout_transform":
            before, after = attributes["index_map"].split("->")
            if attributes.get("pad_value") == 0:
                del attributes["pad_value"]
            # What this library read, it printed: names, numbers and signs.
            attributes["index_map"] = eval(f"lambda {before}: [{after}]", {"__builtins__": {}})  # noqa: S307
        known = inspect.signature(function).parameters
        for name in list(attributes):
            if name not in known:
                if attributes[name] != _default(expr.op, name):
                    raise UnsupportedError(f"to_tvm: Relax's {expr.op} has no '{name}', which is {attributes[name]}")
                del attributes[name]
            elif isinstance(attributes[name], _dtypes.ElementType) or isinstance(attributes[name], (np.dtype, type)):
                attributes[name] = str(np.dtype(_dtypes.to_numpy(_dtypes.number(attributes[name]))))
        return function(*arguments, **attributes)


def _default(op: str, name: str) -> Any:
    """The default value of an attribute; None for one that may be left out."""
    found = re.search(rf"^attribute {name}: [\w ]+ = (.*?)(?:, one of .*)?$", describe(op), flags=re.M)
    if not found:
        return None
    text = found[1]
    if text in ("true", "false"):
        return text == "true"
    try:
        return json.loads(text)
    except ValueError:
        return text


def _split(source: str) -> list[str]:
    """Parts between the commas that stand in no brackets."""
    parts, depth, start = [], 0, 0
    for index, letter in enumerate(source):
        depth += letter in "([{"
        depth -= letter in ")]}"
        if letter == "," and depth == 0:
            parts.append(source[start:index].strip())
            start = index + 1
    parts.append(source[start:].strip())
    return [part for part in parts if part]
