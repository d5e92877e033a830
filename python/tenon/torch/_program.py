"""torch.export's programs as modules."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import ConstantArgument, InputKind, OutputKind, SymIntArgument, TensorArgument

from ..builder import Builder
from ..errors import InvalidArgumentError, UnsupportedError
from ..module import Module
from ._effects import Effects, name_of
from ._graph import Graph
from ._importer import _CHECKS, Importer, Refused, refusal
from ._sizes import type_text
from .operators import CONVERTERS


class Program(NamedTuple):
    """A module, and how a call of the PyTorch module maps to a run of it."""

    module: Module
    #: One per leaf of the arguments: what PyTorch says about the tensor, or the number that was given when exporting.
    inputs: list[torch.Tensor | Any]
    names: list[str]
    #: One per leaf of the result: the index of an output in a list, or the number itself.
    outputs: list[list[int] | Any]
    metas: list[torch.Tensor]
    #: How leaves make up arguments (a tuple and a dictionary) and the result.
    in_spec: Any
    out_spec: Any
    #: For symbols of sizes: least and largest.
    ranges: dict[str, tuple[int, int]]


def from_exported_program(program: ExportedProgram) -> Module:
    """The module of a program of ``torch.export``.

    Parameters and buffers stay in PyTorch's memory and must not change as long as the module or an executable made of it
    lives. Inputs of ``main`` are the tensors among the flattened arguments, its outputs the tensors among the flattened
    results. Sizes that were exported as ``torch.export.Dim`` are symbols.

    Raises:
        UnsupportedError: with every operator that is not supported and the line of Python that called it; buffers or
            inputs are changed by the program. InvalidArgumentError: not a program; a parameter is not on the CPU.
    """
    return import_program(program).module


def import_program(program: ExportedProgram) -> Program:
    if not isinstance(program, ExportedProgram):
        raise InvalidArgumentError.mismatch("", "a torch.export.ExportedProgram", type(program).__name__)
    with torch.no_grad():
        program, effects = _prepared(program)
        return _import(program, effects)


def _constants(program: ExportedProgram) -> set[torch.fx.Node]:
    lifted = {spec.arg.name for spec in program.graph_signature.input_specs if spec.kind == InputKind.CONSTANT_TENSOR}
    return {node for node in program.graph.nodes if node.op == "placeholder" and node.name in lifted}


def _prepared(program: ExportedProgram) -> tuple[ExportedProgram, Effects]:
    """The program with every operator known here, decomposed as far as needed and no further."""
    effects = Effects(program.graph, _constants(program))
    missing = _without_converter(program, effects)
    if missing or effects.needs_functionalization:
        defaults = torch.export.default_decompositions()
        program = program.run_decompositions({op: defaults[op] for op in missing if op in defaults})
        for _ in range(3):
            # What came out may need decomposing in turn.
            effects = Effects(program.graph, _constants(program))
            missing = [op for op in _without_converter(program, effects) if op in defaults]
            if not missing:
                break
            program = program.run_decompositions({op: defaults[op] for op in missing})
    return program, effects


def _without_converter(program: ExportedProgram, effects: Effects) -> list[Any]:
    missing: dict[Any, None] = {}
    for node in program.graph.nodes:
        target = node.target
        if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload) or effects.is_known(node):
            continue
        name = name_of(target)
        if effects.is_in_place(node):
            name = name.replace("_.", ".")
        if name not in CONVERTERS and name not in _CHECKS and not name.startswith("aten.sym_"):
            missing[target] = None
    return list(missing)


def _import(program: ExportedProgram, effects: Effects) -> Program:
    signature = program.graph_signature
    graph = Graph(Builder())
    importer = Importer(graph, effects)
    nodes = {node.name: node for node in program.graph.nodes}
    inputs: list[Any] = []
    names: list[str] = []
    for spec in signature.input_specs:
        node = nodes[spec.arg.name]
        if spec.kind == InputKind.USER_INPUT:
            if isinstance(spec.arg, ConstantArgument):
                importer.bind_known(node, spec.arg.value)
                inputs.append(spec.arg.value)
                continue
            if not isinstance(spec.arg, TensorArgument):
                raise UnsupportedError(f"input '{spec.arg.name}' is not a tensor", node=spec.arg.name)
            importer.bind_input(node, spec.arg.name, type_text(node.meta["val"]))
            inputs.append(node.meta["val"])
            names.append(spec.arg.name)
        elif spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            data = program.state_dict.get(spec.target)
            importer.bind_parameter(node, program.constants[spec.target] if data is None else data, spec.target)
        elif spec.kind == InputKind.CONSTANT_TENSOR:
            importer.bind_known(node, program.constants[spec.target])
        else:
            raise UnsupportedError(f"input '{spec.arg.name}' is an object of {spec.kind.name}", node=spec.arg.name)
    _refuse_mutation(signature, importer, nodes)
    for node in program.graph.nodes:
        if node.op == "call_function":
            importer.run(node)
        elif node.op not in ("placeholder", "output"):
            importer.refused.append(Refused(node, f"a node of kind '{node.op}'"))
    values: list[Any] = []
    metas: list[torch.Tensor] = []
    outputs: list[Any] = []
    places: dict[int, int] = {}
    for spec in signature.output_specs:
        if spec.kind != OutputKind.USER_OUTPUT:
            continue
        if isinstance(spec.arg, ConstantArgument):
            outputs.append(spec.arg.value)
            continue
        if isinstance(spec.arg, SymIntArgument) or not isinstance(nodes[spec.arg.name].meta["val"], torch.Tensor):
            raise UnsupportedError(f"result '{spec.arg.name}' is not a tensor", node=spec.arg.name)
        value = importer.result(nodes[spec.arg.name])
        if value is not None:
            if value._id not in places:
                places[value._id] = len(values)
                values.append(value)
                metas.append(nodes[spec.arg.name].meta["val"])
            outputs.append([places[value._id]])
    if importer.refused:
        raise refusal(importer.refused)
    if not values:
        raise UnsupportedError("the program gives no tensors")
    ranges = {
        str(symbol): (int(bounds.lower), int(min(bounds.upper, 2**62)))
        for symbol, bounds in program.range_constraints.items()}
    call = program.call_spec
    return Program(
        graph.builder.finish(*values), inputs, names, outputs, metas, call.in_spec, call.out_spec, ranges)


def _refuse_mutation(signature: Any, importer: Importer, nodes: dict[str, torch.fx.Node]) -> None:
    """A run changes nothing but its outputs, so programs that keep state are not taken."""
    kinds = {
        OutputKind.BUFFER_MUTATION: "buffer", OutputKind.USER_INPUT_MUTATION: "input",
        getattr(OutputKind, "PARAMETER_MUTATION", None): "parameter"}
    for spec in signature.output_specs:
        kind = kinds.get(spec.kind)
        if kind is not None:
            reason = f"it changes the {kind} '{spec.target}', and runs keep no state"
            if kind == "buffer":
                reason += "; a module in training mode needs eval() first"
            importer.refused.append(Refused(nodes[spec.arg.name], reason))
