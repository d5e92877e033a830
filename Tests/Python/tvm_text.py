"""Apache TVM's Relax modules in Tenon's text form."""

import tvm
from tvm import relax

# The class of tensor literals has had several names.
CONSTANT = type(relax.const(1.0))

DTYPES = {"float32": "f32", "float16": "f16", "int64": "i64", "int32": "i32", "bool": "bool"}


def type_text(info):
    if isinstance(info, relax.TensorType):
        dims = ",".join(str(int(dim)) for dim in info.shape)
        return f"{DTYPES[str(info.dtype)]}[{dims}]"
    if isinstance(info, relax.TupleType):
        fields = ", ".join(type_text(field) for field in info.fields)
        return f"({fields}{',' if len(info.fields) == 1 else ''})"
    if isinstance(info, relax.ShapeType):
        return f"shape[{','.join(str(int(dim)) for dim in info.values)}]"
    if isinstance(info, relax.FuncType):
        parameters = ", ".join(type_text(p) for p in info.params)
        return f"fn({parameters}) -> {type_text(info.ret)}"
    raise TypeError(f"no text for {info}")


def list_text(values):
    return "[" + ", ".join(str(int(value)) for value in values) + "]"


def attributes_text(call):
    """What the operators of the tests have, with Tenon's names."""
    name, attrs = call.op.name, call.attrs
    if name == "relax.nn.conv2d":
        return (
            f" {{strides={list_text(attrs.strides)}, padding={list_text(attrs.padding)},"
            f" dilation={list_text(attrs.dilation)}, groups={int(attrs.groups)}}}"
        )
    if name == "relax.nn.max_pool2d":
        return (
            f" {{pool_size={list_text(attrs.pool_size)}, strides={list_text(attrs.strides)},"
            f" padding={list_text(attrs.padding)}, dilation={list_text(attrs.dilation)}}}"
        )
    if name == "relax.concat":
        return f" {{axis={int(attrs.axis)}}}"
    if name == "relax.split":
        return f" {{sections={int(attrs.indices_or_sections)}, axis={int(attrs.axis)}}}"
    return ""


class FunctionText:
    """One function; values are numbered in the order of definition."""

    def __init__(self, function, constants, indent="  "):
        self.names = {}
        # Literals by reference: one that is used twice is one value in the text, too.
        self.constants = constants
        self.lines = []
        self.indent = indent
        self.function = function

    def define(self, var):
        self.names[var] = f"%v{len(self.names)}"
        return self.names[var]

    def operand(self, expr):
        if isinstance(expr, relax.Var):
            return self.names[expr]
        if isinstance(expr, CONSTANT):
            number = next((i for i, known in enumerate(self.constants) if known.same_as(expr)), None)
            if number is None:
                number = len(self.constants)
                self.constants.append(expr)
            return f"const#{number}"
        if isinstance(expr, relax.ShapeExpr):
            return f"shape[{','.join(str(int(dim)) for dim in expr.values)}]"
        if isinstance(expr, relax.Tuple):
            fields = ", ".join(self.operand(field) for field in expr.fields)
            return f"({fields}{',' if len(expr.fields) == 1 else ''})"
        raise TypeError(f"no text for {type(expr)}")

    def expression(self, expr):
        if isinstance(expr, tvm.ir.Call):
            arguments = ", ".join(self.operand(arg) for arg in expr.args)
            if isinstance(expr.op, relax.GlobalVar):
                return f"@{expr.op.name_hint}({arguments})"
            if isinstance(expr.op, relax.Var):
                return f"{self.names[expr.op]}({arguments})"
            return f"{expr.op.name.removeprefix('relax.')}({arguments}){attributes_text(expr)}"
        if isinstance(expr, relax.TupleGetItem):
            return f"{self.operand(expr.tuple_value)}.{expr.index}"
        if isinstance(expr, relax.Function):
            return "fn" + FunctionText(expr, self.constants, self.indent + "  ").text()
        return self.operand(expr)

    def text(self):
        parameters = ", ".join(
            f"{self.define(param)}: {type_text(param.ty)}" for param in self.function.params
        )
        attributes = []
        for key in ("Codegen", "Composite", "global_symbol"):
            if self.function.attrs and key in self.function.attrs:
                attributes.append(f'{key}="{self.function.attrs[key]}"')
        if self.function.attrs and "Primitive" in self.function.attrs:
            attributes.append("Primitive=true")
        marks = f" {{{', '.join(attributes)}}}" if attributes else ""
        lines = [f"({parameters}){marks} {{"]
        for block in self.function.body.blocks:
            is_dataflow = isinstance(block, relax.DataflowBlock)
            lines.append(f"{self.indent}{'dataflow' if is_dataflow else 'block'} {{")
            outputs = []
            for binding in block.bindings:
                right = self.expression(binding.value)
                name = self.define(binding.var)
                lines.append(f"{self.indent}  {name}: {type_text(binding.var.ty)} = {right}")
                if not isinstance(binding.var, relax.DataflowVar):
                    outputs.append(name)
            if is_dataflow and outputs:
                lines.append(f"{self.indent}  output {', '.join(outputs)}")
            lines.append(f"{self.indent}}}")
        lines.append(f"{self.indent}return {self.operand(self.function.body.body)}")
        return "\n".join(lines) + "\n" + self.indent[2:] + "}"


def constant_text(constant):
    data = constant.value.numpy()
    dims = ",".join(str(dim) for dim in data.shape)
    values = ", ".join(repr(float(value)) for value in data.flatten())
    return f"{DTYPES[str(data.dtype)]}[{dims}] = ({values})"


def module_text(module):
    """The functions, and the literals in a section at the end."""
    parts = []
    constants = []
    for var, function in module.functions.items():
        if isinstance(function, relax.Function):
            parts.append(f"fn @{var.name_hint}{FunctionText(function, constants).text()}")
    if constants:
        entries = "\n".join(f"  #{i}: {constant_text(constant)}" for i, constant in enumerate(constants))
        parts.append(f"constants {{\n{entries}\n}}")
    return "\n\n".join(parts) + "\n"


def version():
    return tvm.__version__
