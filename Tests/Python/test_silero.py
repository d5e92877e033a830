"""Silero VAD, as others wrote it, on Tenon instead of ONNX Runtime: the same stretches of speech in the same recording."""

import importlib
import shutil
import subprocess
import wave
import warnings

import numpy as np
import pytest

import programs
import tenon.onnxruntime

torch = pytest.importorskip("torch")
for needed in ("silero_vad", "packaging"):
    if importlib.util.find_spec(needed) is None:
        pytest.skip(f"{needed} is not installed", allow_module_level=True)
onnxruntime = pytest.importorskip("onnxruntime")
if shutil.which("espeak-ng") is None:
    pytest.skip("espeak-ng is not installed", allow_module_level=True)

SENTENCES = ["A tenon joins two pieces of timber without a nail.", "Operators are joined as well."]


def speak(sentence, folder, rate):
    """A sentence as samples at `rate` per second."""
    path = folder / "speech.wav"
    subprocess.run(["espeak-ng", "-v", "en", "-w", path, sentence], check=True)
    with wave.open(str(path)) as file:
        own = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    times = np.arange(int(len(samples) * rate / own)) / rate
    return np.interp(times, np.arange(len(samples)) / own, samples).astype(np.float32)


@pytest.fixture(scope="module", params=[16000, 8000])
def recording(request, tmp_path_factory):
    folder, rate = tmp_path_factory.mktemp("speech"), request.param
    noise = np.random.default_rng(1).normal(0, 1e-3, rate).astype(np.float32)
    parts = [noise]
    for sentence in SENTENCES:
        parts += [speak(sentence, folder, rate), noise]
    return rate, np.concatenate(parts)


def listen(runtime, samples, rate, **model):
    with programs.on(runtime, "silero_vad") as calls, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = importlib.import_module("silero_vad")
        if model.get("sequence"):
            module = importlib.import_module("silero_vad.sequence_vad")
            vad = package.load_silero_vad(sampling_rate=rate, max_frames=64, **model)
            found = module.get_speech_timestamps_sequence(samples, vad, sampling_rate=rate)
        else:
            vad = package.load_silero_vad(**model)
            found = package.get_speech_timestamps(torch.from_numpy(samples), vad, sampling_rate=rate)
    return found, calls


@pytest.mark.parametrize("model", [
    pytest.param({"onnx": True}, id="if"),
    pytest.param({"onnx": True, "opset_version": 15}, id="opset15"),
    pytest.param({"sequence": True}, id="sequence"),
])
def test_same_speech(recording, model):
    rate, samples = recording
    if rate != 16000 and model != {"onnx": True}:
        pytest.skip("this model is for 16,000 samples per second")
    expected, expected_calls = listen(onnxruntime, samples, rate, **model)
    found, found_calls = listen(tenon.onnxruntime, samples, rate, **model)
    assert found == expected
    # The pause between both sentences is found, so that there is something to be the same.
    assert len(found) >= 2
    programs.assert_same_answers(found_calls, expected_calls)
