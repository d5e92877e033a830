"""RapidOCR, as others wrote it, on Tenon instead of ONNX Runtime: the same text from the same picture."""

import importlib

import numpy as np
import pytest

import programs
import tenon.onnxruntime

for needed in ("cv2", "shapely", "pyclipper", "yaml", "six", "rapidocr_onnxruntime"):
    pytest.importorskip(needed)
PIL = pytest.importorskip("PIL")
onnxruntime = pytest.importorskip("onnxruntime")

LINES = ["Tenon joins operators", "two pieces of timber", "without a nail 2026"]


def picture():
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (640, 240), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(LINES):
        draw.text((30, 20 + 70 * row), line, fill="black", font=ImageFont.load_default(40))
    return np.asarray(image)


def read(runtime, image):
    with programs.on(runtime, "rapidocr_onnxruntime") as recording:
        found, _ = importlib.import_module("rapidocr_onnxruntime").RapidOCR()(image)
    return [(text, float(score), np.asarray(box)) for box, text, score in found], recording


def test_same_text():
    image = picture()
    expected, expected_calls = read(onnxruntime, image)
    found, found_calls = read(tenon.onnxruntime, image)
    assert [text for text, _, _ in found] == [text for text, _, _ in expected]
    assert " ".join(text for text, _, _ in found).split() == " ".join(LINES).split()
    for (_, score, box), (_, expected_score, expected_box) in zip(found, expected):
        assert abs(score - expected_score) < 1e-3
        assert np.abs(box - expected_box).max() <= 1
    programs.assert_same_answers(found_calls, expected_calls)
