"""Cases for every operator: a call of it and the result that NumPy or ONNX's reference computes.

Each module of a family has `cases()`. `Tests/Fixtures/operators/generate.py` writes them all into the files that the
Swift tests read.
"""

from .base import Case, Shape, DType, all_cases

__all__ = ["Case", "Shape", "DType", "all_cases"]
