"""What can go wrong, by kind. Every exception carries the fields of the error, and is also the built-in exception that
Python programs expect for its kind."""

from __future__ import annotations

from ._lib import lib


class TenonError(Exception):
    """An error that the library reported.

    Attributes:
        status: the number of ``tenon_status``.
        status_name: its name, as ``TENON_ERROR_INVALID_SHAPE``.
        operator: the operator concerned (``nn.conv2d``), or an empty string.
        node: the node, binding, input or function concerned, or an empty string.
        expectation: what was expected, as the message says it, or an empty string.
        found: what was found instead, or an empty string.

    >>> import numpy as np, tenon
    >>> module = tenon.Module.parse("fn @main(%x: f32[2]) -> f32[2] { return %x }")
    >>> try:
    ...     tenon.compile(module)(np.zeros(3, np.float32))
    ... except tenon.InvalidShapeError as error:
    ...     print(error.status_name, error.node, "|", error.expectation, "|", error.found)
    TENON_ERROR_INVALID_SHAPE x | f32[2] | f32[3]
    """

    status = 90

    def __init__(
        self, message: str, status: int | None = None, operator: str = "", node: str = "", expectation: str = "",
        found: str = "",
    ):
        super().__init__(message)
        self.message = message
        if status is not None:
            self.status = status
        self.operator = operator
        self.node = node
        self.expectation = expectation
        self.found = found

    @classmethod
    def mismatch(cls, subject: str, expectation: str, found: object, *, node: str = "", operator: str = "") -> TenonError:
        """Something else was found than expected. An empty subject, or one that ends in a colon, begins the sentence."""
        verb = "expects" if subject and not subject.endswith(":") else "expected"
        message = f"{subject} {verb} {expectation}, found {found}".lstrip()
        return cls(message, None, operator, node, expectation, str(found))

    @property
    def status_name(self) -> str:
        return str(lib.tenon_status_name(self.status).decode())

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[type[TenonError], tuple[object, ...]]:
        fields = (self.message, self.status, self.operator, self.node, self.expectation, self.found)
        return type(self), fields


class InvalidArgumentError(TenonError, ValueError):
    """An argument is out of range or contradicts another one."""

    status = 10


class NotFoundError(TenonError, LookupError):
    """A function, operator, pass, attribute or file of that name is not known."""

    status = 11


class InvalidStateError(TenonError, RuntimeError):
    """The object is closed, or in a state that does not allow the call."""

    status = 12


class InvalidGraphError(TenonError, ValueError):
    """A graph or module is not well formed."""

    status = 20


class ParseError(TenonError, ValueError):
    """A text does not follow its grammar."""

    status = 21


class InvalidModelError(TenonError, ValueError):
    """A model file does not follow its format."""

    status = 22


class InvalidShapeError(TenonError, ValueError):
    """A shape does not satisfy an operator or a signature."""

    status = 30


class InvalidTypeError(TenonError, TypeError):
    """An element type does not satisfy an operator or a signature."""

    status = 31


class UnsupportedError(TenonError, NotImplementedError):
    """Valid, but not supported."""

    status = 40


class OutOfMemoryError(TenonError, MemoryError):
    """Memory could not be allocated."""

    status = 50


class LimitExceededError(TenonError, RuntimeError):
    """A limit that the caller set was reached."""

    status = 51


class FileError(TenonError, OSError):
    """A file could not be read."""

    status = 52


class CancelledError(TenonError, RuntimeError):
    """The run was cancelled."""

    status = 53


class DeadlineExceededError(TenonError, TimeoutError):
    """The run took longer than its timeout."""

    status = 54


class BackendError(TenonError, RuntimeError):
    """A backend refused or failed."""

    status = 60


class CallbackError(TenonError, RuntimeError):
    """A callback of the host failed."""

    status = 61


class InternalError(TenonError, RuntimeError):
    """A defect of the library."""

    status = 90


_by_status = {kind.status: kind for kind in TenonError.__subclasses__()}


def check(status: int) -> None:
    """Raises what the status of a call that just returned on this thread stands for."""
    if status:
        kind = _by_status.get(status, TenonError)
        raise kind(
            lib.tenon_last_error_message().decode(errors="replace"), status,
            lib.tenon_last_error_operator().decode(errors="replace"),
            lib.tenon_last_error_node().decode(errors="replace"),
            lib.tenon_last_error_expectation().decode(errors="replace"),
            lib.tenon_last_error_found().decode(errors="replace"))
