#!/usr/bin/env python3
"""Programs that others wrote for ONNX Runtime, on it and on Tenon: the time of their whole pipelines.

usage: programs.py [--seconds S] [--json FILE] [NAME...]

Nothing differs but what `import onnxruntime` gives; threads and other options are those that the programs choose. Reading
pictures, cutting recordings and all else that a program does besides running its models is part of the time. Both must
give the same answer.
"""

from __future__ import annotations

import argparse
import importlib
import json
import pathlib
import subprocess
import sys
import tempfile
import time
import warnings
import wave

import numpy as np

import blocks

ROOT = pathlib.Path(__file__).resolve().parents[1]
RUNTIMES = {"tenon": "tenon.onnxruntime", "onnxruntime": "onnxruntime"}
LINES = ["Tenon joins operators", "two pieces of timber", "without a nail 2026"]
SENTENCES = "A tenon joins two pieces of timber without a nail. Operators are joined as well."


def rapidocr(_):
    from PIL import Image, ImageDraw, ImageFont

    image = Image.new("RGB", (640, 240), "white")
    draw = ImageDraw.Draw(image)
    for row, line in enumerate(LINES):
        draw.text((30, 20 + 70 * row), line, fill="black", font=ImageFont.load_default(40))
    program = importlib.import_module("rapidocr_onnxruntime").RapidOCR()
    pixels = np.asarray(image)
    return lambda: [text for _, text, _ in program(pixels)[0]]


def magika(_):
    names = ["include/tenon.h", "Package.swift", "Makefile", "README.md", "python/tenon/module.py", "scripts/test.sh"]
    program = importlib.import_module("magika").Magika()
    paths = [ROOT / name for name in names]
    return lambda: [str(result.output.label) for result in program.identify_paths(paths)]


def speech(folder: pathlib.Path):
    """Two sentences at 16,000 samples a second; written by the parent with espeak-ng."""
    with wave.open(str(folder / "speech.wav")) as file:
        own = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16) / 32768
    return np.interp(np.arange(0, len(samples), own / 16000), np.arange(len(samples)), samples).astype(np.float32)


def silero(folder: pathlib.Path):
    import torch

    package = importlib.import_module("silero_vad")
    program, samples = package.load_silero_vad(onnx=True), torch.from_numpy(speech(folder))
    return lambda: package.get_speech_timestamps(samples, program)


def silero_sequence(folder: pathlib.Path):
    package = importlib.import_module("silero_vad")
    module = importlib.import_module("silero_vad.sequence_vad")
    program, samples = package.load_silero_vad(sampling_rate=16000, max_frames=64, sequence=True), speech(folder)
    return lambda: module.get_speech_timestamps_sequence(samples, program, sampling_rate=16000)


#: Name: the package, and what makes it ready.
PROGRAMS = {
    "RapidOCR, a picture with three lines": ("rapidocr_onnxruntime", rapidocr),
    "Magika, six files": ("magika", magika),
    "Silero VAD, two sentences": ("silero_vad", silero),
    "Silero VAD in sequences, two sentences": ("silero_vad", silero_sequence),
}


def serve(runtime: str, name: str, folder: str) -> None:
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(ROOT / "python"))
    sys.modules["onnxruntime"] = importlib.import_module(RUNTIMES[runtime])
    # Importing a program is not starting it.
    package, start_program = PROGRAMS[name]
    importlib.import_module(package)
    start = time.perf_counter()
    try:
        run = start_program(pathlib.Path(folder))
        answer = run()
    except Exception as error:
        return print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
    blocks.serve({"first": time.perf_counter() - start, "answer": answer}, run)


def measure(name: str, seconds: float, folder: str) -> dict:
    processes = {}
    try:
        for runtime in RUNTIMES:
            # One after the other: the time to the first answer counts too.
            processes[runtime] = blocks.Process([__file__, "--serve", runtime, name, folder])
            if "error" in processes[runtime].ready:
                return {"program": name, "error": f"{runtime}: {processes[runtime].ready['error']}"}
        answers = {runtime: process.ready["answer"] for runtime, process in processes.items()}
        times = blocks.alternate(processes, seconds)
        first = {runtime: process.ready["first"] for runtime, process in processes.items()}
    finally:
        for process in processes.values():
            process.close()
    return {"program": name, "seconds": times, "first": first, "same": answers["tenon"] == answers["onnxruntime"]}


def row(result: dict) -> str:
    if "error" in result:
        return f"| {result['program']} | {result['error'][:100]} | | | | |"
    tenon, other = result["seconds"]["tenon"], result["seconds"]["onnxruntime"]
    return (f"| {result['program']} | {tenon * 1e3:.1f} | {other * 1e3:.1f} | {other / tenon:.2f} | "
            f"{result['first']['tenon']:.2f} / {result['first']['onnxruntime']:.2f} | {'same' if result['same'] else 'OTHER'} |")


def main() -> int:
    if sys.argv[1:2] == ["--serve"]:
        serve(*sys.argv[2:])
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=12, help="of each program")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="parts of names of programs; all by default")
    arguments = parser.parse_args()
    chosen = [name for name in PROGRAMS if not arguments.names or any(part in name for part in arguments.names)]
    results = []
    print("| program | Tenon, ms | ONNX Runtime, ms | times as fast | first answer, s | answers |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if any("Silero" in name for name in chosen):
            subprocess.run(["espeak-ng", "-v", "en", "-w", f"{folder}/speech.wav", SENTENCES], check=True)
        for name in chosen:
            results.append(measure(name, arguments.seconds, folder))
            print(row(results[-1]), flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0 if all(result.get("same") for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
