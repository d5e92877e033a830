"""Modules of Apache TVM's Relax as modules of this library, and back. Only texts can do without the package apache-tvm."""

from __future__ import annotations

import re
from typing import Any, Sequence

import numpy as np

from . import _dtypes
from ._patterns import literal
from .errors import InvalidTypeError, UnsupportedError
from .graph import Expr, Graph
from .module import Module

#: Elements of a constant that is written into the text; larger ones of ``main`` are bound to parameters.
_WRITTEN = 4096

#: Attributes by Relax's name for an operator that mean nothing here.
_DROPPED = {
    "hint_on_device": {"device_type", "index", "memory_scope", "dst_vdevice"}, "to_vdevice": {"dst_vdevice"},
    **{f"nn.max_pool{n}d": {"count_include_pad"} for n in (1, 2, 3)},
    "image.resize2d": {"out_dtype"}, "image.resize3d": {"out_dtype"}, "grad.max_pool2d_backward": {"count_include_pad"},
}
#: Operands of Relax that are attributes here, behind the first.
_ATTRIBUTES = {
    "tril": ["k"], "triu": ["k"], "unique": ["sorted", "return_index", "return_inverse", "return_counts", "axis"],
}
#: Values that have another name here.
_VALUES = {("image.resize2d", "rounding_method"): {"round": "round_prefer_floor", "": "round_prefer_floor"}}


def from_tvm(source: Any) -> Module:
    """A module of an ``IRModule`` or a function of Relax, or of their TVMScript. Functions of TIR are left out: calls of them,
    and of packed functions, are calls of what this library knows nothing of."""
    try:
        tvm, relax = _tvm()
    except UnsupportedError:
        # The library reads texts itself, apart from what only Python can evaluate in them.
        if isinstance(source, str):
            return Module.parse(source)
        raise
    if isinstance(source, str):
        from tvm.script import ir as I, relax as R, tirx as T  # type: ignore[import-untyped,import-not-found,unused-ignore]

        # TVM's parser knows the names and no statements that import them.
        bare = re.sub(r"^(from|import) tvm\b.*$", "", source, flags=re.M)
        source = tvm.script.from_source(bare.strip() + "\n", {"I": I, "R": R, "T": T, "tvm": tvm})
    if isinstance(source, relax.Function):
        name = str(source.attrs["global_symbol"]) if source.attrs and "global_symbol" in source.attrs else "main"
        source = tvm.IRModule({name: source})
    if not isinstance(source, tvm.IRModule):
        raise InvalidTypeError.mismatch("from_tvm", "an IRModule, a function of Relax or TVMScript", type(source).__name__)
    reader = _Reader(tvm, relax)
    parts = [
        f"fn @{_global(var.name_hint)}{_FunctionReader(reader, function, var.name_hint == 'main').text()}"
        for var, function in source.functions.items() if isinstance(function, relax.Function)]
    if reader.written:
        entries = "\n".join(f"  #{number}: {_constant_text(array)}" for number, array in enumerate(reader.written))
        parts.append(f"constants {{\n{entries}\n}}")
    module = Module.parse("\n\n".join(parts) + "\n")
    if not reader.bound:
        return module
    from .transform import BindParams

    return BindParams("main", reader.bound)(module)


def _tvm() -> tuple[Any, Any]:
    try:
        import tvm  # type: ignore[import-untyped,import-not-found,unused-ignore]
        from tvm import relax
    except ImportError as error:
        raise UnsupportedError("modules of TVM need the package apache-tvm") from error
    return tvm, relax


def _global(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z_]\w*", name) else literal(name)


def _constant_text(array: np.ndarray) -> str:
    dims = ",".join(str(size) for size in array.shape)
    values = ", ".join(repr(value.item()) for value in array.ravel())
    return f"{_dtypes.NAMES[_dtypes.number(array.dtype)]}[{dims}] = ({values.replace('True', '1').replace('False', '0')})"


class _Reader:
    """What the functions of a module share."""

    def __init__(self, tvm: Any, relax: Any):
        self.tvm, self.relax = tvm, relax
        self._constants: list[Any] = []
        self.written: list[np.ndarray] = []
        self._numbers: dict[int, str] = {}
        #: Arrays for parameters of ``main``, by name.
        self.bound: dict[str, np.ndarray] = {}
        self.constant_kinds = tuple({type(relax.const(1.0)), *(k for k in [getattr(relax, "Constant", None)] if k)})

    def constant(self, expr: Any, bindable: bool) -> str:
        name: str
        for known, name in self._constants:
            if known.same_as(expr) and (bindable or name.startswith("const")):
                return name
        value = expr.value if hasattr(expr, "value") else expr.data
        array = np.asarray(value.numpy())
        if bindable and array.size > _WRITTEN:
            name = f"bound_constant_{len(self.bound)}"
            self.bound[name] = array
            shown = f"%{name}"
        else:
            shown = f"const#{len(self.written)}"
            self.written.append(array)
        self._constants.append((expr, shown))
        return shown

    def dim(self, expr: Any) -> str:
        kind = type(expr).__name__
        if isinstance(expr, int) or kind == "IntImm":
            return str(int(expr))
        if kind == "Var":
            return re.sub(r"\W", "_", expr.name)
        signs = {"Add": "+", "Sub": "-", "Mul": "*", "FloorDiv": "//"}
        if kind in signs:
            return f"({self.dim(expr.a)} {signs[kind]} {self.dim(expr.b)})"
        if kind in ("Max", "Min"):
            return f"{kind.lower()}({self.dim(expr.a)}, {self.dim(expr.b)})"
        if kind == "Cast":
            return self.dim(expr.value)
        raise UnsupportedError(f"from_tvm: a size {expr}")

    def dims(self, values: Any) -> str:
        return ",".join(self.dim(value) for value in values)

    def type(self, ty: Any) -> str:
        kind = type(ty).__name__
        if kind in ("TensorType", "TensorStructInfo"):
            dtype = str(ty.dtype) if ty.dtype is not None else ""
            name = _dtypes.NAMES[_dtypes.number(dtype)] if dtype not in ("", "void") else "?"
            shape = ty.shape
            if shape is not None and hasattr(shape, "values"):
                return f"{name}[{self.dims(shape.values)}]"
            return f"{name}[rank={ty.ndim}]" if ty.ndim is not None and ty.ndim >= 0 else f"{name}[...]"
        if kind in ("TupleType", "TupleStructInfo"):
            fields = ", ".join(self.type(field) for field in ty.fields)
            return f"({fields}{',' if len(ty.fields) == 1 else ''})"
        if kind in ("ShapeType", "ShapeStructInfo"):
            return f"shape[{self.dims(ty.values)}]" if ty.values is not None else "shape"
        if kind in ("FuncType", "FuncStructInfo") and ty.params is not None:
            parameters = ", ".join(self.type(parameter) for parameter in ty.params)
            return f"fn({parameters}) -> {self.type(ty.ret)}"
        return "object"


class _FunctionReader:
    """One function as text."""

    def __init__(self, reader: _Reader, function: Any, is_main: bool, indent: str = "  ", more: Sequence[Any] = ()):
        self.reader, self.function, self.is_main, self.indent = reader, function, is_main, indent
        self.parameters = [*function.params, *more]
        self.names: dict[Any, str] = {}
        self._taken: set[str] = set()
        self._absent: set[Any] = set()
        #: What local functions take behind their parameters: values around them.
        self._captured: dict[Any, list[Any]] = {}
        #: Functions of the module with their last arguments, as TVM's passes make them of local functions.
        self._closures: dict[Any, Any] = {}

    def define(self, var: Any) -> str:
        hint = re.sub(r"\W", "_", var.name) or "v"
        if not re.match(r"[A-Za-z_]", hint):
            hint = "v" + hint
        name, count = hint, 0
        while name in self._taken:
            count += 1
            name = f"{hint}_{count}"
        self._taken.add(name)
        self.names[var] = f"%{name}"
        return self.names[var]

    def operand(self, expr: Any) -> str:
        relax = self.reader.relax
        if isinstance(expr, relax.Var):
            return self.names[expr]
        if type(expr).__name__ == "GenericConst" and not hasattr(expr.value, "numpy"):
            return _dtypes.NAMES[_dtypes.number(str(expr.value))]
        if isinstance(expr, self.reader.constant_kinds):
            return self.reader.constant(expr, self.is_main)
        kind = type(expr).__name__
        if kind == "ShapeExpr":
            return f"shape[{self.reader.dims(expr.values)}]"
        if kind == "Tuple":
            fields = ", ".join(self.operand(field) for field in expr.fields)
            return f"({fields}{',' if len(expr.fields) == 1 else ''})"
        if kind == "GlobalVar":
            return f"@{_global(expr.name_hint)}"
        if kind == "PrimValue":
            return self.operand(expr.value)
        if kind == "IntImm":
            return str(int(expr.value))
        if kind == "FloatImm":
            return repr(float(expr.value))
        if kind == "StringImm":
            return literal(str(expr.value))
        if kind == "DataTypeImm":
            return _dtypes.NAMES[_dtypes.number(str(expr.value))]
        raise UnsupportedError(f"from_tvm: an operand of kind {kind}")

    def attribute(self, value: Any) -> str | None:
        if value is None:
            return None
        if isinstance(value, (bool, str)):
            return ("true" if value else "false") if isinstance(value, bool) else (literal(str(value)) if value else None)
        if isinstance(value, (int, float)):
            return literal(value)
        kind = type(value).__name__
        if kind in ("IntImm", "FloatImm"):
            return literal(int(value) if kind == "IntImm" else float(value.value))
        if kind in ("dtype", "DataType", "PrimType"):
            name = str(getattr(value, "dtype", value))
            return None if name in ("", "void") else _dtypes.NAMES[_dtypes.number(name)]
        if hasattr(value, "__iter__"):
            entries = [self.attribute(entry) for entry in value]
            return None if None in entries else f"[{', '.join(entry for entry in entries if entry)}]"
        raise UnsupportedError(f"from_tvm: an attribute of kind {kind}")

    def attributes(self, op: str, attrs: Any, more: list[str]) -> str:
        entries = list(more)
        for field in type(attrs).__tvm_ffi_type_info__.fields if attrs is not None else ():
            value = getattr(attrs, field.name)
            if field.name in _DROPPED.get(op, ()):
                continue
            if isinstance(value, str):
                value = _VALUES.get((op, field.name), {}).get(str(value), value)
            text = self.attribute(value)
            if text is not None:
                entries.append(f"{field.name}={text}")
        return f" {{{', '.join(entries)}}}" if entries else ""

    def call(self, call: Any) -> str:
        relax = self.reader.relax
        arguments = ", ".join(
            self.operand(argument) for argument in call.args
            if not self.is_absent(argument) and argument not in self._closures)
        if isinstance(call.op, relax.GlobalVar):
            return f"@{_global(call.op.name_hint)}({arguments})"
        if isinstance(call.op, relax.Var):
            arguments = ", ".join(self.operand(argument) for argument in [*call.args, *self._captured.get(call.op, ())])
            return f"{self.names[call.op]}({arguments})"
        if isinstance(call.op, relax.ExternFunc):
            return f"extern {literal(str(call.op.global_symbol))}({arguments})"
        name = call.op.name.removeprefix("relax.")
        if name in ("invoke_closure", "invoke_pure_closure"):
            closure = self._closures.get(call.args[0])
            if closure is None:
                raise UnsupportedError(f"from_tvm: {name} of a closure that is made elsewhere")
            arguments = ", ".join(self.operand(argument) for argument in [*call.args[1].fields, *closure.args[1].fields])
            return f"@{_global(closure.args[0].name_hint)}({arguments})"
        if name in ("call_tir", "call_dps_packed", "call_pure_packed", "call_inplace_packed", "call_tir_inplace"):
            callee = call.args[0]
            given = call.args[1:] if name in ("call_pure_packed", "call_inplace_packed") else call.args[1].fields
            called = str(callee.global_symbol) if isinstance(callee, relax.ExternFunc) else callee.name_hint
            return f"extern {literal(called)}({', '.join(self.operand(argument) for argument in given)})"
        given = list(call.args)
        more: list[str] = []
        if name == "image.grid_sample":
            # Relax's grid has its axes behind the batch.
            more = ["grid_axis=1"]
        elif name == "memory.view":
            more = [f"{key}={self.operand(value)}" for key, value in zip(("dtype", "relative_byte_offset"), given[2:])
                    if not self.is_left_out(value)]
            arguments = ", ".join(self.operand(value) for value in given[:2] if not self.is_left_out(value))
        elif name == "layout_transform":
            more = [f"index_map={literal(self.index_map(call.attrs.index_map))}"]
            if call.attrs.pad_value is not None:
                more.append(f"pad_value={self.attribute(self.plain(call.attrs.pad_value))}")
            return f"{name}({arguments}) {{{', '.join(more)}}}"
        elif name == "eye":
            more = [f"k={self.operand(given[2])}"]
            arguments = f"shape[{self.reader.dims([self.plain(size) for size in given[:2]])}]"
        elif name in _ATTRIBUTES:
            for key, value in zip(_ATTRIBUTES[name], given[1:]):
                number = self.operand(value)
                more.append(f"{key}={number}")
            arguments = self.operand(given[0])
        elif name.startswith("nn.adaptive_") and call.attrs.output_size is None:
            more = [f"output_size=[{self.reader.dims(_type_of(given[0]).shape.values[2:])}]"]
        return f"{name}({arguments}){self.attributes(name, call.attrs, more)}"

    def free(self, function: Any) -> list[Any]:
        """Values around a function that it uses, in the order of their names."""
        sizes = set(self.reader.relax.analysis.free_symbolic_vars(function))
        used = [var for var in self.reader.relax.analysis.free_vars(function) if var not in sizes]
        for var in used:
            if var in self._captured:
                raise UnsupportedError(f"from_tvm: a local function that calls '{var.name}', a function around it")
        return used

    def is_left_out(self, value: Any) -> bool:
        is_empty = type(value).__name__ == "Tuple" and not len(value.fields)
        return is_empty or self.is_absent(value)

    def is_absent(self, value: Any) -> bool:
        return _is_left_out(value) or (isinstance(value, self.reader.relax.Var) and value in self._absent)

    @staticmethod
    def index_map(given: Any) -> str:
        """What it makes of its indices, as `n, c -> c // 4, n, c % 4`."""
        names = {index: index.name for index in given.initial_indices}
        if len(set(names.values())) < len(names) or not all(re.fullmatch(r"[A-Za-z_]\w*", name) for name in names.values()):
            names = {index: f"i{number}" for number, index in enumerate(given.initial_indices)}
        signs = {"FloorDiv": "//", "FloorMod": "%", "Mul": "*", "Add": "+"}

        def text(expr: Any) -> str:
            kind = type(expr).__name__
            if expr in names:
                return str(names[expr])
            if kind == "IntImm":
                return str(int(expr))
            if kind in signs:
                parts = [text(part) for part in (expr.a, expr.b)]
                if kind == "Add":
                    return " + ".join(parts)
                return f"{parts[0] if type(expr.a).__name__ != 'Add' else f'({parts[0]})'} {signs[kind]} {parts[1]}"
            raise UnsupportedError(f"from_tvm: layout_transform: an index that is {expr}")

        return f"{', '.join(names.values())} -> {', '.join(text(expr) for expr in given.final_indices)}"

    @staticmethod
    def plain(value: Any) -> Any:
        """A number that stands as an operand of its own."""
        return value.value if type(value).__name__ == "PrimValue" else value

    def expression(self, expr: Any, indent: str) -> str:
        kind = type(expr).__name__
        if kind == "Call":
            return self.call(expr)
        if kind == "TupleGetItem":
            tuple_value = expr.tuple_value
            return f"{self.operand(tuple_value)}.{int(expr.index)}"
        if kind == "If":
            then, other = (self.branch(body, indent) for body in (expr.true_branch, expr.false_branch))
            return f"if {self.operand(expr.cond)} {then} else {other}"
        return self.operand(expr)

    def branch(self, body: Any, indent: str) -> str:
        lines = ["{", *self.blocks(body, indent + "  "), f"{indent}  yield {self.operand(self.result(body))}", f"{indent}}}"]
        return "\n".join(lines)

    @staticmethod
    def result(body: Any) -> Any:
        return body.body if type(body).__name__ == "SeqExpr" else body

    def blocks(self, body: Any, indent: str) -> list[str]:
        relax = self.reader.relax
        lines: list[str] = []
        for block in body.blocks if type(body).__name__ == "SeqExpr" else ():
            is_dataflow = isinstance(block, relax.DataflowBlock)
            lines.append(f"{indent}{'dataflow' if is_dataflow else 'block'} {{")
            outputs = []
            for binding in block.bindings:
                if _is_left_out(binding.value):
                    # A name for what is left out of a call.
                    self._absent.add(binding.var)
                    continue
                if type(binding).__name__ == "MatchCast":
                    right = f"match_cast({self.operand(binding.value)}, {self.reader.type(_type_of(binding))})"
                elif type(binding.value).__name__ != "Function":
                    right = self.expression(binding.value, indent + "  ")
                if type(binding.value).__name__ == "Call" and getattr(binding.value.op, "name", "") == "relax.make_closure":
                    self._closures[binding.var] = binding.value
                    continue
                if type(binding.value).__name__ == "Function":
                    self._captured[binding.var] = self.free(binding.value)
                    inner = _FunctionReader(self.reader, binding.value, False, indent + "    ", self._captured[binding.var])
                    lines.append(f"{indent}  {self.define(binding.var)} = fn{inner.text()}")
                    continue
                name = self.define(binding.var)
                lines.append(f"{indent}  {name}: {self.reader.type(_type_of(binding.var))} = {right}")
                if not isinstance(binding.var, relax.DataflowVar):
                    outputs.append(name)
            if is_dataflow and outputs:
                lines.append(f"{indent}  output {', '.join(outputs)}")
            lines.append(f"{indent}}}")
        return lines

    def text(self) -> str:
        function = self.function
        parameters = [f"{self.define(param)}: {self.reader.type(_type_of(param))}" for param in self.parameters]
        lines = [*self.blocks(function.body, self.indent), f"{self.indent}return {self.operand(self.result(function.body))}"]
        if self.is_main:
            for name, array in self.reader.bound.items():
                dims = ",".join(str(size) for size in array.shape)
                parameters.append(f"%{name}: {_dtypes.NAMES[_dtypes.number(array.dtype)]}[{dims}]")
        marks = []
        for key, value in (function.attrs.items() if function.attrs else ()):
            if str(key) == "global_symbol" and self.is_main:
                continue
            text = "true" if str(key) == "Primitive" else self.attribute(value) if _is_plain(value) else None
            if text is not None:
                marks.append(f"{key if re.fullmatch(r'[A-Za-z_][A-Za-z_0-9]*', str(key)) else literal(str(key))}={text}")
        head = f"({', '.join(parameters)}){' {' + ', '.join(marks) + '}' if marks else ''} {{"
        return "\n".join([head, *lines, self.indent[2:] + "}"])


def _type_of(value: Any) -> Any:
    return value.ty if hasattr(value, "ty") else value.struct_info


def _is_left_out(value: Any) -> bool:
    """What stands for an argument that is not given."""
    return type(value).__name__ == "Call" and getattr(value.op, "name", "") == "relax.null_value"


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str)) or type(value).__name__ in ("IntImm", "FloatImm")
