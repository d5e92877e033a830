"""The few fields of an ONNX file that the graph does not need: who made it, and its free-form metadata."""

from __future__ import annotations

from typing import Any, Iterator

_MODEL_TEXTS = {2: "producer_name", 3: "producer_version", 4: "domain", 6: "description"}

#: What ONNX Runtime reports for models that state no version.
NO_VERSION = 2**63 - 1


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        if not byte & 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _fields(data: memoryview) -> Iterator[tuple[int, Any]]:
    """Numbers and values of a message's fields; the inside of messages as bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        elif kind == 2:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise ValueError("a field reaches past the end")
            value, at = data[at:at + size], at + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, at = data[at:at + size], at + size
        else:
            raise ValueError(f"unknown wire type {kind}")
        yield key >> 3, value


def _text(data: memoryview) -> str:
    return bytes(data).decode(errors="replace")


def metadata(data: bytes | memoryview) -> dict[str, Any]:
    """Producer, domain, version, description and name of the graph, and the custom metadata, of a model's bytes."""
    found: dict[str, Any] = {
        "producer_name": "", "producer_version": "", "domain": "", "description": "", "version": NO_VERSION, "graph_name": "",
        "graph_description": "", "custom": {},
    }
    for number, value in _fields(memoryview(data)):
        if number in _MODEL_TEXTS and isinstance(value, memoryview):
            found[_MODEL_TEXTS[number]] = _text(value)
        elif number == 5 and isinstance(value, int):
            found["version"] = value
        elif number == 7 and isinstance(value, memoryview):
            for field, inner in _fields(value):
                if field == 2 and isinstance(inner, memoryview):
                    found["graph_name"] = _text(inner)
                elif field == 10 and isinstance(inner, memoryview):
                    found["graph_description"] = _text(inner)
        elif number == 14 and isinstance(value, memoryview):
            entry = {field: inner for field, inner in _fields(value) if isinstance(inner, memoryview)}
            found["custom"][_text(entry.get(1, memoryview(b"")))] = _text(entry.get(2, memoryview(b"")))
    return found
