"""What ends a long call early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .executable import CancelToken


def limits(timeout: float | None, cancel: CancelToken | None) -> dict[str, Any]:
    """The fields of an options structure for a timeout in seconds and a token."""
    return {
        "timeout_nanoseconds": 0 if timeout is None else max(1, min(int(timeout * 1e9), 2**63 - 1)),
        "cancel": None if cancel is None else cancel._handle,
    }
