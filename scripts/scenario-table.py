#!/usr/bin/env python3
"""Writes docs/scenarios.md: which test covers which behavioural scenario of matching, rewriting, fusing and merging.

A Swift test covers a scenario when its display name begins with the scenario's ID; a Python or C test when its text names
the ID, or runs Tests/Fixtures/scenarios/scenarios.txt or bindings.txt, where the ID heads a case. With --check nothing is written, and the exit status tells whether the page is up to date and complete.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "scenarios.md"
BINDINGS = ROOT / "Tests/Fixtures/scenarios/bindings.txt"

FAMILIES = [
    ("M", 29, "Matching", "One pattern against one expression, and related nodes against a block."),
    ("R", 14, "Rewriting", "Rules that replace what matched, round after round until nothing changes."),
    ("F", 37, "Fusing by pattern", "`FuseOpsByPattern`: composites, their parameters, outputs, names and order."),
    ("C", 19, "Merging composites", "`MergeCompositeFunctions`: regions of one backend."),
    ("B", 37, "Trivial bindings", "`CanonicalizeBindings`."),
    ("W", 28, "Rules of a before and an after", "`PatternMatchingRewriter`, `tenon_module_rewrite`."),
    ("D", 4, "Import and external code", "Imported layers, and regions that a backend runs."),
]

# Where the behaviour of Apache TVM's own tests is shown, or why it is not.
SOURCES = [
    ("every test by name", "[tvm-tests.md](tvm-tests.md)"),
    ("`test_dataflow_pattern` (58)", "M, R, in TVM's order; calls of kernels of a lower level by name or with destinations are "
     "calls of what the library does not know: `Python/test_tvmscript.py`. What such tests show about nesting, edges, diamonds and forks "
     "is M-12 and M-15 to M-24 with operators"),
    ("`test_transform_fuse_ops_by_pattern` (27)", "F; the lists of patterns for GPUs are not taken over, what they show is F-16, F-17, F-20 "
     "and F-22; a low-level kernel behind a convolution is F-11 with a call that nothing knows"),
    ("`test_transform_merge_composite_functions` (12)", "C; the low-level kernel between composites is C-09"),
    ("`test_dataflow_rewriter` (28)", "W, by position"),
    ("`test_transform_canonicalize_bindings` (37)", "B"),
    ("`test_codegen_dnnl` (1), imported convolutions (3)", "D"),
    ("`test_codegen_cutlass`, `_cublas`, `_cudnn`, `_tensorrt`, `_coreml`, `_gna`", "other vendors' libraries; the way to a backend of a "
     "host is the same for all: D-04, `C/test_backend.c`, `Python/test_backend.py`"),
    ("random graphs", "`Python/test_against_tvm.py`: partitions equal TVM's, function by function; five thousand more with `make soak`"),
]

# Scenarios that no test can or need show, with the reason.
LEFT_OUT = {
    "B-18": "A literal that a block shows is returned by its name here; `FoldConstant` passes literals on.",
    "B-37": "TVM expects to fail here too: a name with a wider type than its value. A binding has the type of its value here.",
    "W-03": "A rule consists of functions of this library alone: what is another kind of function cannot be written in one.",
    "W-05": "As W-03.",
    "W-12": "Byte offsets of views are numbers here, none that depend on a size or an element type; sizes that a rule leaves open are W-27 and W-28.",
    "W-15": "TVM refuses a rule whose own functions are public; here they come into the module as they are written.",
    "F-19": "Cannot arise: a value is an index into its own function's table, so that two functions cannot share one.",
}


def titled_tests():
    """Yields ID, title and where."""
    for path in sorted((ROOT / "Tests").rglob("*.swift")):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r'@Test\(\s*"([MRFCDBW]-\d\d) ([^"]*)"', text):
            yield match.group(1), match.group(2), path
    # Cases of bindings have their titles beside their IDs, whoever runs them.
    for match in re.finditer(r"^=== ([BW]-\d\d) (.*)", BINDINGS.read_text(encoding="utf-8"), flags=re.M):
        yield match.group(1), match.group(2), ROOT / "Tests/Python/test_binding_scenarios.py"
    for path in sorted((ROOT / "Tests/Python").glob("*.py")):
        for match in re.finditer(r"^    # ([BW]-\d\d) (.*)", path.read_text(encoding="utf-8"), flags=re.M):
            yield match.group(1), match.group(2), path


def other_tests():
    """Yields ID and file for Python and C tests that name a scenario, or run it from the file of cases."""
    cases = ROOT / "Tests/Fixtures/scenarios/scenarios.txt"
    for scenario in sorted(set(re.findall(r"^=== ([MRFCDBW]-\d\d)$", cases.read_text(encoding="utf-8"), flags=re.M))):
        yield scenario, ROOT / "Tests/C/test_scenarios.c"
        yield scenario, ROOT / "Tests/Python/test_scenarios.py"
    for scenario in sorted(set(re.findall(r"^=== ([BW]-\d\d) ", BINDINGS.read_text(encoding="utf-8"), flags=re.M))):
        yield scenario, ROOT / "Tests/Python/test_binding_scenarios.py"
    for path in sorted((ROOT / "Tests").rglob("*")):
        if path.suffix not in (".py", ".c", ".cpp"):
            continue
        for scenario in sorted(set(re.findall(r"\b[MRFCDBW]-\d\d\b", path.read_text(encoding="utf-8")))):
            yield scenario, path


def page():
    tests = {}
    for scenario, title, path in titled_tests():
        tests.setdefault(scenario, []).append((title, path))
    others = {}
    for scenario, path in other_tests():
        others.setdefault(scenario, []).append(path)
    lines = [
        "# Scenarios",
        "",
        "Generated by `scripts/scenario-table.py`; do not edit. The behaviour of patterns and of the two passes is pinned",
        "scenario by scenario; the ID stands in front of each test's name, so that",
        "`swift test --filter TenonRewriteTests` says which behaviour broke.",
    ]
    missing = []
    for letter, count, name, summary in FAMILIES:
        lines += ["", f"## {name}", "", summary, "", "| ID | what the tests say | where |", "| --- | --- | --- |"]
        for number in range(1, count + 1):
            scenario = f"{letter}-{number:02d}"
            if scenario in tests:
                titles = "; ".join(title for title, _ in tests[scenario])
                places = {path.relative_to(ROOT / "Tests").as_posix() for _, path in tests[scenario]}
                places |= {path.relative_to(ROOT / "Tests").as_posix() for path in others.get(scenario, [])}
                where = ", ".join(f"`{place}`" for place in sorted(places))
            elif scenario in LEFT_OUT:
                titles, where = LEFT_OUT[scenario], "no test"
            else:
                missing.append(scenario)
                continue
            lines.append(f"| {scenario} | {titles} | {where} |")
    lines += ["", "## Tests of Apache TVM", "", "| tests of TVM | here |", "| --- | --- |"]
    lines += [f"| {source} | {where} |" for source, where in SOURCES]
    return "\n".join(lines) + "\n", missing


def main():
    text, missing = page()
    if missing:
        print("no test and no reason: " + ", ".join(missing), file=sys.stderr)
    if "--check" in sys.argv[1:]:
        if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
            print(f"{PAGE.relative_to(ROOT)} is out of date; run scripts/scenario-table.py", file=sys.stderr)
            return 1
    else:
        PAGE.write_text(text, encoding="utf-8")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
