"""Not there without ONNX Runtime itself."""

raise ImportError(
    "onnxruntime.tools is part of ONNX Runtime itself, which is not installed; pip install onnxruntime adds it, "
    "and its tools then run on Tenon's sessions")
