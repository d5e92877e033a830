"""What is said about names that are not known."""

from __future__ import annotations

import difflib
from typing import Collection

from .errors import InvalidTypeError


def did_you_mean(name: str, known: Collection[str]) -> str:
    """A hint at the name that was probably meant, or at all of them."""
    close = difflib.get_close_matches(name, known, 1, 0.5)
    return f"did you mean '{close[0]}'?" if close else f"expected one of {', '.join(sorted(known))}"


def require_known(given: Collection[str], known: Collection[str], what: str) -> None:
    """Raises for the first option that is not known."""
    for name in given:
        if name not in known:
            raise InvalidTypeError(
                f"{what} has no option '{name}'; {did_you_mean(name, known)}", node=name,
                expectation=", ".join(sorted(known)), found=name)
