"""Passes under the names that TVM's users know: ``Sequential``, ``PassContext``, ``module_pass``, and every pass of the
library as a function of its name.

>>> import tenon
>>> from tenon import transform
>>> pipeline = transform.Sequential([transform.FuseConv2dReshapeAddRelu(), transform.MergeCompositeFunctions()])
>>> [step.name for step in pipeline.passes]
['FuseConv2dReshapeAddRelu', 'MergeCompositeFunctions']
"""

from __future__ import annotations

import contextvars
import ctypes
import functools
import time
from typing import Any, Callable, Mapping, NamedTuple, Sequence

import numpy as np

from ._attributes import Attributes
from ._callbacks import Callbacks, Match, PassInfo, _before
from ._handle import integers, strings
from ._lib import PASS_VERIFY, RULE_CLOSED, FusionRule, Tensor, lib
from ._tensors import as_array, fill
from .backend import Backends
from ._patterns import DFPattern, Printer, pattern as _pattern
from ._rewriting import PatternMatchingRewriter
from .errors import BackendError, InvalidArgumentError, InvalidTypeError, check
from .graph import Expr
from .instrument import PassInstrument
from .module import Function, Module, _pass_options, passes as _library_passes


class PassContext:
    """How passes run inside a ``with`` block.

    Args:
        opt_level: 0 to 3; passes of a higher level are left out of a ``Sequential``.
        required_pass: passes, by name, that run whatever their level.
        disabled_pass: passes, by name, that do not run.
        disabled_rules: fusion rules, by name, that are not applied.
        instruments: ``tenon.instrument.PassInstrument`` objects, or others with methods of the same names: they hear of every
            pass that runs.
        verify: check the module after every pass.
        config: whatever passes that are written in Python look up in ``ctx.config``.
    """

    def __init__(
        self, opt_level: int = 2, required_pass: Sequence[str] | None = (), disabled_pass: Sequence[str] | None = (),
        instruments: Sequence[Any] | None = (), config: Mapping[str, Any] | None = None, *,
        disabled_rules: Sequence[str] = (), verify: bool = False,
    ):
        if not 0 <= opt_level <= 3:
            raise InvalidArgumentError.mismatch("opt_level", "0 to 3", opt_level)
        self.opt_level = opt_level
        self.required_pass = list(required_pass or ())
        self.disabled_pass = list(disabled_pass or ())
        self.disabled_rules = list(disabled_rules)
        self.instruments = [_complete(instrument) for instrument in instruments or ()]
        self.config = dict(config or {})
        self.verify = verify
        self._depth = 0
        self._tokens: list[contextvars.Token[Any]] = []

    @staticmethod
    def current() -> PassContext:
        """The context of the innermost block on this thread, or the default one."""
        return _current.get() or _default

    def __enter__(self) -> PassContext:
        for instrument in self.instruments:
            instrument.enter_pass_ctx()
        self._tokens.append(_current.set(self))
        return self

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._tokens.pop())
        for instrument in self.instruments:
            instrument.exit_pass_ctx()

    def _runs(self, info: PassInfo) -> bool:
        if info.name in self.disabled_pass:
            return False
        return info.name in self.required_pass or info.opt_level <= self.opt_level


_current: contextvars.ContextVar[PassContext | None] = contextvars.ContextVar("tenon_pass_context", default=None)
_default = PassContext()


def _complete(instrument: Any) -> PassInstrument:
    """An instrument with all methods: those that are missing do nothing."""
    if isinstance(instrument, PassInstrument):
        return instrument
    result = PassInstrument()
    for name in ("enter_pass_ctx", "exit_pass_ctx", "should_run", "run_before_pass", "run_after_pass"):
        if hasattr(instrument, name):
            setattr(result, name, getattr(instrument, name))
    return result


class Pass:
    """Turns a module into a new one."""

    #: The library tells instruments of its own passes.
    _tells = True

    def __init__(self, info: PassInfo):
        self.info = info

    @property
    def name(self) -> str:
        return self.info.name

    def __call__(self, mod: Module) -> Module:
        """Applies the pass, whatever its level; the module stays as it is."""
        if not isinstance(mod, Module):
            raise InvalidTypeError.mismatch(self.name, "a tenon.Module", type(mod).__name__)
        return self._run(mod, PassContext.current())

    def _run(self, mod: Module, ctx: PassContext) -> Module:
        """Runs the pass with what the context asks for around it."""
        if not self._tells:
            return self._transform(mod, ctx)
        info = self.info._replace(depth=ctx._depth)
        if not _before(ctx.instruments, mod, info):
            return mod
        start = time.perf_counter_ns()
        ctx._depth += 1
        try:
            result = self._transform(mod, ctx)
        finally:
            ctx._depth -= 1
        info = info._replace(nanoseconds=time.perf_counter_ns() - start)
        if ctx.verify:
            result.verify()
        for instrument in ctx.instruments:
            instrument.run_after_pass(result, info)
        return result

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<tenon.transform.Pass {self.name}>"


def _options(ctx: PassContext, calls: Callbacks) -> Any:
    """A context as the library takes it."""
    options = _pass_options(max(1, ctx.opt_level), ctx.disabled_pass, ctx.required_pass, ctx.disabled_rules)
    options.flags = PASS_VERIFY if ctx.verify else 0
    instruments = calls.instruments(ctx.instruments)
    if instruments is not None:
        options.instruments = instruments
        options.instrument_count = len(instruments)
    return options


class _NamedPass(Pass):
    """A pass of the library, with what it is told."""

    _tells = False

    def __init__(
        self, info: PassInfo, arguments: Mapping[str, Any] | None = None, entry_functions: Sequence[str] | None = None,
    ):
        super().__init__(info)
        self._arguments = dict(arguments or {})
        self._entries = list(entry_functions or ())

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        calls = Callbacks()
        result = mod.copy()
        options = _options(ctx, calls)
        _enter(options, self._entries)
        with Attributes(self._arguments) as arguments:
            options.arguments = arguments.address if self._arguments else None
            calls.status(lib.tenon_module_apply(result._handle, self.name.encode(), ctypes.byref(options)))
        return result


def _enter(options: Any, functions: Sequence[str]) -> None:
    """Names the functions that the pass begins with."""
    options.entry_functions, options.entry_function_count = strings(list(functions)), len(functions)


class PatternCheckContext:
    """What a check and an attribute getter see of a match.

    Attributes:
        matched_expr: the expression that the whole pattern met.
        annotated_expr: what the annotated patterns met, by their labels; for a pattern in text, what its names met.
        matched_bindings: what would be fused: the values, each bound to itself.
        captures: what all names of the pattern's text met.
    """

    def __init__(self, match: Match, labels: Mapping[str, Sequence[str]] | None):
        self.captures = match.captures
        self.matched_expr = match.root
        self.matched_bindings = {expr: expr for expr in match.bindings}
        if labels is None:
            self.annotated_expr = self.captures
        else:
            self.annotated_expr = {
                label: next(self.captures[name] for name in names if name in self.captures)
                for label, names in labels.items() if any(name in self.captures for name in names)}

    @property
    def leaks(self) -> bool:
        """Whether a value inside the match, other than that of the whole, is used outside of it or leaves its block."""
        return any(
            expr.leaves_block or any(user not in self.matched_bindings for user in expr.users)
            for expr in self.matched_bindings if expr != self.matched_expr)

    @property
    def value_to_bound_var(self) -> dict[Expr, Expr]:
        return self.matched_bindings

    @property
    def var_usages(self) -> dict[Expr, list[Expr]]:
        """Which bindings of the block use what the match is made of and what it takes."""
        values = dict.fromkeys([*self.matched_bindings, *(arg for expr in self.matched_bindings for arg in expr.args)])
        return {value: value.users for value in values if value.kind not in ("constant", "literal")}


def has_leaking_intermediate_variables(context: PatternCheckContext) -> bool:
    """For checks: whether a value inside the match is used outside of it, or leaves its block."""
    return context.leaks


def _in_context(function: Callable[[Any], Any], context: Callable[[Any, Any], Any], labels: Any) -> Callable[[Any], Any]:
    """A function of the library's match as one of what TVM hands over."""
    return lambda match: function(context(match, labels))


class Annotated(dict[str, Any]):
    """What an attribute getter sees: what the annotated patterns met, by their labels, as in TVM. It has the fields of the
    ``PatternCheckContext`` too."""

    def __init__(self, context: PatternCheckContext):
        super().__init__(context.annotated_expr)
        self._context = context

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._context, name)


def _annotated(match: Any, labels: Any) -> Annotated:
    return Annotated(PatternCheckContext(match, labels))


class FusionPattern(NamedTuple):
    """One rule of ``FuseOpsByPattern``."""

    #: ``dnnl.conv2d_relu``: what stands before the dot is the backend.
    name: str
    #: A pattern of ``tenon.dpl``, or text.
    pattern: Any
    #: Patterns inside, by the labels under which ``check`` sees what they met.
    annotation_patterns: Mapping[str, Any] | None = None
    #: Whether to fuse: a function of a ``PatternCheckContext`` that gives something true, something false or a
    #: ``tenon.dpl.Refusal``.
    check: Callable[[PatternCheckContext], Any] | None = None
    #: Attributes for the function made: a function of what the annotated patterns met, by label, that gives a dictionary.
    attrs_getter: Callable[[Annotated], Mapping[str, Any]] | None = None
    #: Not applied where a value inside the match is used outside of it.
    closed: bool = False


class _Rules:
    """Rules as the library takes them, for one call."""

    def __init__(self, patterns: Sequence[FusionPattern]):
        self.calls = Callbacks()
        self.array = (FusionRule * max(len(patterns), 1))()
        self.count = len(patterns)
        for slot, given in zip(self.array, patterns):
            slot.struct_size = ctypes.sizeof(FusionRule)
            slot.name = given.name.encode()
            slot.flags = RULE_CLOSED if given.closed else 0
            labels = None
            if isinstance(given.pattern, str):
                slot.text = given.pattern.encode()
            else:
                named: dict[int, str] = {}
                for label, pattern in (given.annotation_patterns or {}).items():
                    named.setdefault(id(pattern), label)
                printer = Printer(given.pattern, named=named)
                slot.text = printer.text().encode()
                labels = {
                    label: [name for name, found in printer.labels if found is pattern]
                    for label, pattern in (given.annotation_patterns or {}).items()}
            if given.check is not None:
                slot.check = self.calls.check(_in_context(given.check, PatternCheckContext, labels))
            if given.attrs_getter is not None:
                slot.attributes = self.calls.attributes(_in_context(given.attrs_getter, _annotated, labels))

    @classmethod
    def of_text(cls, text: str, check: Any, attrs_getter: Any) -> _Rules:
        """Rules in text, with one check and one attribute getter for all."""
        rules = cls([])
        rules.count = 1
        slot = rules.array[0]
        slot.struct_size, slot.text = ctypes.sizeof(FusionRule), text.encode()
        if check is not None:
            slot.check = rules.calls.check(_in_context(check, PatternCheckContext, None))
        if attrs_getter is not None:
            slot.attributes = rules.calls.attributes(_in_context(attrs_getter, _annotated, None))
        return rules

    def status(self, status: int) -> None:
        self.calls.status(status)


class FuseOpsByPattern(Pass):
    """Moves every match of the patterns into a function that carries ``Composite``.

    Args:
        patterns: ``FusionPattern``, or tuples of a name, a pattern (of ``tenon.dpl`` or in text) and, where wanted,
            annotations, a check, an attribute getter and ``closed``. Those that come first match first.
        bind_constants: tensor literals stay inside the functions made; otherwise they become parameters.
        annotate_codegen: each match becomes a region that carries ``Codegen``.
        entry_functions: the functions to look at; all that are part of no composite or region when left out.

    What a check raises is raised by the pass, and the module stays as it is.
    """

    _tells = False

    def __init__(
        self, patterns: Sequence[Any], bind_constants: bool = True, annotate_codegen: bool = False,
        entry_functions: Sequence[str] | None = None,
    ):
        super().__init__(PassInfo("FuseOpsByPattern", 0))
        self._entries = list(entry_functions or ())
        self.patterns = []
        for entry in patterns:
            if not isinstance(entry, tuple) or not 2 <= len(entry) <= 6:
                raise InvalidTypeError(
                    "FuseOpsByPattern takes tuples of a name, a pattern, annotations, a check, an attribute getter and closed")
            rule = FusionPattern(*entry)
            if not (rule.annotation_patterns is None or isinstance(rule.annotation_patterns, Mapping)):
                raise InvalidTypeError(f"rule '{rule.name}': annotations are patterns by label")
            if not isinstance(rule.pattern, (str, DFPattern)):
                raise InvalidTypeError.mismatch(f"rule '{rule.name}':", "a pattern", type(rule.pattern).__name__)
            self.patterns.append(rule)
        self._bind_constants = bind_constants
        self._annotate = annotate_codegen

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        rules = _Rules(self.patterns)
        result = mod.copy()
        options = _options(ctx, rules.calls)
        _enter(options, self._entries)
        flags = (0 if self._bind_constants else 1) | (2 if self._annotate else 0)
        rules.status(
            lib.tenon_module_fuse_rules(result._handle, rules.array, rules.count, flags, ctypes.byref(options)))
        return result

    def explain(self, mod: Module, *, json: bool = False) -> str:
        """What the pass would fuse, and for each near miss the first thing that failed, refusals of checks among them."""
        rules = _Rules(self.patterns)
        options = _pass_options(0, (), (), PassContext.current().disabled_rules)
        out = ctypes.c_void_p()
        rules.status(
            lib.tenon_module_explain_rules(
                mod._handle, rules.array, rules.count, int(json), ctypes.byref(options), ctypes.byref(out)))
        try:
            assert out.value is not None
            return ctypes.string_at(out.value).decode(errors="replace")
        finally:
            lib.tenon_string_release(out)


class RunCodegen(Pass):
    """Offers every function that carries ``Codegen`` to the backend of that name; what a backend refuses loses ``Codegen`` and
    runs on the library's kernels. What backends made is made again when the module is compiled.

    Args:
        target_options: by the names of backends what they are to be told: a ``tenon.Backend`` finds it in its ``target_options``.
            A sequence of ``tenon.Backend`` objects may stand here too.
        entry_functions: the functions to compile; ``main`` when left out.
        backends: ``tenon.Backend`` objects, besides the library's own backends.
    """

    _tells = False

    def __init__(
        self, target_options: Mapping[str, Mapping[str, Any]] | Sequence[Any] | None = None,
        entry_functions: Sequence[str] | None = None, *, backends: Sequence[Any] = (),
    ):
        super().__init__(PassInfo("RunCodegen", 0))
        if target_options is not None and not isinstance(target_options, Mapping):
            backends, target_options = [*target_options, *backends], None
        self._options = {name: dict(options or {}) for name, options in (target_options or {}).items()}
        self._entries = list(entry_functions or ())
        self._backends = list(backends)
        self._hosts = Backends(backends)

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        calls = Callbacks()
        result = mod.copy()
        options = _options(ctx, calls)
        options.backends, options.backend_count = self._hosts.array, self._hosts.count
        _enter(options, self._entries)
        for backend in self._backends:
            if backend.name in self._options:
                backend.target_options = self._options[backend.name]
        try:
            calls.status(lib.tenon_module_apply(result._handle, b"RunCodegen", ctypes.byref(options)))
        except BackendError as error:
            raise self._hosts.explained(error)
        return result


class BindParams(Pass):
    """Replaces parameters of a function with arrays: weights that come as parameters become known.

    Args:
        func_name: the function.
        params: arrays by the names of parameters.

    >>> import numpy as np
    >>> module = Module.parse("fn @main(%x: f32[2], %w: f32[2]) { %y = add(%x, %w) return %y }")
    >>> print(BindParams("main", {"w": np.array([1, 2], np.float32)})(module))
    fn @main(%x: f32[2]) -> f32[2] {
      %y: f32[2] = add(%x, const f32[2](1.0, 2.0))
      return %y
    }
    <BLANKLINE>
    """

    def __init__(self, func_name: str, params: Mapping[Any, Any]):
        super().__init__(PassInfo("BindParams", 0))
        self._function = func_name
        self._params = {
            name if isinstance(name, str) else name.name: np.ascontiguousarray(as_array(value)).reshape(np.shape(value))
            for name, value in params.items()}

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        result = mod.copy()
        count = len(self._params)
        tensors = (Tensor * max(count, 1))()
        keep = [fill(tensor, array) for tensor, array in zip(tensors, self._params.values())]
        check(lib.tenon_module_bind_parameters(
            result._handle, self._function.encode(), strings(list(self._params)), tensors, count))
        del keep
        return result


class BindSymbolicVars(Pass):
    """Replaces symbolic sizes, by name, with numbers, in one function or in all.

    >>> module = Module.parse("fn @main(%x: f32[n,4]) { %y = nn.relu(%x) return %y }")
    >>> str(BindSymbolicVars({"n": 3})(module)["main"].graph.results[0].type)
    'f32[3,4]'
    """

    def __init__(self, binding_map: Mapping[str, int], func_name: str | None = None):
        super().__init__(PassInfo("BindSymbolicVars", 0))
        self._sizes = {str(name): int(value) for name, value in binding_map.items()}
        self._function = func_name

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        result = mod.copy()
        check(lib.tenon_module_bind_symbols(
            result._handle, None if self._function is None else self._function.encode(), strings(list(self._sizes)),
            integers(list(self._sizes.values())), len(self._sizes)))
        return result


class ModulePass(Pass):
    """A pass written in Python: see ``module_pass``."""

    def __init__(self, function: Callable[[Module, PassContext], Module], info: PassInfo):
        super().__init__(info)
        self._function = function
        functools.update_wrapper(self, function)

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        result = self._function(mod, ctx)
        if not isinstance(result, Module):
            raise InvalidTypeError(f"pass {self.name} returned {type(result).__name__} instead of a tenon.Module")
        return result


def module_pass(
    pass_func: Any = None, opt_level: int | None = None, name: str | None = None, required: Sequence[str] = (),
) -> Any:
    """Makes a pass of a function ``f(mod, ctx)`` that returns a module, or of a class with
    ``transform_module(self, mod, ctx)``.

    >>> @module_pass(opt_level=1)
    ... def nothing(mod, ctx):
    ...     return mod
    >>> nothing.name, nothing.info.opt_level
    ('nothing', 1)
    """
    return _decorator("module_pass", ModulePass, "transform_module", pass_func, opt_level, name, required)


def function_pass(
    pass_func: Any = None, opt_level: int | None = None, name: str | None = None, required: Sequence[str] = (),
) -> Any:
    """Makes a pass of a function ``f(func, mod, ctx)``, or of a class with ``transform_function(self, func, mod, ctx)``. It is
    called for every function that carries none of ``Composite``, ``Codegen`` and ``Primitive``, and returns what stands there
    afterwards: a function of any module, or None to leave it.

    >>> @function_pass(opt_level=0)
    ... def fold(func, mod, ctx):
    ...     return mod.rewrite(
    ...         "fn @before(%x: object) { %y = nn.relu(%x) %z = nn.relu(%y) return %z }"
    ...         "fn @after(%x: object) { %y = nn.relu(%x) return %y }").functions[func.name]
    >>> print(fold(Module.parse("fn @main(%x: f32[4]) { %y = nn.relu(%x) %z = nn.relu(%y) return %z }")))
    fn @main(%x: f32[4]) -> f32[4] {
      %y: f32[4] = nn.relu(%x)
      return %y
    }
    <BLANKLINE>
    """
    return _decorator("function_pass", FunctionPass, "transform_function", pass_func, opt_level, name, required)


def dataflowblock_pass(
    pass_func: Any = None, opt_level: int | None = None, name: str | None = None, required: Sequence[str] = (),
) -> Any:
    """Makes a pass of a function ``f(block, mod, ctx)``, or of a class with ``transform_dataflowblock(self, block, mod, ctx)``.
    It is called for every dataflow block; blocks that are equal are one. A block comes as a function of what it takes, that
    returns what it shows, and so is what ``f`` returns: a function of any module, or None to leave the block.

    >>> @dataflowblock_pass(opt_level=0)
    ... def fold(block, mod, ctx):
    ...     return mod.rewrite(
    ...         "fn @before(%x: object) { %y = nn.relu(%x) %z = nn.relu(%y) return %z }"
    ...         "fn @after(%x: object) { %y = nn.relu(%x) return %y }").functions[block.name]
    >>> print(fold(Module.parse(
    ...     "fn @main(%x: f32[4]) { dataflow { %y = nn.relu(%x) %z = nn.relu(%y) output %z } return %z }")))
    fn @main(%x: f32[4]) -> f32[4] {
      dataflow {
        %z: f32[4] = nn.relu(%x)
        output %z
      }
      return %z
    }
    <BLANKLINE>
    """
    return _decorator(
        "dataflowblock_pass", DataflowBlockPass, "transform_dataflowblock", pass_func, opt_level, name, required)


def _decorator(
    what: str, kind: Callable[[Any, PassInfo], Pass], method: str, pass_func: Any, opt_level: int | None, name: str | None,
    required: Sequence[str],
) -> Any:
    if opt_level is None:
        raise InvalidArgumentError(f"{what} needs an opt_level")

    def decorate(given: Any) -> Any:
        info = PassInfo(name or given.__name__, opt_level, tuple(required))
        if not isinstance(given, type):
            return kind(given, info)

        @functools.wraps(given, updated=())
        def make(*args: Any, **kwargs: Any) -> Pass:
            return kind(getattr(given(*args, **kwargs), method), info)

        return make

    return decorate if pass_func is None else decorate(pass_func)


class FunctionPass(Pass):
    """A pass written in Python, that looks at one function at a time: see ``function_pass``."""

    def __init__(self, function: Callable[[Function, Module, PassContext], Function | None], info: PassInfo):
        super().__init__(info)
        self._function = function
        functools.update_wrapper(self, function)

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        result = mod.copy()
        for name in list(mod.functions):
            given = Function(mod, name)
            if not {"Composite", "Codegen", "Primitive"}.isdisjoint(given.attributes):
                continue
            made = self._made(given, mod, ctx)
            if made is not None:
                result[name] = made
        return result

    def _made(self, given: Function, mod: Module, ctx: PassContext) -> Function | None:
        """What the function gives; None where that is nothing new."""
        made = self._function(given, mod, ctx)
        if made is None or made is given:
            return None
        if not isinstance(made, Function):
            raise InvalidTypeError(f"pass {self.name} returned {type(made).__name__} instead of a tenon.Function")
        return made


class DataflowBlockPass(FunctionPass):
    """A pass written in Python, that looks at one dataflow block at a time: see ``dataflowblock_pass``."""

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        outlined = mod.apply("OutlineDataflowBlocks")
        result = outlined.copy()
        for name in list(outlined.functions):
            given = Function(outlined, name)
            if "DataflowBlock" not in given.attributes:
                continue
            made = self._made(given, outlined, ctx)
            if made is None:
                continue
            before, after = given.graph, made.graph
            if [len(before.parameters), len(before.results)] != [len(after.parameters), len(after.results)]:
                raise InvalidTypeError(
                    f"pass {self.name} returned a block of {len(after.parameters)} parameters and {len(after.results)} "
                    f"results in the place of {len(before.parameters)} and {len(before.results)}")
            result[name] = made
            result.set_attributes({"DataflowBlock": True}, function=name)
        return result.apply("InlineDataflowBlocks")


class Sequential(Pass):
    """Passes one after the other: those that the context's level and lists let run."""

    _tells = False

    def __init__(self, passes: Sequence[Pass], opt_level: int = 0, name: str = "sequential"):
        super().__init__(PassInfo(name, opt_level))
        self.passes = []
        for step in passes:
            if isinstance(step, PatternMatchingRewriter):
                step = _rewriting_pass(step)
            if not isinstance(step, Pass):
                raise InvalidTypeError.mismatch("a Sequential", "passes", type(step).__name__)
            self.passes.append(step)

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        known = {step.name for step in self.passes}
        for step in self.passes:
            if not ctx._runs(step.info):
                continue
            for needed in step.info.required:
                if needed not in known and needed in _library_passes():
                    mod = _NamedPass(PassInfo(needed, 0))(mod)
            mod = step._run(mod, ctx)
        return mod


def _rewriting_pass(rewriter: PatternMatchingRewriter) -> ModulePass:
    """A rewriter as a step of a ``Sequential``."""

    def rewrite(mod: Module, ctx: PassContext) -> Module:
        result: Module = rewriter(mod)
        return result

    return ModulePass(rewrite, PassInfo(rewriter.name, 0))


#: What TVM calls passes of this library.
_ALIASES = {"DeadCodeElimination": "EliminateDeadCode", "FoldBatchnormToConv2D": "FoldBatchNorm"}


def ConvertToDataflow(min_size: int = 2) -> Pass:  # noqa: N802
    """Puts pure bindings that stand in a row into a dataflow block, at least ``min_size`` of them, and unites blocks that
    touch."""
    return _NamedPass(PassInfo("ConvertToDataflow", 0), {"min_size": min_size})


def ConvertLayout(desired_layouts: Mapping[str, str | Sequence[str]]) -> Pass:  # noqa: N802
    """Writes operators on images in the layouts asked for, by their names: those of data and weights, and of the result where
    that is another than the data's. What follows takes the layout too; permutations that meet go.

    >>> module = Module.parse("fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3,3]) { %y = nn.conv2d(%x, %w) return %y }")
    >>> print(ConvertLayout({"nn.conv2d": ["NHWC", "OHWI"]})(module))
    fn @main(%x: f32[1,3,8,8], %w: f32[4,3,3,3]) -> f32[1,4,6,6] {
      %y: f32[1,8,8,3] = permute_dims(%x) {axes=[0, 2, 3, 1]}
      %y_1: f32[4,3,3,3] = permute_dims(%w) {axes=[0, 2, 3, 1]}
      %y_2: f32[1,6,6,4] = nn.conv2d(%y, %y_1) {data_layout="NHWC", kernel_layout="OHWI"}
      %y_3: f32[1,4,6,6] = permute_dims(%y_2) {axes=[0, 3, 1, 2]}
      return %y_3
    }
    <BLANKLINE>
    """
    layouts = {
        name.removeprefix("relax."): [given] if isinstance(given, str) else list(given)
        for name, given in desired_layouts.items()}
    return _NamedPass(PassInfo("ConvertLayout", 0), layouts)


def DecomposeOpsForInference(  # noqa: N802
    func_name: str | None = None, *, ops: Sequence[str] = ("nn.batch_norm",),
) -> Pass:
    """Writes batch normalisation as the arithmetic that it is at inference, in one function or in all; and any of
    ``nn.layer_norm``, ``nn.group_norm``, ``nn.instance_norm`` and ``nn.rms_norm`` that is among ``ops``."""
    arguments: dict[str, Any] = {"ops": list(ops)}
    if func_name is not None:
        arguments["func_name"] = func_name
    return _NamedPass(PassInfo("DecomposeOpsForInference", 0), arguments)


def __getattr__(name: str) -> Callable[..., Pass]:
    """``transform.FuseConv2dReshapeAddRelu`` and all other passes of the library, also by TVM's names for them."""
    known = _ALIASES.get(name, name)
    if not name.startswith("_") and known in _library_passes():

        def make(entry_functions: Sequence[str] | None = None, **arguments: Any) -> Pass:
            return _NamedPass(PassInfo(known, 0), arguments, entry_functions)

        return make
    raise AttributeError(f"no pass '{name}'; the library has {', '.join(_library_passes())}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_library_passes()])
