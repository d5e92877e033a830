"""What ``Module.quantize`` gives: a module that computes with small integers, and what that costs and gains."""

from __future__ import annotations

import ctypes
import math
from typing import TYPE_CHECKING, Any, Iterable, Iterator, Mapping, NamedTuple, Sequence, overload

import numpy as np

from . import _dtypes
from ._handle import new, strings
from ._lib import (
    CALIBRATIONS, QUANTIZE_CORRECT_BIAS, QUANTIZE_EQUALIZE, QUANTIZE_NO_TIMES, QUANTIZE_PER_TENSOR, QUANTIZE_MODES,
    QuantizationTotal, QuantizedLayer as _QuantizedLayer, QuantizeOptions, Tensor, lib,
)
from ._limits import limits
from ._progress import Progress, Reporter
from ._table import table
from ._tensors import as_array, fill
from .errors import InvalidArgumentError, InvalidTypeError, check

if TYPE_CHECKING:
    from .executable import CancelToken
    from .module import Module


class QuantizedLayer(NamedTuple):
    """A layer that can be quantised, and what became of it."""

    #: The value that the layer's operator makes.
    name: str
    op: str
    #: Whether it computes with small integers now.
    quantized: bool
    #: Why not; empty for a layer that does.
    reason: str
    #: What quantising this layer alone adds to the outputs, as ``Quantization.error``; NaN where it was not measured.
    error: float
    #: Seconds by which a run is shorter for it; below 0 where it is longer, NaN where it was not measured.
    gain: float


class Quantization(Sequence[QuantizedLayer]):
    """A quantised module with a report: a sequence of ``QuantizedLayer``, in program order."""

    #: The module that computes with small integers.
    module: Module
    #: The root of the summed squares of what quantising changes in the outputs, over that of the outputs' summed squares; NaN without
    #: samples.
    error: float
    #: Seconds of a run before and after; NaN where they were not measured.
    times: tuple[float, float]

    def __init__(self, module: Module, address: int):
        self.module = module
        layer = _QuantizedLayer(struct_size=ctypes.sizeof(_QuantizedLayer))
        total = QuantizationTotal(struct_size=ctypes.sizeof(QuantizationTotal))
        layers = []
        for index in range(lib.tenon_quantization_count(address)):
            check(lib.tenon_quantization_get(address, index, ctypes.byref(layer)))
            layers.append(QuantizedLayer(
                layer.name.decode(), layer.op.decode(), bool(layer.is_quantized), layer.reason.decode(), layer.error,
                layer.gained_nanoseconds / 1e9))
        check(lib.tenon_quantization_get_total(address, ctypes.byref(total)))
        self._layers = tuple(layers)
        self.error = total.error
        self.times = (total.nanoseconds_before / 1e9, total.nanoseconds_after / 1e9)

    def __len__(self) -> int:
        return len(self._layers)

    @overload
    def __getitem__(self, index: int) -> QuantizedLayer: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[QuantizedLayer, ...]: ...

    def __getitem__(self, index: int | slice) -> QuantizedLayer | tuple[QuantizedLayer, ...]:
        return self._layers[index]

    def __repr__(self) -> str:
        def number(value: float, text: str) -> str:
            return "" if math.isnan(value) else format(value, text)

        rows = [[layer.name, layer.op, "yes" if layer.quantized else layer.reason, number(layer.error, ".3g"),
                 number(layer.gain * 1e6, ".1f")] for layer in self]
        gain = self.times[0] - self.times[1]
        total = ["total", "", "", number(self.error, ".3g"), number(gain * 1e6, ".1f")]
        return table([["layer", "operator", "quantized", "error", "microseconds gained"], *rows, total], right={3, 4})


def _samples(dataset: Iterable[Any], names: Sequence[str]) -> Iterator[list[np.ndarray[Any, Any]]]:
    """Each sample's arrays in the order of the inputs."""
    for index, sample in enumerate(dataset):
        if isinstance(sample, Mapping):
            if set(sample) != set(names):
                raise InvalidArgumentError.mismatch(
                    f"quantize: sample {index}", f"the inputs {', '.join(names)}", ", ".join(map(str, sample)) or "none")
            values = [sample[name] for name in names]
        elif isinstance(sample, (list, tuple)):
            values = list(sample)
        else:
            values = [sample]
        if len(values) != len(names):
            raise InvalidArgumentError.mismatch(
                f"quantize: sample {index}", f"{len(names)} arrays ({', '.join(names)})", f"{len(values)}")
        arrays = [as_array(value) for value in values]
        yield [np.ascontiguousarray(array).reshape(array.shape) for array in arrays]


def quantize(
    module: Module, dataset: Iterable[Any] | None, mode: str, calibration: str, percentile: float, activations: str,
    per_channel: bool, equalize: bool, correct_bias: bool, tolerance: float | None, exclude: Sequence[str],
    measured_samples: int, times: bool, threads: int, progress: Progress | None, timeout: float | None,
    cancel: CancelToken | None,
) -> Quantization:
    for name, value, known in (("mode", mode, QUANTIZE_MODES), ("calibration", calibration, CALIBRATIONS)):
        if value not in known:
            raise InvalidArgumentError.mismatch(f"quantize: {name}", " or ".join(map(repr, known)), repr(value), node=name)
    if activations not in ("u8", "i8"):
        raise InvalidArgumentError.mismatch("quantize: activations", "'u8' or 'i8'", repr(activations), node="activations")
    for name, count in (("measured_samples", measured_samples), ("threads", threads)):
        if isinstance(count, bool) or not isinstance(count, int):
            raise InvalidTypeError.mismatch(f"quantize: {name}", "a whole number", type(count).__name__, node=name)
        if not 0 <= count < 2**32:
            raise InvalidArgumentError.mismatch(f"quantize: {name}", "a number from 0", count, node=name)
    if isinstance(exclude, str):
        raise InvalidTypeError.mismatch("quantize: exclude", "a list of names", "str", node="exclude")
    if tolerance is not None and not tolerance > 0:
        raise InvalidArgumentError.mismatch("quantize: tolerance", "a number above 0", tolerance, node="tolerance")
    if not 50 < percentile <= 100:
        raise InvalidArgumentError.mismatch(
            "quantize: percentile", "a number above 50 and up to 100", percentile, node="percentile")
    main = module.functions["main"]
    names = main.attributes.get("input_names") or [parameter.name for parameter in main.graph.parameters]
    arrays = list(_samples(() if dataset is None else dataset, list(names)))
    flat = [array for sample in arrays for array in sample]
    tensors = (Tensor * max(len(flat), 1))()
    keep = [fill(tensor, array) for tensor, array in zip(tensors, flat)]
    flags = (QUANTIZE_EQUALIZE if equalize else 0) | (QUANTIZE_CORRECT_BIAS if correct_bias else 0)
    flags |= (0 if per_channel else QUANTIZE_PER_TENSOR) | (0 if times else QUANTIZE_NO_TIMES)
    options = QuantizeOptions(
        struct_size=ctypes.sizeof(QuantizeOptions), mode=QUANTIZE_MODES[mode], calibration=CALIBRATIONS[calibration],
        activations=_dtypes.BY_NAME[activations], flags=flags, measured_samples=measured_samples, threads=threads,
        percentile=percentile, tolerance=tolerance or 0, excluded=strings(list(exclude)), excluded_count=len(exclude),
        **limits(timeout, cancel))
    result = module.copy()
    with Reporter(progress) as reporter:
        options.progress = reporter.function
        address = new(
            lib.tenon_module_quantize, result._handle, tensors, len(arrays), len(names), ctypes.byref(options))
    del keep
    try:
        return Quantization(result, address)
    finally:
        lib.tenon_quantization_release(address)
