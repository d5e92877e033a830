#!/usr/bin/env python3
"""Compares all models of torchvision and timm with PyTorch, each in a process of its own, and writes the table of
docs/pytorch.md. usage: torch-table.py [--check] [NAME...]; with names, only these are compared and nothing is written."""

import json
import pathlib
import resource
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/pytorch.md"
BEGIN, END = "<!-- models -->\n", "<!-- end of models -->\n"
LIMIT = 1e-4


def one(name):
    sys.path[:0] = [str(ROOT / "python"), str(ROOT / "Tests/Python")]
    import torch_models

    found = torch_models.compare(name)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print("RESULT " + json.dumps({**found._asdict(), "memory": memory}))


def compare(name):
    run = subprocess.run([sys.executable, __file__, "--one", name], capture_output=True, text=True)
    lines = [line for line in run.stdout.splitlines() if line.startswith("RESULT ")]
    if run.returncode or not lines:
        said = (run.stderr.strip().splitlines() or [f"status {run.returncode}"])[-1]
        return {"name": name, "failure": f"status {run.returncode}: {said}"}
    return json.loads(lines[0][7:])


def row(found):
    if "failure" in found:
        return f"| {found['name']} | {found['failure'][:120]} | | | | |"
    left = ", ".join(
        f"{operator} {count}" for operator, count in sorted(found["left"].items(), key=lambda item: -item[1]))
    return (f"| {found['name']} | {found['error']:.1e} | {found['operators']} | {found['offloaded']} | "
            f"{found['regions']} | {left} |")


def main(names):
    if names[:1] == ["--one"]:
        return one(names[1])
    sys.path.insert(0, str(ROOT / "Tests/Python"))
    import torch_models

    rows, failed = [], []
    for name in names or torch_models.all_models():
        found = compare(name)
        if "failure" in found or found["error"] > LIMIT:
            failed.append(name)
        rows.append(row(found))
        print(rows[-1], flush=True)
    print(f"{len(rows)} models, {len(failed)} not within {LIMIT:g}: {', '.join(failed)}")
    if not names:
        text = PAGE.read_text()
        head, rest = text.split(BEGIN)
        _, tail = rest.split(END)
        columns = ("| model | largest error | operators | on oneDNN | regions | on kernels |\n"
                   "| --- | --- | --- | --- | --- | --- |\n")
        PAGE.write_text(head + BEGIN + columns + "\n".join(rows) + "\n" + END + tail)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
