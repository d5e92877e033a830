#!/usr/bin/env python3
"""Writes the table of ONNX Runtime's names in docs/onnxruntime.md. Needs onnxruntime beside tenon."""

import pathlib
import types

import onnxruntime

import tenon.onnxruntime as ours
from tenon.onnxruntime._types import ABSENT

DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs/onnxruntime.md"
BEGIN, END = "<!-- names -->\n", "<!-- end of names -->\n"
#: What is accepted and has no effect.
KEPT = {
    "set_seed": "nothing is drawn at random", "set_global_thread_pool_sizes": "sessions have threads of their own",
    "create_and_register_allocator": "sessions share no allocator",
    "create_and_register_allocator_v2": "sessions share no allocator",
    "disable_telemetry_events": "there is none", "enable_telemetry_events": "there is none",
    "preload_dlls": "nothing to load on a CPU", "set_default_logger_verbosity": "there is one level of detail",
    "OrtArenaCfg": "kept; there is no arena",
}
#: Functions that raise.
REFUSED = {
    "register_execution_provider_library": "such libraries are built for ONNX Runtime; `tenon.Backend` brings own code",
    "unregister_execution_provider_library": "none is registered",
    "set_default_logger_callback": "`logging.getLogger(\"tenon\")` takes handlers",
}


def names(module):
    return sorted(
        name for name in dir(module) if not name.startswith("_") and not isinstance(getattr(module, name), types.ModuleType))


def table():
    """Every public name of ONNX Runtime, and what it is here."""
    lines = ["| name | here |", "| --- | --- |"]
    for name in names(onnxruntime):
        if name in ABSENT:
            what = f"can be imported; use raises `NotImplemented`: {ABSENT[name]}"
        elif name in REFUSED:
            what = f"raises: {REFUSED[name]}"
        elif name in KEPT:
            what = f"accepted, no effect: {KEPT[name]}"
        else:
            what = "as there" if hasattr(ours, name) else "MISSING"
        lines.append(f"| `{name}` | {what} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import document_table

    document_table.replace(DOCUMENT, BEGIN, END, table())
