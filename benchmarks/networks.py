"""Tenon beside ONNX Runtime, OpenVINO and, when asked, PyTorch, on torchvision's networks.

Writes a JSON file, a chart (SVG) and a table (Markdown); the table is printed too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
from pathlib import Path

import chart
from sidebyside import compare
from torchvision_models import NETWORKS, export

PEERS = {"ort", "openvino", "eager", "inductor"}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", help=f"of {', '.join(NETWORKS)}; all by default")
    parser.add_argument("--engines", default="tenon,ort,openvino",
                        help="also tenon-unfused (one primitive per operator, plain layouts between), tenon-fused (composites, plain layouts between), tenon-tuned, eager, inductor")
    parser.add_argument("--threads", type=int, default=min(2, len(os.sched_getaffinity(0))))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--callers", type=int, default=1, help="threads that run the same network at once")
    parser.add_argument("--seconds", type=float, default=2.0, help="of measuring per engine and network")
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    return parser.parse_args()


def geometric_mean(values: list[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


def table(results: dict[str, dict], engines: list[str]) -> str:
    peers = [engine for engine in engines if engine in PEERS]
    lines = ["| network | " + " | ".join(f"{engine} ms" for engine in engines) + " | best peer / tenon | tenon / its steps | ready s | peak MiB |",
             "| --- |" + " --- |" * (len(engines) + 4)]
    ratios = []
    for name, result in results.items():
        row = [f"{result[engine]['milliseconds']:.2f}" for engine in engines]
        ratio = min((result[engine]["milliseconds"] for engine in peers), default=math.nan) / result["tenon"]["milliseconds"]
        ratios.append(ratio)
        ready = " / ".join(f"{result[engine]['ready_seconds']:.2f}" for engine in engines)
        peak = " / ".join(f"{result[engine]['peak_mib']:.0f}" for engine in engines)
        steps = result["tenon"].get("steps_milliseconds")
        overhead = f"{result['tenon']['milliseconds'] / steps:.2f}" if steps else ""
        lines.append(f"| {name} | {' | '.join(row)} | {ratio:.2f} | {overhead} | {ready} | {peak} |")
    if peers:
        lines.append(f"| geometric mean |{' |' * len(engines)} {geometric_mean(ratios):.2f} | | | |")
    return "\n".join(lines)


def main() -> None:
    options = arguments()
    engines = options.engines.split(",")
    if "tenon" not in engines:
        engines.insert(0, "tenon")
    results = {}
    for name in options.networks or NETWORKS:
        model = export(name, options.folder, options.batch)
        results[name] = compare(engines, model.resolve(), options.threads, options.batch, options.callers,
                                options.seconds)
        print(name, " ".join(f"{engine} {values['milliseconds']:.2f}" for engine, values in results[name].items()), flush=True)
        worst = max(values["difference"] for values in results[name].values())
        if worst > 1e-3:
            print(f"  results differ by {worst:.1e} of the largest", flush=True)
    report = table(results, engines)
    print(report)
    stem = options.folder / (
        f"networks-batch{options.batch}-threads{options.threads}"
        + (f"-callers{options.callers}" if options.callers > 1 else ""))
    stem.with_suffix(".json").write_text(json.dumps({
        "threads": options.threads, "batch": options.batch, "callers": options.callers, "machine": platform.machine(), "results": results}, indent=1))
    stem.with_suffix(".md").write_text(report + "\n")
    stem.with_suffix(".svg").write_text(chart.bars(
        {name: {engine: values["milliseconds"] / result["tenon"]["milliseconds"] for engine, values in result.items()}
         for name, result in results.items()}, f"time relative to Tenon, batch {options.batch}, {options.threads} threads"))
    print(f"wrote {stem}.json, .md and .svg")


if __name__ == "__main__":
    main()
