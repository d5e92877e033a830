"""Compiled PyTorch modules: tensors in, tensors out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Mapping, Sequence

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from .._names import require_known
from .._options import CompileOptions
from ..errors import InvalidArgumentError, InvalidTypeError
from ..executable import Executable
from ._program import Program, import_program
from ._run import Runner


if TYPE_CHECKING:
    from typing_extensions import Unpack


class TorchOptions(CompileOptions, total=False):
    """The options of ``tenon.torch.compile``; for type checkers."""

    kwargs: Mapping[str, Any] | None
    dynamic_shapes: Any


class CompiledModule:
    """A PyTorch module made ready to run. It is called as the module was: same arguments, same structure of results.

    Tensors are read where they are, strided ones too, and must be on the CPU; results are new tensors. There are no
    gradients. Any number of threads may call it at once; Python's lock is free during a run.
    """

    def __init__(self, program: Program, executable: Executable, name: str = "module"):
        metas = [leaf for leaf in program.inputs if isinstance(leaf, torch.Tensor)]
        self.executable = executable
        self.name = name
        self._runner = Runner(executable, program.names, metas, program.metas, program.ranges)
        self.inputs = self._runner.inputs
        # One per leaf of the arguments: None for tensors, else the number given when the module was exported.
        self._leaves = [None if isinstance(leaf, torch.Tensor) else (leaf,) for leaf in program.inputs]
        self._outputs = program.outputs
        self._in_spec, self._out_spec = program.in_spec, program.out_spec
        count = len(self._leaves)
        self._is_flat = self._in_spec == pytree.tree_structure(((0,) * count, {}))
        self._is_single = pytree.tree_structure(0) == self._out_spec and self._outputs == [[0]]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Runs on arguments as the module takes them.

        Raises:
            InvalidShapeError, InvalidTypeError, InvalidArgumentError: an argument does not fit, is not on the CPU, or
                requires a gradient while gradients are recorded.
        """
        results = self.run(args if self._is_flat and not kwargs else self._flattened(args, kwargs))
        if self._is_single:
            return results[0]
        leaves = [results[leaf[0]] if isinstance(leaf, list) else leaf for leaf in self._outputs]
        return pytree.tree_unflatten(leaves, self._out_spec)

    def _flattened(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
        if self._is_flat and kwargs:
            args, kwargs = self._ordered(args, kwargs), {}
        expected = self._in_spec
        known = expected.child(1).context if hasattr(expected, "child") else expected.children_specs[1].context
        if kwargs and list(kwargs) != known and sorted(kwargs) == sorted(known):
            kwargs = {name: kwargs[name] for name in known}
        leaves, spec = pytree.tree_flatten((args, dict(kwargs)))
        if spec != expected:
            raise InvalidArgumentError.mismatch("", f"arguments of the structure {expected}", spec)
        return leaves

    def _ordered(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
        names = [port.name for port in self.inputs]
        given = dict(zip(names, args))
        for name, value in kwargs.items():
            if name not in names or name in given:
                what = "is given twice" if name in given else f"is not known; expected {', '.join(names)}"
                raise InvalidArgumentError(f"argument '{name}' {what}", node=name)
            given[name] = value
        missing = [name for name in names if name not in given]
        if missing:
            raise InvalidArgumentError(f"argument '{missing[0]}' is missing", node=missing[0])
        return tuple(given[name] for name in names)

    def run(self, leaves: Sequence[Any]) -> list[torch.Tensor]:
        """Runs on the flattened arguments, and gives the outputs in order, each once."""
        if len(leaves) != len(self._leaves):
            raise InvalidArgumentError.mismatch("", f"{len(self._leaves)} arguments", len(leaves))
        tensors = []
        for position, (leaf, number) in enumerate(zip(leaves, self._leaves)):
            if number is None:
                tensors.append(leaf)
            elif type(leaf) is not type(number[0]) or leaf != number[0]:
                raise InvalidArgumentError(
                    f"argument {position} was {number[0]!r} when the module was exported, found {leaf!r}")
        if torch.is_grad_enabled():
            for tensor, port in zip(tensors, self.inputs):
                if isinstance(tensor, torch.Tensor) and tensor.requires_grad:
                    raise InvalidArgumentError(
                        f"input '{port.name}' requires a gradient, and runs compute none; call it under torch.no_grad()",
                        node=port.name)
        return self._runner.run(tensors)

    def report(self) -> str:
        """What runs, step by step."""
        return self.executable.report()

    def close(self) -> None:
        """Releases the executable. Further calls raise InvalidStateError."""
        self.executable.close()

    def __repr__(self) -> str:
        if self.executable.closed:
            return f"<tenon.torch.CompiledModule {self.name} closed>"
        inputs = ", ".join(f"{port.name}: {port.type}" for port in self.inputs)
        outputs = ", ".join(port.type for port in self.executable.outputs)
        return f"<tenon.torch.CompiledModule {self.name}({inputs}) -> ({outputs})>"


def compile(
    module: torch.nn.Module | ExportedProgram, example_inputs: Any = None, *, kwargs: Mapping[str, Any] | None = None,
    dynamic_shapes: Any = None, **options: Unpack[CompileOptions],
) -> CompiledModule:
    """Makes a PyTorch module, or a program of ``torch.export``, ready to run.

    Args:
        module: a module in evaluation mode, or an ExportedProgram.
        example_inputs: the arguments of a call, which fix shapes and types; none for an ExportedProgram. A tensor alone
            stands for one argument.
        kwargs: arguments by name.
        dynamic_shapes: what ``torch.export.export`` takes: which sizes may change from call to call.
        options: those of ``tenon.compile``: ``threads``, ``optimize``, ``reproducible`` and so on.

    Parameters and buffers must not change afterwards. Autocast does not reach inside: what is computed has the types of parameters and
    arguments.

    Raises:
        UnsupportedError: with every operator that is not supported and the line of Python that called it.
    """
    require_known(options, {*TorchOptions.__annotations__, *CompileOptions.__annotations__}, "compile")
    if isinstance(module, ExportedProgram):
        if example_inputs is not None or kwargs or dynamic_shapes is not None:
            raise InvalidArgumentError("an ExportedProgram has its inputs already; expected no example_inputs")
        exported, name = module, "program"
    else:
        if isinstance(module, (torch.jit.ScriptModule, torch.jit.ScriptFunction)):
            raise InvalidTypeError(
                f"{type(module).__name__} is TorchScript, which torch.export does not take; compile the module that it was made "
                "of, or export it with torch.onnx.export(..., dynamo=False) and use tenon.load",
                expectation="a torch.nn.Module", found=type(module).__name__)
        if not isinstance(module, torch.nn.Module):
            raise InvalidTypeError(
                f"expected a torch.nn.Module or a torch.export.ExportedProgram, found {type(module).__name__}")
        if example_inputs is None and not kwargs:
            raise InvalidArgumentError("example_inputs: the arguments of a call are needed to compile a module")
        args = (example_inputs,) if isinstance(example_inputs, torch.Tensor) else tuple(example_inputs or ())
        # What autocast does it does while PyTorch runs, so that the exported program would have types without conversions.
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            exported = torch.export.export(module, args, dict(kwargs or {}), dynamic_shapes=dynamic_shapes)
        name = type(module).__name__
    program = import_program(exported)
    return CompiledModule(program, Executable(program.module, **options), name)
