"""Relax's TVMScript, read in both ways."""

import tenon


def both_readers(script):
    """The module as this library reads it, and as TVM's objects give it where TVM is installed."""
    read = [tenon.Module.parse(script)]
    try:
        import tvm  # noqa: F401
    except ImportError:
        return read
    read.append(tenon.from_tvm(script))
    assert read[0] == read[1]
    return read
