"""Not there."""

raise ImportError("onnxruntime.training trains models; Tenon, which is in the place of onnxruntime, only runs them")
