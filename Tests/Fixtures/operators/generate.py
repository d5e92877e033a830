"""Writes the operator cases of Tests/Python/opcases as cases.json (what is called) and cases.bin (the numbers).

Needs numpy, ml_dtypes and onnx. The same seeds give the same files.
"""

import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "Python"))

from opcases import Shape, all_cases  # noqa: E402

NAMES = {"float32": "f32", "float64": "f64", "float16": "f16", "bfloat16": "bf16", "bool": "bool"} | {
    f"{sign}int{bits}": f"{'u' if sign else 'i'}{bits}" for sign in ("", "u") for bits in (2, 4, 8, 16, 32, 64)} | {
    "float8_e4m3fn": "f8e4m3fn", "float8_e4m3fnuz": "f8e4m3fnuz", "float8_e5m2": "f8e5m2", "float8_e5m2fnuz": "f8e5m2fnuz",
    "float4_e2m1fn": "f4e2m1", "float8_e8m0fnu": "f8e8m0"}


class Blob:
    """Bytes of all tensors; equal ones are kept once."""

    def __init__(self):
        self.data = bytearray()
        self.known = {}

    def tensor(self, array):
        array = np.ascontiguousarray(array).reshape(np.shape(array))
        raw = array.tobytes()
        key = (array.dtype.name, raw)
        if key not in self.known:
            self.data += b"\0" * (-len(self.data) % 8)
            self.known[key] = len(self.data)
            self.data += raw
        return {"t": [NAMES[array.dtype.name], list(array.shape), self.known[key]]}


def argument(blob, value):
    if isinstance(value, Shape):
        return {"s": [int(d) for d in value.dims]}
    if isinstance(value, tuple):
        return {"u": [argument(blob, v) for v in value]}
    if isinstance(value, (np.ndarray, np.generic)):
        return blob.tensor(np.asarray(value))
    if isinstance(value, int):
        return {"i": value}
    return {"f": repr(float(value))}


def attribute(value):
    if isinstance(value, bool):
        return {"b": value}
    if isinstance(value, (int, np.integer)):
        return {"i": int(value)}
    if isinstance(value, float):
        return {"f": repr(value)}
    if isinstance(value, str):
        return {"n": value}
    if isinstance(value, (np.dtype, type)):
        return {"d": NAMES[np.dtype(value).name]}
    if any(isinstance(v, float) for v in value):
        return {"fs": [repr(float(v)) for v in value]}
    if any(isinstance(v, str) for v in value):
        return {"ns": list(value)}
    return {"is": [int(v) for v in value]}


def main():
    blob = Blob()
    lines = []
    for c in all_cases():
        lines.append(json.dumps({
            "name": c.name, "op": c.op, "args": [argument(blob, a) for a in c.args],
            "attrs": {k: attribute(v) for k, v in c.attrs.items()}, "outputs": [blob.tensor(o)["t"] for o in c.outputs],
            "rtol": c.rtol, "atol": c.atol}, separators=(",", ":")))
    (HERE / "cases.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")
    (HERE / "cases.bin").write_bytes(bytes(blob.data))
    print(f"{len(lines)} cases, {len(blob.data)} bytes")


if __name__ == "__main__":
    main()
