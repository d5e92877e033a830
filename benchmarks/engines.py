"""One engine with one ONNX model in one process, driven through pipes by ``sidebyside``.

usage: engines.py ENGINE MODEL THREADS BATCH [CALLERS]

First line written: JSON with the seconds from file to ready, packages imported, and the peak memory in KiB. Then, for each line read, a number
of runs: after a pause and two runs to warm up, the seconds of each run as a JSON list. With several callers, each thread does so many
runs, all at once, and the list has one entry: the seconds per run. For a line "steps N", Tenon answers with the sum over its steps of
the fastest of N times of each; other engines answer null.
"""

from __future__ import annotations

import json
import sys
import threading
import time

import numpy as np

DTYPES = {"float": np.float32, "double": np.float64, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


def tenon_runner(path: str, threads: int, batch: int, mode: str):
    import tenon
    from tenon import transform

    module = tenon.load(path)
    if mode == "unfused":
        module = transform.Sequential([
            transform.FoldConstant(), transform.OffloadOpsToDNNL(), transform.AnnotateCodegen()])(module)
    elif mode == "fused":
        module = transform.AnnotateCodegen()(module.optimize(disabled=["MergeCompositeFunctions"]))
    else:
        module = module.optimize()
    executable = tenon.compile(module, threads=threads, tuning=3.0 if mode == "tuned" else 0.0)
    return executable, [(port.name, port.shape, port.dtype) for port in executable.inputs], \
        lambda: lambda values: executable.run(values)


def ort_runner(path: str, threads: int, batch: int):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    ports = [(port.name, port.shape, DTYPES[port.type[7:-1]]) for port in session.get_inputs()]
    names = [port[0] for port in ports]
    return session, ports, lambda: lambda values: session.run(None, dict(zip(names, values)))


def openvino_runner(path: str, threads: int, batch: int):
    import openvino

    core = openvino.Core()
    model = core.compile_model(path, "CPU", {
        "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"})
    ports = [(port.get_any_name(), [size.get_length() if size.is_static else "n" for size in port.get_partial_shape()],
              port.get_element_type().to_dtype()) for port in model.inputs]

    def caller():
        request = model.create_infer_request()
        return lambda values: request.infer(values, share_inputs=True)

    return model, ports, caller


def torch_runner(path: str, threads: int, batch: int, mode: str):
    import torch
    from torchvision_models import build

    torch.set_num_threads(threads)
    model = build(path.rsplit("/", 1)[-1].removesuffix(".onnx"))
    if mode == "inductor":
        import torch._inductor.config

        torch._inductor.config.freezing = True
        model = torch.compile(model)

    def run(values):
        with torch.inference_mode():
            return [model(torch.from_numpy(values[0])).numpy()]

    shape = [batch, 3, 224, 224]
    run([np.zeros(shape, np.float32)])
    return model, [("x", shape, np.float32)], lambda: run


def peak_kib() -> int:
    """Of this program only; getrusage would count what the parent held when it forked."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))


def make(engine: str, path: str, threads: int, batch: int):
    if engine == "ort":
        return ort_runner(path, threads, batch)
    if engine == "openvino":
        return openvino_runner(path, threads, batch)
    if engine in ("eager", "inductor"):
        return torch_runner(path, threads, batch, engine)
    return tenon_runner(path, threads, batch, engine.removeprefix("tenon").lstrip("-"))


def timed(run, values, runs: int) -> list[float]:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        run(values)
        times.append(time.perf_counter() - start)
    return times


def together(callers, values, runs: int) -> list[float]:
    """The seconds per run of threads that all run at once."""
    workers = [threading.Thread(target=timed, args=(run, values, runs)) for run in callers]
    start = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return [(time.perf_counter() - start) / (runs * len(callers))]


def fastest_steps(executable, values, runs: int) -> float | None:
    if not hasattr(executable, "profile"):
        return None
    nanoseconds = [[step.nanoseconds for step in executable.profile(values)] for _ in range(runs)]
    return sum(map(min, zip(*nanoseconds))) / 1e9


def main() -> None:
    engine, path, threads, batch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    __import__({"ort": "onnxruntime", "openvino": "openvino", "eager": "torch", "inductor": "torch"}.get(engine, "tenon"))
    start = time.perf_counter()
    executable, ports, caller = make(engine, path, threads, batch)
    callers = [caller() for _ in range(int(sys.argv[5]) if len(sys.argv) > 5 else 1)]
    run = callers[0]
    ready = time.perf_counter() - start
    generator = np.random.default_rng(0)
    values = [generator.standard_normal([size if isinstance(size, int) else batch for size in shape]).astype(dtype)
              for _, shape, dtype in ports]
    outputs = run(values)
    first = np.asarray(outputs[0] if isinstance(outputs, (list, tuple)) else next(iter(outputs.values())))
    peak = peak_kib()
    print(json.dumps({"ready": ready, "peak_kib": peak, "output": first.ravel()[:1000].astype(float).tolist()}), flush=True)
    for line in sys.stdin:
        time.sleep(0.3)
        for each in callers:
            each(values)
            each(values)
        if line.startswith("steps"):
            answer = fastest_steps(executable, values, int(line.split()[1]))
        else:
            answer = timed(run, values, int(line)) if len(callers) == 1 else together(callers, values, int(line))
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
