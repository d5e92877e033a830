"""RapidOCR, as others wrote it, on Tenon instead of ONNX Runtime: the same text from the same picture."""

import importlib
import sys

import numpy as np
import pytest

import tenon.onnxruntime

for needed in ("onnxruntime", "cv2", "shapely", "pyclipper", "yaml", "six", "rapidocr_onnxruntime"):
    pytest.importorskip(needed)
PIL = pytest.importorskip("PIL")

LINES = ["Tenon joins operators", "two pieces of timber", "without a nail 2026"]


def picture():
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (640, 240), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(LINES):
        draw.text((30, 20 + 70 * row), line, fill="black", font=ImageFont.load_default(40))
    return np.asarray(image)


def read(image):
    for name in [name for name in sys.modules if name.startswith("rapidocr_onnxruntime")]:
        del sys.modules[name]
    engine = importlib.import_module("rapidocr_onnxruntime").RapidOCR()
    found, _ = engine(image)
    return [(text, float(score), np.asarray(box)) for box, text, score in found]


def test_same_text(monkeypatch):
    image = picture()
    expected = read(image)
    monkeypatch.setitem(sys.modules, "onnxruntime", tenon.onnxruntime)
    found = read(image)
    assert [text for text, _, _ in found] == [text for text, _, _ in expected]
    assert " ".join(text for text, _, _ in found).split() == " ".join(LINES).split()
    for (_, score, box), (_, expected_score, expected_box) in zip(found, expected):
        assert abs(score - expected_score) < 1e-3
        assert np.abs(box - expected_box).max() <= 1
