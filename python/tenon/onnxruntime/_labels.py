"""Outputs of classifiers that are no tensors of numbers: labels that are texts, and probabilities by label (ZipMap)."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..module import Module


class Labels:
    """What the attributes of ``main`` say of its outputs: ``text_values_i`` and ``column_labels_i``."""

    def __init__(self, module: Module):
        self._texts: dict[int, np.ndarray] = {}
        self._columns: dict[int, list[Any]] = {}
        main = module.functions.get("main")
        for name, value in (dict(main.attributes) if main is not None else {}).items():
            kind, _, index = name.rpartition("_")
            values = [value] if isinstance(value, (str, int)) else list(value)
            if kind == "text_values":
                self._texts[int(index)] = np.array(values, dtype=object)
            elif kind == "column_labels":
                self._columns[int(index)] = values

    def describe(self, outputs: list[Any]) -> None:
        """Gives the outputs the types that ONNX Runtime names."""
        for index in self._texts:
            outputs[index].type = "tensor(string)"
        for index, labels in self._columns.items():
            key = "string" if isinstance(labels[0], str) else "int64"
            outputs[index].type, outputs[index].shape = f"seq(map({key},tensor(float)))", []

    def applied(self, results: list[Any]) -> list[Any]:
        if not self._texts and not self._columns:
            return results
        results = list(results)
        for index, texts in self._texts.items():
            results[index] = texts[results[index]]
        for index, labels in self._columns.items():
            results[index] = [dict(zip(labels, row.tolist())) for row in results[index]]
        return results
