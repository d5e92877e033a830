#!/usr/bin/env python3
"""Exports models of torchvision and timm to ONNX (operator set 17, random weights), runs them on Tenon and on ONNX
Runtime, each in a process of its own, and writes the table of docs/onnx-models.md. usage: onnx-table.py [--write] [NAME...]

Rows are kept in build/onnx-models.json: with names only these are measured, without names all that have no row yet.
The page is written when all have one, and by --write from those that there are."""

import json
import os
import pathlib
import resource
import subprocess
import sys
import tempfile
import textwrap
import warnings

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/onnx-models.md"
ROWS = ROOT / "build/onnx-models.json"
BEGIN, END = "<!-- models -->\n", "<!-- end of models -->\n"
LIMIT = 1e-3

TIMM = [
    # Convolutions
    "resnet50d", "seresnet50", "efficientnet_b0", "tf_efficientnetv2_b0", "mobilenetv4_conv_small", "ghostnet_100",
    "regnety_002", "convnext_atto", "convnextv2_atto", "dla34", "res2net50_26w_4s", "nfnet_l0", "inception_v4", "repvgg_a0",
    # Mixers
    "mixer_s32_224", "resmlp_12_224", "gmlp_s16_224", "poolformer_s12", "sequencer2d_s",
    # Transformers, and convolutions with attention
    "vit_tiny_patch16_224", "deit3_small_patch16_224", "swinv2_tiny_window8_256", "cait_xxs24_224", "levit_128s",
    "coat_tiny", "crossvit_tiny_240", "xcit_nano_12_p16_224", "maxvit_tiny_tf_224", "mobilevit_xxs", "edgenext_xx_small",
]


def names_of_all():
    import torch_models

    models = torch_models.torchvision().models
    return ["torchvision/" + name for name in models.list_models(module=models)] + ["timm/" + name for name in TIMM]


def export(model, x, path):
    """The file, by the exporter that traces, or by the one that torch.export feeds where that fails; says which."""
    import torch

    options = {"opset_version": 17, "input_names": ["x"], "output_names": ["y"]}
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(model, (x,), path, dynamo=False, **options)
            return "tracing"
        except Exception:  # what it cannot trace fails in many ways
            torch.onnx.export(model, (x,), path, dynamo=True, **options)
            return "torch.export"


def one(name):
    sys.path[:0] = [str(ROOT / "python"), str(ROOT / "Tests/Python")]
    import numpy as np
    import onnxruntime
    import torch_models

    import tenon

    model, x = torch_models.make(name)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        exporter = export(model, x, path)
        del model
        x = x.numpy()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        expected = session.run(None, {session.get_inputs()[0].name: x})
        del session
        module = tenon.Module.load_onnx(path)
        operators = sum(torch_models.operators_of(module)[0].values())
        optimized = module.optimize()
        outside, inside, regions = torch_models.operators_of(optimized)
        found = tenon.compile(optimized, threads=1).run([x])
    assert [y.shape for y in found] == [y.shape for y in expected]
    assert all(np.isfinite(y).all() for y in expected)
    error = max(float(np.abs(a - b).max() / max(np.abs(b).max(), 1e-30)) for a, b in zip(found, expected))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print("RESULT " + json.dumps({
        "error": error, "operators": operators, "offloaded": sum(inside.values()), "regions": regions,
        "left": dict(outside), "exporter": exporter, "memory": memory}))


def compare(name):
    run = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    if run.returncode or not lines:
        said = (run.stderr.strip().splitlines() or [f"status {run.returncode}"])[-1]
        return {"failure": f"status {run.returncode}: {said}"}
    return json.loads(lines[0][7:])


def row(name, found):
    if "failure" in found:
        return f"| {name} | {found['failure'][:200]} | | | | |"
    left = ", ".join(
        f"{operator} {count}" for operator, count in sorted(found["left"].items(), key=lambda item: -item[1]))
    return (f"| {name} | {found['error']:.1e} | {found['operators']} | {found['offloaded']} | "
            f"{found['regions']} | {left} |")


def has_failed(found):
    return "failure" in found or not found["error"] <= LIMIT


def write(rows, names):
    measured = [name for name in names if name in rows]
    missing = [name for name in names if name not in rows]
    failed = [name for name in measured if has_failed(rows[name])]
    worst = max((rows[name]["error"] for name in measured if "error" in rows[name]), default=0)
    says = f"{len(measured)} of {len(names)} models measured; largest difference {worst:.1e}; "
    says += f"{len(failed)} failed or differ by more than {LIMIT:g}"
    says += (": " + ", ".join(failed) if failed else "") + "."
    if missing:
        says += " Not measured: " + ", ".join(missing) + "."
    other = [name for name in measured if rows[name].get("exporter") == "torch.export"]
    if other:
        says += " Exported by way of torch.export, since they cannot be traced: " + ", ".join(other) + "."
    head, rest = PAGE.read_text().split(BEGIN)
    _, tail = rest.split(END)
    columns = ("| model | difference | operators | on oneDNN | regions | on kernels |\n"
               "| --- | --- | --- | --- | --- | --- |\n")
    table = "\n".join(row(name, rows[name]) for name in measured)
    says = textwrap.fill(says, 120, break_long_words=False)
    PAGE.write_text(f"{head}{BEGIN}{says}\n\n{columns}{table}\n{END}{tail}")
    print(says)


def main(arguments):
    if arguments[:1] == ["--one"]:
        return one(arguments[1])
    sys.path.insert(0, str(ROOT / "Tests/Python"))
    rows = json.loads(ROWS.read_text()) if ROWS.exists() else {}
    names = [name for name in arguments if name != "--write"]
    every = names_of_all() if not names else []
    if "--write" not in arguments:
        for name in names or [name for name in every if name not in rows]:
            rows[name] = compare(name)
            print(row(name, rows[name]), flush=True)
            ROWS.parent.mkdir(exist_ok=True)
            ROWS.write_text(json.dumps(rows, indent=1))
    if names:
        return 1 if any(has_failed(rows[name]) for name in names) else 0
    write(rows, every)
    return 1 if any(has_failed(found) for found in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
