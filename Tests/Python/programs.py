"""Runs programs that others wrote for ONNX Runtime twice, with nothing changed but what ``import onnxruntime`` gives."""

import contextlib
import sys
import types
from unittest import mock

import numpy as np


class Recording:
    """A runtime whose sessions keep what they were given and what they answered."""

    def __init__(self, runtime):
        self.calls = []
        calls = self.calls

        class InferenceSession(runtime.InferenceSession):
            def run(self, output_names, input_feed, run_options=None):
                results = super().run(output_names, input_feed, run_options)
                feed = {name: np.array(value) for name, value in input_feed.items()}
                calls.append((feed, [np.array(result) for result in results]))
                return results

        self.module = types.ModuleType("onnxruntime")
        self.module.__dict__.update({
            name: getattr(runtime, name) for name in dir(runtime) if not name.startswith("__")})
        self.module.__version__ = runtime.__version__
        self.module.InferenceSession = InferenceSession


@contextlib.contextmanager
def on(runtime, *packages):
    """Inside, ``import onnxruntime`` gives ``runtime``, and ``packages`` are imported anew. Gives the recording."""
    recording = Recording(runtime)

    def forget():
        for name in list(sys.modules):
            if any(name == package or name.startswith(package + ".") for package in packages):
                del sys.modules[name]

    with mock.patch.dict(sys.modules, {"onnxruntime": recording.module}):
        forget()
        try:
            yield recording
        finally:
            forget()


def assert_same_answers(found, expected, limit=1e-3):
    """Both runs asked the same, and the answers lie within ``limit`` of the largest element of each."""
    assert len(found.calls) == len(expected.calls) > 0
    for (feed, results), (expected_feed, expected_results) in zip(found.calls, expected.calls):
        assert feed.keys() == expected_feed.keys()
        for name in feed:
            assert feed[name].shape == expected_feed[name].shape
            assert feed[name].dtype == expected_feed[name].dtype
        for result, wanted in zip(results, expected_results, strict=True):
            assert result.shape == wanted.shape and result.dtype == wanted.dtype
            if result.size:
                difference = np.abs(result.astype(np.float64) - wanted).max()
                assert difference <= limit * max(np.abs(wanted).max(), 1e-6)
