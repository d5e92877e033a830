"""What is said about names that are not known."""

from __future__ import annotations

import difflib
import functools
from typing import Any, Callable, Collection, Iterable, TypeVar, cast

from .errors import InvalidTypeError, NotFoundError

_Function = TypeVar("_Function", bound=Callable[..., Any])


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint at the name that was probably meant, or at all of them."""
    close = difflib.get_close_matches(name, known, 1, 0.6)
    return f"did you mean '{close[0]}'?" if close else f"expected one of {', '.join(sorted(known))}"


def require_known(given: Collection[str], known: Collection[str], what: str) -> None:
    """Raises for the first option that is not known."""
    for name in given:
        if name not in known:
            raise InvalidTypeError(
                f"{what} has no option '{name}'; {did_you_mean(name, known)}", node=name,
                expectation=", ".join(sorted(known)), found=name)


def hinting(function: _Function) -> _Function:
    """The function, which says of a keyword that it does not have which one was probably meant."""
    code = function.__code__
    known = set(code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]) - {"self", "cls"}

    @functools.wraps(function)
    def checked(*args: Any, **kwargs: Any) -> Any:
        if not known.issuperset(kwargs):
            require_known(kwargs, known, function.__name__)
        return function(*args, **kwargs)

    return cast(_Function, checked)


def require_names(given: Iterable[str], known: Collection[str], what: str, kind: str) -> None:
    """Raises for a text where a list of names is meant, and for the first name that is not known."""
    if isinstance(given, str):
        raise InvalidTypeError(f"{what} expects a list of names, found the text '{given}'", node=what, found=given)
    for name in given:
        if name not in known:
            raise NotFoundError(f"{what}: unknown {kind} '{name}'; {did_you_mean(name, known)}", node=name)
