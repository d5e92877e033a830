"""Classifies the digits with an installed package: digits.py FIXTURES EXPECTED-PLACE. Needs NumPy alone."""

import pathlib
import sys

import numpy as np
import tenon


def read_idx(path):
    data = path.read_bytes()
    return np.frombuffer(data, np.uint8, -1, 4 + 4 * data[3]).reshape(np.frombuffer(data, ">u4", data[3], 4))


def loaded(name):
    """The files of this process whose names begin so."""
    lines = pathlib.Path("/proc/self/maps").read_text().splitlines()
    paths = {line.split(maxsplit=5)[5] for line in lines if line.count("/")}
    return {path for path in paths if pathlib.PurePath(path).name.startswith(name)}


fixtures, place = pathlib.Path(sys.argv[1]), sys.argv[2]
images = read_idx(fixtures / "heldout-images-idx3-ubyte").astype(np.float32)[:, None, None] / 255
labels = read_idx(fixtures / "heldout-labels-idx1-ubyte")
run = tenon.compile(tenon.load(fixtures / "digits.onnx").optimize(), threads=2)
accuracy = np.mean([run(image).argmax() == label for image, label in zip(images, labels)])
print(f"{tenon.__file__}: accuracy {accuracy:.3f}")
assert accuracy >= 0.97
libraries = loaded("libtenon")
assert len(libraries) == 1 and all(path.startswith(place) for path in libraries), libraries
if "site-packages" in next(iter(libraries)):
    bundled = loaded("libdnnl")
    assert bundled and all(path.startswith(place) for path in bundled), bundled
