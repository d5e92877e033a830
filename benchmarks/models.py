#!/usr/bin/env python3
"""Models that others trained, on Tenon and on ONNX Runtime: time of a run, side by side.

usage: models.py [--threads N] [--rounds N] [--seconds S] [--json FILE] [NAME...]

Each model has one process per engine. They take turns in short blocks with pauses between, because the threads of an idle
engine go on spinning for a while; so both see the same machine. The medians of all runs are compared. What runs is the same
program: only what `onnxruntime` stands for differs. Besides, the table says how much of Tenon's time is spent outside of
oneDNN.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np

ENGINES = {"tenon": "tenon.onnxruntime", "onnxruntime": "onnxruntime"}
PAUSE = 0.3


def folder(package: str) -> pathlib.Path:
    found = importlib.util.find_spec(package)
    if found is None:
        raise FileNotFoundError(f"{package} is not installed")
    return pathlib.Path(list(found.submodule_search_locations)[0])


def rapidocr(name: str):
    return lambda _: folder("rapidocr_onnxruntime") / "models" / name


def silero(name: str):
    return lambda _: folder("silero_vad") / "data" / name


def magika(_: pathlib.Path) -> pathlib.Path:
    return next(folder("magika").glob("models/*/model.onnx"))


def mtcnn(name: str):
    def export(work: pathlib.Path) -> pathlib.Path:
        sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "Tests/Python"))
        import facenet

        path = work / f"{name}.onnx"
        path.write_bytes(facenet.export(facenet.load(), name))
        return path

    return export


def signal(*shape: int):
    return lambda rng: (rng.random(shape, np.float32) * 2 - 1)


def still(*shape: int):
    return lambda rng: np.zeros(shape, np.float32)


#: Name: where the model is, and its inputs.
MODELS = {
    "PP-OCRv4 detection, 480x640": (rapidocr("ch_PP-OCRv4_det_infer.onnx"), {"x": signal(1, 3, 480, 640)}),
    "PP-OCRv4 recognition, 48x320": (rapidocr("ch_PP-OCRv4_rec_infer.onnx"), {"x": signal(1, 3, 48, 320)}),
    "PP-OCR direction, 6 lines": (rapidocr("ch_ppocr_mobile_v2.0_cls_infer.onnx"), {"x": signal(6, 3, 48, 192)}),
    "Silero VAD, one frame": (silero("silero_vad.onnx"), {
        "input": signal(1, 576), "state": still(2, 1, 128), "sr": lambda _: np.array(16000, np.int64)}),
    "Silero VAD, one frame, without If": (silero("silero_vad_openvino_16k.onnx"), {
        "input": signal(1, 576), "state": still(2, 1, 128)}),
    "Silero VAD, sequence of 64 frames": (silero("silero_vad_16k_sequence.onnx"), {
        "input": signal(64, 576), "h": still(1, 1, 128), "c": still(1, 1, 128)}),
    "Magika, one file": (magika, {"bytes": lambda rng: rng.integers(0, 257, (1, 2048)).astype(np.int32)}),
    "Magika, 16 files": (magika, {"bytes": lambda rng: rng.integers(0, 257, (16, 2048)).astype(np.int32)}),
    "MTCNN PNet, 240x200": (mtcnn("pnet"), {"x": signal(1, 3, 240, 200)}),
    "MTCNN RNet, 32 windows": (mtcnn("rnet"), {"x": signal(32, 3, 24, 24)}),
    "MTCNN ONet, 8 windows": (mtcnn("onet"), {"x": signal(8, 3, 48, 48)}),
}


# One engine: obeys lines on its standard input.


def serve(engine: str, path: str, name: str, threads: int, answers: str) -> None:
    runtime = importlib.import_module(ENGINES[engine])
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    rng = np.random.default_rng(1)
    feed = {key: make(rng) for key, make in MODELS[name][1].items()}
    try:
        session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        results = session.run(None, feed)
    except Exception as error:
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    np.savez(answers, *results)
    for _ in range(3):
        session.run(None, feed)
    print(json.dumps({}), flush=True)
    for line in sys.stdin:
        if line.startswith("profile"):
            print(json.dumps(profile(session, feed)), flush=True)
            continue
        end, times = time.perf_counter() + float(line), []
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            session.run(None, feed)
            times.append(time.perf_counter() - start)
        print(json.dumps(times), flush=True)


def profile(session, feed) -> dict:
    """Share of the time of steps that are no primitives of oneDNN, and what takes longest among them."""
    executable = session._executable
    sums: dict[str, float] = {}
    inside = 0.0
    for _ in range(5):
        executable.run(feed, profile=True)
        for step in executable.profile():
            if step.implementation.startswith(("tenon:", "swift")) or step.composite == "reorder":
                sums[step.composite] = sums.get(step.composite, 0) + step.nanoseconds / 5
            else:
                inside += step.nanoseconds / 5
    outside = sum(sums.values())
    return {
        "outside_onednn": outside / max(outside + inside, 1),
        "slowest_outside": dict(sorted(sums.items(), key=lambda entry: -entry[1])[:5]),
    }


class Worker:
    def __init__(self, engine: str, path: pathlib.Path, name: str, threads: int, answers: pathlib.Path):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", engine, str(path), name, str(threads), str(answers)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
        self.error = json.loads(self.process.stdout.readline() or '{"error": "ended early"}').get("error")

    def ask(self, line: str):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def measure(name: str, arguments: argparse.Namespace, work: pathlib.Path) -> dict:
    make, _ = MODELS[name]
    try:
        path = make(work)
    except (ImportError, FileNotFoundError) as error:
        return {"model": name, "error": str(error)}
    answers = {engine: work / f"{engine}.npz" for engine in ENGINES}
    workers = {engine: Worker(engine, path, name, arguments.threads, answers[engine]) for engine in ENGINES}
    try:
        for engine, worker in workers.items():
            if worker.error:
                return {"model": name, "error": f"{engine}: {worker.error}"}
        times: dict[str, list[float]] = {engine: [] for engine in ENGINES}
        for turn in range(arguments.rounds):
            # Who goes first changes, so that neither always follows the other.
            for engine in list(ENGINES)[:: 1 if turn % 2 else -1]:
                time.sleep(PAUSE)
                times[engine] += workers[engine].ask(str(arguments.seconds))
        own = workers["tenon"].ask("profile")
    finally:
        for worker in workers.values():
            worker.close()
    medians = {engine: float(np.median(values)) * 1e3 for engine, values in times.items()}
    with np.load(answers["tenon"]) as found, np.load(answers["onnxruntime"]) as expected:
        difference = max(
            float(np.abs(found[key] - expected[key]).max() / max(np.abs(expected[key]).max(), 1e-30)) for key in expected)
    return {
        "model": name, "milliseconds": medians, "ratio": medians["onnxruntime"] / medians["tenon"],
        "p90": {engine: float(np.quantile(values, 0.9)) * 1e3 for engine, values in times.items()},
        "runs": {engine: len(values) for engine, values in times.items()}, "relative_difference": difference, **own,
    }


def row(result: dict) -> str:
    if "error" in result:
        return f"| {result['model']} | {result['error'].splitlines()[0][:80]} | | | | |"
    times = result["milliseconds"]
    slowest = ", ".join(result["slowest_outside"]) or "–"
    return (f"| {result['model']} | {times['tenon']:.3f} | {times['onnxruntime']:.3f} | {result['ratio']:.2f} | "
            f"{result['relative_difference']:.0e} | {result['outside_onednn']:.0%}: {slowest} |")


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        engine, path, name, threads, answers = sys.argv[2:]
        return serve(engine, path, name, int(threads), answers)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.3, help="of one block")
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("names", nargs="*", help="parts of names of models; all by default")
    arguments = parser.parse_args()
    chosen = [name for name in MODELS if not arguments.names or any(part in name for part in arguments.names)]
    results = []
    print(f"milliseconds of one run, {arguments.threads} threads, medians\n", flush=True)
    print("| model | Tenon | ONNX Runtime | times as fast | difference | outside of oneDNN |")
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as work:
        for name in chosen:
            results.append(measure(name, arguments, pathlib.Path(work)))
            print(row(results[-1]), flush=True)
    if arguments.json:
        import onnxruntime

        document = {"threads": arguments.threads, "onnxruntime": onnxruntime.__version__, "results": results}
        arguments.json.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
