"""torch.compile(model, backend="tenon")."""

from __future__ import annotations

import operator
import warnings
from typing import Any, Callable, Sequence

import torch
import torch.utils._python_dispatch
from torch.fx import GraphModule, Node

from .._logging import logger
from .._names import require_known
from .._options import CompileOptions
from ..builder import Builder
from ..errors import TenonError
from ..executable import Executable
from ._effects import Effects, name_of
from ._graph import Graph
from ._importer import Importer
from ._run import Runner
from ._sizes import type_text
from .operators import CONVERTERS

#: Subgraphs of fewer calls are left to PyTorch: entering and leaving them costs more than they gain.
_LEAST_CALLS = 3


def _left_to_pytorch(reason: str) -> None:
    """Says once per reason that PyTorch runs a graph, and why."""
    warnings.warn(f"tenon leaves a graph to PyTorch: {reason}", stacklevel=3)
    logger.info("a graph is left to PyTorch: %s", reason)


def _reason(error: Exception) -> str:
    """One line."""
    text = " ".join(str(error).split())
    # The library's own errors say what they are about.
    return text if isinstance(error, TenonError) and text else f"{type(error).__name__}: {text}"[:500]


def backend(
    graph: GraphModule, example_inputs: Sequence[Any], *, options: dict[str, Any] | None = None, **others: Any,
) -> Callable[..., Any]:
    """The backend of ``torch.compile``: runs what it can, and leaves the rest of the graph to PyTorch.

    Graphs that record gradients run in PyTorch as they are: compile for inference under ``torch.no_grad()``. Parameters
    are packed when compiling; changed ones (``load_state_dict``, an optimizer's step) are noticed at the next call. Whatever
    goes wrong here leaves a graph to PyTorch, with a warning that says why.

    Args:
        options: those of ``tenon.compile``: ``torch.compile(model, backend="tenon", options={"threads": 2})``.
        others: what ``torch.compile`` tells every backend (``mode``); without effect here.
    """
    if others:
        logger.info("without effect on tenon: %s", ", ".join(f"{name}={value!r}" for name, value in others.items()))
    tensors = [value for value in example_inputs if isinstance(value, torch.Tensor)]
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors):
        _left_to_pytorch("tenon computes no gradients, and it records them; call it under torch.no_grad()")
        return graph.forward
    if any(tensor.device.type != "cpu" for tensor in tensors):
        _left_to_pytorch("tenon runs on the CPU, and some tensors are elsewhere")
        return graph.forward
    # A misspelt option is for the caller to hear of.
    require_known(options or {}, CompileOptions.__annotations__, "torch.compile(backend=\"tenon\")")
    try:
        return _lowered(graph, example_inputs, options or {})
    except Exception as error:
        _left_to_pytorch(_reason(error))
        return graph.forward


def _lowered(graph: GraphModule, example_inputs: Sequence[Any], options: dict[str, Any]) -> Callable[..., Any]:
    from torch._functorch.aot_autograd import aot_module_simplified
    from torch._functorch._aot_autograd.utils import make_boxed_func

    # Parameters are inputs, or belong to the graph, as where Inductor's freezing is on; then they come first once lowered.
    own = [
        *dict(graph.named_parameters(remove_duplicate=False)).values(),
        *dict(graph.named_buffers(remove_duplicate=False)).values()]
    given = [*own, *example_inputs]
    fixed = {
        index: value for index, value in enumerate(given)
        if isinstance(value, torch.Tensor) and not value.is_inference() and (index < len(own) or _is_parameter(value))}

    def compile(lowered: GraphModule, inputs: Sequence[Any]) -> Any:
        places = [node for node in lowered.graph.nodes if node.op == "placeholder"]
        parameters = {}
        if len(places) == len(given):
            parameters = {places[index]: value for index, value in fixed.items()}
        return make_boxed_func(_Compiled(lowered, parameters, options))

    compiler: Any = compile
    lowered: Callable[..., Any] = aot_module_simplified(
        graph, list(example_inputs), fw_compiler=compiler, inference_compiler=compiler, keep_inference_input_mutations=False)
    return lowered


def _is_parameter(value: torch.Tensor) -> bool:
    """Whether a tensor is a module's own, and its changes are counted."""
    from torch._dynamo.utils import get_static_address_type

    return isinstance(value, torch.nn.Parameter) or get_static_address_type(value) is not None


class _Compiled:
    """A lowered graph, compiled anew when a parameter has changed."""

    def __init__(self, lowered: GraphModule, parameters: dict[Node, torch.Tensor], options: dict[str, Any]):
        self._lowered, self._parameters, self._options = lowered, parameters, options
        places = [node for node in lowered.graph.nodes if node.op == "placeholder"]
        self._indices = [(places.index(node), node) for node in parameters]
        self._build()

    def _build(self) -> None:
        self._seen = [(index, self._parameters[node], self._parameters[node]._version) for index, node in self._indices]
        try:
            # The compiler runs while PyTorch traces with tensors that have no contents.
            with torch.utils._python_dispatch._disable_current_modes(), torch.no_grad():
                self._run = _build(self._lowered, self._parameters, self._options)
        except Exception as error:
            self._leave(error)

    def _leave(self, error: Exception) -> None:
        """PyTorch runs the graph from here on."""
        _left_to_pytorch(_reason(error))
        self._seen = []
        self._run = self._lowered.forward

    def __call__(self, *args: Any) -> Sequence[Any]:
        for index, tensor, version in self._seen:
            if args[index] is not tensor or tensor._version != version:
                self._rebuild(args)
                break
        try:
            results: Sequence[Any] = self._run(*args)
        except Exception as error:
            # Graphs change nothing but their results, so it can begin again; what is PyTorch's to raise it raises then.
            self._leave(error)
            results = self._run(*args)
        return results

    def _rebuild(self, args: Sequence[Any]) -> None:
        self._parameters = {node: args[index] for index, node in self._indices}
        self._build()


def _build(lowered: GraphModule, parameters: dict[Node, torch.Tensor], options: dict[str, Any]) -> Callable[..., Any]:
    """A function of the graph's inputs: one run, or PyTorch's graph with runs in it."""
    whole, refused = _subgraph(lowered, parameters, options)
    if whole is not None:
        return whole
    from torch.fx.passes.infra.partitioner import CapabilityBasedPartitioner
    from torch.fx.passes.operator_support import OperatorSupportBase

    class Support(OperatorSupportBase):
        def is_node_supported(self, submodules: Any, node: Node) -> bool:
            if node.op != "call_function" or node.name in refused:
                return False
            # What depends on a refused result was not tried.
            return node.target is operator.getitem or name_of(node.target) in CONVERTERS

    copied = GraphModule(lowered, torch.fx.Graph())
    copied.graph.output(copied.graph.graph_copy(lowered.graph, {}))
    partitioner = CapabilityBasedPartitioner(copied, Support(), allows_single_node_partition=False)
    parts = [part for part in partitioner.propose_partitions() if len(part.nodes) >= _LEAST_CALLS]
    if not parts or sum(len(part.nodes) for part in parts) == sum(node.op == "call_function" for node in copied.graph.nodes):
        return lowered.forward
    split = partitioner.fuse_partitions(parts)
    # The partitioner makes new nodes under the old names.
    of_name = {node.name: value for node, value in parameters.items()}
    for node in list(split.graph.nodes):
        if node.op == "call_module":
            inner: Any = split.get_submodule(node.target)
            places = [place for place in inner.graph.nodes if place.op == "placeholder"]
            own = {place: of_name[given.name] for place, given in zip(places, node.args) if given.name in of_name}
            setattr(split, node.target, _Call(_build(inner, own, options), _gives_one(inner)))
    split.recompile()
    return split.forward


def _gives_one(graph: GraphModule) -> bool:
    """Whether the graph returns a value, and not a list of such."""
    return isinstance(next(node for node in reversed(graph.graph.nodes) if node.op == "output").args[0], Node)


class _Call(torch.nn.Module):
    """A run in the place of a submodule."""

    def __init__(self, run: Callable[..., Any], gives_one: bool):
        super().__init__()
        self._function, self._gives_one = run, gives_one

    def forward(self, *args: Any) -> Any:
        results = self._function(*args)
        return results[0] if self._gives_one and isinstance(results, list) else results


def _subgraph(
    lowered: GraphModule, parameters: dict[Node, torch.Tensor], options: dict[str, Any],
) -> tuple[Callable[..., Any] | None, set[str]]:
    """A function that runs the graph; None, and the names of nodes that are refused, when that cannot be."""
    nodes = list(lowered.graph.nodes)
    importer = Importer(Graph(Builder()), Effects(lowered.graph, set()))
    taken: list[int] = []
    metas: list[torch.Tensor] = []
    refused: set[str] = set()
    for index, node in enumerate(node for node in nodes if node.op == "placeholder"):
        meta = node.meta.get("val")
        if node in parameters:
            importer.bind_parameter(node, parameters[node], node.name)
        elif isinstance(meta, torch.Tensor):
            try:
                importer.bind_input(node, node.name, type_text(meta))
            except TenonError:
                return None, {user.name for user in node.users}
            taken.append(index)
            metas.append(meta)
        else:
            importer.bind_known(node, meta)
    for node in nodes:
        if node.op == "call_function":
            importer.run(node)
        elif node.op == "get_attr":
            importer.bind_known(node, getattr(lowered, node.target))
    results = next(node for node in nodes if node.op == "output").args[0]
    results = [results] if isinstance(results, Node) else list(results)
    values: list[Any] = []
    outputs: list[Any] = []
    places: dict[int, int] = {}
    for result in results:
        if not isinstance(result, Node):
            outputs.append(result)
            continue
        if not isinstance(result.meta.get("val"), torch.Tensor):
            return None, {node.name for node, _ in importer.refused} | {result.name}
        value = importer.result(result)
        if value is not None:
            if value._id not in places:
                places[value._id] = len(values)
                values.append((value, result.meta["val"]))
            outputs.append([places[value._id]])
    refused = {node.name for node, _ in importer.refused}
    if refused or not values:
        return None, refused
    try:
        module = importer.graph.builder.finish(*[value for value, _ in values])
        given: Any = options
        executable = Executable(module, **given)
    except TenonError as error:
        _left_to_pytorch(_reason(error))
        return None, {node.name for node in nodes}
    names = [port.name for port in executable.inputs]
    runner = Runner(executable, names, metas, [meta for _, meta in values], {})

    def run(*args: Any) -> list[Any]:
        found = runner.run([args[index] for index in taken])
        return [found[output[0]] if isinstance(output, list) else output for output in outputs]

    return run, refused


def register() -> None:
    """Makes the backend known under its name, where the package is not installed and has no entry point."""
    from torch._dynamo.backends.registry import _BACKENDS, register_backend

    if "tenon" not in _BACKENDS:
        register_backend(backend, name="tenon")
