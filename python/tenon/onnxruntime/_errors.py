"""The exceptions of ONNX Runtime's interface."""

from __future__ import annotations

from .. import errors


class OnnxRuntimeException(Exception):
    """The base of what ONNX Runtime raises."""


class Fail(OnnxRuntimeException, RuntimeError):
    pass


class InvalidArgument(OnnxRuntimeException, ValueError):
    pass


class NoSuchFile(OnnxRuntimeException, OSError):
    pass


class NoModel(OnnxRuntimeException):
    pass


class EngineError(OnnxRuntimeException):
    pass


class RuntimeException(OnnxRuntimeException, RuntimeError):
    pass


class InvalidProtobuf(OnnxRuntimeException, ValueError):
    pass


class ModelLoaded(OnnxRuntimeException):
    pass


class NotImplemented(OnnxRuntimeException, NotImplementedError):  # noqa: A001 - the name is theirs
    pass


class InvalidGraph(OnnxRuntimeException, ValueError):
    pass


class ModelLoadCanceled(OnnxRuntimeException, RuntimeError):
    pass


class ModelRequiresCompilation(OnnxRuntimeException):
    pass


class NotFound(OnnxRuntimeException, LookupError):
    pass


class DeviceReset(OnnxRuntimeException, RuntimeError):
    pass


class EPFail(OnnxRuntimeException, RuntimeError):
    pass


_kinds = [
    (errors.FileError, NoSuchFile, 3, "NO_SUCHFILE"),
    (errors.InvalidModelError, InvalidProtobuf, 7, "INVALID_PROTOBUF"),
    (errors.UnsupportedError, NotImplemented, 9, "NOT_IMPLEMENTED"),
    (errors.InvalidGraphError, InvalidGraph, 10, "INVALID_GRAPH"),
    (errors.InvalidArgumentError, InvalidArgument, 2, "INVALID_ARGUMENT"),
    (errors.InvalidShapeError, InvalidArgument, 2, "INVALID_ARGUMENT"),
    (errors.InvalidTypeError, InvalidArgument, 2, "INVALID_ARGUMENT"),
    (errors.BackendError, EPFail, 11, "EP_FAIL"),
]


def translate(error: errors.TenonError) -> OnnxRuntimeException:
    for ours, theirs, number, name in _kinds:
        if isinstance(error, ours):
            return theirs(f"[ONNXRuntimeError] : {number} : {name} : {error}")
    return Fail(f"[ONNXRuntimeError] : 1 : FAIL : {error}")
