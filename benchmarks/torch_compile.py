#!/usr/bin/env python3
"""PyTorch models: time to the first result, and time per run, of Tenon, Inductor (frozen) and eager PyTorch.

Each engine has a process of its own, and blocks of runs alternate. Printed are ratios measured in one run.

usage: torch_compile.py [--threads N] [--seconds S] [--engines E...] [--cache DIR] [MODEL...]
  --cache DIR   keep Inductor's cache there, so that a second run starts at once (its compile time then means nothing)
"""

import argparse
import os
import pathlib
import sys
import tempfile
import time

import blocks

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODELS = ["resnet50", "mobilenet_v2", "vgg16", "vit_b_16"]
ENGINES = ["eager", "inductor", "tenon", "tenon-backend"]


def serve(engine, name, threads):
    """Makes the model ready, then runs a block for each line of input."""
    sys.path[:0] = [str(ROOT / "python"), str(ROOT / "Tests/Python")]
    import torch
    import torch.export

    torch.set_num_threads(threads)
    import torch_models

    model, x = torch_models.make(f"torchvision/{name}")
    # Importing the compilers is not compiling.
    import torch._inductor.compile_fx

    import tenon.torch

    torch._inductor.config.freezing = engine == "inductor"
    with torch.no_grad():
        expected = model(x)
        start = time.perf_counter()
        if engine == "tenon":
            run = tenon.compile(model, x, threads=threads)
        elif engine == "tenon-backend":
            run = torch.compile(model, backend="tenon", options={"threads": threads})
        else:
            run = torch.compile(model) if engine == "inductor" else model
        found = run(x)
        ready = time.perf_counter() - start
        error = torch_models.error_of(found, expected)
        # In here: without gradients.
        blocks.serve({"ready": ready, "error": error}, lambda: run(x))


def measure(name, engines, threads, seconds, cache):
    environment = {"TORCHINDUCTOR_CACHE_DIR": cache, "OMP_NUM_THREADS": str(threads)}
    processes = {}
    try:
        for engine in engines:
            # One after the other: making ready is measured too.
            processes[engine] = blocks.Process(
                [__file__, "--serve", engine, "--threads", str(threads), name], environment)
        times = blocks.alternate(processes, seconds)
    finally:
        for process in processes.values():
            process.close()
    return {engine: process.ready for engine, process in processes.items()}, times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--engines", nargs="+", choices=ENGINES, default=ENGINES)
    parser.add_argument("--cache")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return serve(options.serve, options.models[0], options.threads)
    print(f"{options.threads} threads; times over eager PyTorch's, time to the first result over Inductor's")
    print(f"{'model':16}{'engine':16}{'first result':>14}{'/ inductor':>12}{'per run':>12}{'/ eager':>10}{'error':>10}")
    for name in options.models:
        with tempfile.TemporaryDirectory() as fresh:
            ready, times = measure(name, options.engines, options.threads, options.seconds, options.cache or fresh)
        inductor = ready["inductor"]["ready"] if "inductor" in ready else float("nan")
        base = times.get("eager", float("nan"))
        for engine in options.engines:
            first = ready[engine]["ready"]
            print(f"{name:16}{engine:16}{first:12.2f} s{first / inductor:12.3f}"
                  f"{times[engine] * 1e3:9.2f} ms{times[engine] / base:10.2f}{ready[engine]['error']:10.1e}",
                  flush=True)


if __name__ == "__main__":
    main()
