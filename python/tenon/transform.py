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
import functools
from typing import Any, Callable, NamedTuple, Sequence

from .errors import InvalidArgumentError, InvalidTypeError, UnsupportedError
from .module import Module, passes as _library_passes


class PassInfo(NamedTuple):
    """What is known of a pass."""

    name: str
    #: A pass runs in contexts of this level and above.
    opt_level: int
    #: Passes that must be enabled for it.
    required: tuple[str, ...] = ()


class PassContext:
    """How passes run inside a ``with`` block.

    Args:
        opt_level: 0 to 3; passes of a higher level are left out of a ``Sequential``.
        required_pass: passes, by name, that run whatever their level.
        disabled_pass: passes, by name, that do not run.
        disabled_rules: fusion rules, by name, that are not applied.
    """

    def __init__(
        self, opt_level: int = 2, required_pass: Sequence[str] = (), disabled_pass: Sequence[str] = (),
        disabled_rules: Sequence[str] = (),
    ):
        if not 0 <= opt_level <= 3:
            raise InvalidArgumentError(f"opt_level expects 0 to 3, found {opt_level}")
        self.opt_level = opt_level
        self.required_pass = list(required_pass)
        self.disabled_pass = list(disabled_pass)
        self.disabled_rules = list(disabled_rules)
        self._tokens: list[contextvars.Token] = []

    @staticmethod
    def current() -> PassContext:
        """The context of the innermost block on this thread, or the default one."""
        return _current.get() or _default

    def __enter__(self) -> PassContext:
        self._tokens.append(_current.set(self))
        return self

    def __exit__(self, *exception: object) -> None:
        _current.reset(self._tokens.pop())

    def _runs(self, info: PassInfo) -> bool:
        if info.name in self.disabled_pass:
            return False
        return info.name in self.required_pass or info.opt_level <= self.opt_level


_current: contextvars.ContextVar[PassContext | None] = contextvars.ContextVar("tenon_pass_context", default=None)
_default = PassContext()


class Pass:
    """Turns a module into a new one."""

    def __init__(self, info: PassInfo):
        self.info = info

    @property
    def name(self) -> str:
        return self.info.name

    def __call__(self, mod: Module) -> Module:
        """Applies the pass, whatever its level; the module stays as it is."""
        if not isinstance(mod, Module):
            raise InvalidTypeError(f"{self.name} expects a tenon.Module, found {type(mod).__name__}")
        return self._transform(mod, PassContext.current())

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<tenon.transform.Pass {self.name}>"


class _NamedPass(Pass):
    """A pass of the library."""

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        return mod.apply(self.name, level=max(1, ctx.opt_level), disabled_rules=ctx.disabled_rules)


class FuseOpsByPattern(Pass):
    """Moves every match of the patterns into a function that carries ``Composite``.

    Args:
        patterns: pairs of a name (``dnnl.conv2d_relu``: what stands before the dot is the backend) and a pattern, of
            ``tenon.dpl`` or in text. Those that come first match first.
        bind_constants: tensor literals stay inside the functions made; otherwise they become parameters.
        annotate_codegen: each match becomes a region that carries ``Codegen``.
    """

    def __init__(
        self, patterns: Sequence[tuple[str, Any]], bind_constants: bool = True, annotate_codegen: bool = False
    ):
        super().__init__(PassInfo("FuseOpsByPattern", 0))
        rules = []
        for entry in patterns:
            if not isinstance(entry, tuple) or len(entry) != 2:
                raise UnsupportedError("FuseOpsByPattern takes pairs of a name and a pattern; annotations and checks are not")
            rules.append(f"{entry[0]} = {entry[1]};")
        self.rules = "\n".join(rules)
        self._bind_constants = bind_constants
        self._annotate = annotate_codegen

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        return mod.fuse(
            self.rules, bind_constants=self._bind_constants, annotate_codegen=self._annotate,
            disabled_rules=ctx.disabled_rules)


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
    >>> nothing.info
    PassInfo(name='nothing', opt_level=1, required=())
    """
    if opt_level is None:
        raise InvalidArgumentError("module_pass needs an opt_level")

    def decorate(given: Any) -> Any:
        info = PassInfo(name or given.__name__, opt_level, tuple(required))
        if not isinstance(given, type):
            return ModulePass(given, info)

        @functools.wraps(given, updated=())
        def make(*args: Any, **kwargs: Any) -> ModulePass:
            instance = given(*args, **kwargs)
            return ModulePass(lambda mod, ctx: instance.transform_module(mod, ctx), info)

        return make

    return decorate if pass_func is None else decorate(pass_func)


class Sequential(Pass):
    """Passes one after the other: those that the context's level and lists let run."""

    def __init__(self, passes: Sequence[Pass], opt_level: int = 0, name: str = "sequential"):
        super().__init__(PassInfo(name, opt_level))
        for step in passes:
            if not isinstance(step, Pass):
                raise InvalidTypeError(f"a Sequential of passes, found {type(step).__name__}")
        self.passes = list(passes)

    def _transform(self, mod: Module, ctx: PassContext) -> Module:
        known = {step.name for step in self.passes}
        for step in self.passes:
            if not ctx._runs(step.info):
                continue
            for needed in step.info.required:
                if needed not in known and needed in _library_passes():
                    mod = _NamedPass(PassInfo(needed, 0))(mod)
            mod = step._transform(mod, ctx)
        return mod


def __getattr__(name: str) -> Callable[[], Pass]:
    """``transform.FuseConv2dReshapeAddRelu`` and all other passes of the library."""
    if not name.startswith("_") and name in _library_passes():
        return lambda: _NamedPass(PassInfo(name, 0))
    raise AttributeError(f"no pass '{name}'; the library has {', '.join(_library_passes())}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_library_passes()])
