"""Batch inference over a local Ray cluster with several workers, one of which is killed."""

import os
import pathlib

import numpy as np
import pytest

import heavy
import tenon
from test_digits import read_idx

heavy.require("ray", "pyarrow")
ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")
tenon_ray = pytest.importorskip("tenon.ray")

HERE = pathlib.Path(__file__).resolve().parent


@pytest.fixture(scope="module")
def cluster():
    path = os.pathsep.join([str(pathlib.Path(tenon.__file__).parents[1]), str(HERE)])
    # CPUs of Ray are a number for its planning; this many workers fit on any machine.
    ray.init(
        num_cpus=4, include_dashboard=False, log_to_driver=False, configure_logging=False, object_store_memory=128 << 20,
        runtime_env={"env_vars": {"PYTHONPATH": path, "TENON_LIBRARY": os.environ.get("TENON_LIBRARY", "")}})
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def digits():
    folder = HERE.parent / "Fixtures/digits"
    images = read_idx(folder / "heldout-images-idx3-ubyte").astype(np.float32)[:, None] / 255
    return folder / "digits.onnx", images, read_idx(folder / "heldout-labels-idx1-ubyte")


class Telling(tenon_ray.Predictor):
    """Adds who computed a row, and with how many threads."""

    def __call__(self, batch):
        count = len(batch["id"])
        threads = self.executable._options["threads"]
        return {**super().__call__(batch), "process": np.full(count, os.getpid()), "threads": np.full(count, threads)}


class Dying(Telling):
    """Its process ends at row 17, the first time that it comes."""

    def __init__(self, marker, **arguments):
        super().__init__(**arguments)
        self.marker = pathlib.Path(marker)

    def __call__(self, batch):
        if 17 in batch["id"] and not self.marker.exists():
            self.marker.touch()
            os._exit(1)
        return super().__call__(batch)


def dataset(images):
    return ray.data.from_items(
        [{"id": index, "pixels": image} for index, image in enumerate(images)], override_num_blocks=12)


def collect(result):
    rows = sorted(result.take_all(), key=lambda row: row["id"])
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def test_several_workers(cluster, digits):
    path, images, labels = digits
    result = collect(tenon_ray.map_batches(
        dataset(images), tenon.load(path).optimize(), workers=2, cpus_per_worker=2, batch_size=16,
        inputs={"image": "pixels"}, outputs={"probabilities": "scores"}, worker=Telling))
    assert sorted(result) == ["id", "process", "scores", "threads"]
    assert list(result["id"]) == list(range(len(images)))
    assert len(set(result["process"])) == 2 and os.getpid() not in result["process"]
    # Threads are the CPUs that Ray gave.
    assert set(result["threads"]) == {2}
    run = tenon.compile(tenon.load(path).optimize())
    np.testing.assert_allclose(result["scores"], [run(image[None])[0] for image in images], atol=1e-5)
    assert (result["scores"].argmax(1) == labels).mean() >= 0.97


@pytest.mark.parametrize("kind", ["path", "bytes"])
def test_killed_worker(cluster, digits, tmp_path, kind):
    path, images, _ = digits
    model = path if kind == "path" else path.read_bytes()
    marker = tmp_path / "died"
    arguments = dict(workers=2, batch_size=8, inputs={"image": "pixels"}, options={"marker": str(marker)}, worker=Dying)
    result = collect(tenon_ray.map_batches(dataset(images), model, **arguments))
    assert marker.exists()
    # Every row once.
    assert list(result["id"]) == list(range(len(images)))
    run = tenon.compile(tenon.load(path).optimize())
    np.testing.assert_allclose(result["probabilities"], [run(image[None])[0] for image in images], atol=1e-5)


def test_any_number_of_rows():
    module = tenon.Module.parse("fn @main(%x: f32[n,2]) -> f32[n,2] { %y: f32[n,2] = nn.relu(%x)  return %y }")
    predictor = tenon_ray.Predictor(module, threads=1)
    for count in (1, 3, 7):
        batch = {"x": np.full((count, 2), -1, np.float32), "name": np.array(["a"] * count)}
        result = predictor(batch)
        assert list(result) == ["name", "y"] and result["y"].shape == (count, 2) and not result["y"].any()


def test_fixed_number_of_rows(rng):
    module = tenon.Module.parse("fn @main(%x: f32[4,2]) -> f32[4,2] { %y: f32[4,2] = nn.relu(%x)  return %y }")
    predictor = tenon_ray.Predictor(module, keep=[], threads=1)
    for count in (1, 4, 9):
        x = rng.random((count, 2), np.float32) - 0.5
        np.testing.assert_array_equal(predictor({"x": x, "id": np.arange(count)})["y"], np.maximum(x, 0))


def test_wrong_arguments():
    module = tenon.Module.parse("fn @main(%x: f32[n,2]) -> f32[n,2] { %y: f32[n,2] = nn.relu(%x)  return %y }")
    with pytest.raises(tenon.InvalidArgumentError, match="no input 'z'; expected 'x'"):
        tenon_ray.Predictor(module, inputs={"z": "column"})
    with pytest.raises(tenon.InvalidArgumentError, match="no column 'x'; found id"):
        tenon_ray.Predictor(module)({"id": np.arange(3)})
    with pytest.raises(tenon.InvalidTypeError):
        tenon_ray.Predictor(module)({"x": np.zeros((3, 2))})
    with pytest.raises(TypeError):
        tenon_ray.Predictor(3)
    scalar = tenon.Module.parse("fn @main(%x: f32[]) -> f32[] { %y: f32[] = nn.relu(%x)  return %y }")
    with pytest.raises(tenon.InvalidShapeError):
        tenon_ray.Predictor(scalar)
