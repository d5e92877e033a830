#!/usr/bin/env python3
"""Lists what can trap in the Swift sources, and fails on what nobody has reviewed.

A trap ends the host's process, so nothing that a caller, a file or a text says may reach one unchecked. The constructs that can
trap are counted by folder and kind; scripts/trap-check.txt says how many of each were looked at, and why they hold. Whoever adds
one finds a checked form instead (`dropFirst`, `prefix`, `indices.contains`, `Int(exactly:)`, `…ReportingOverflow`), or reviews it
and raises the number. `--list` shows the places.
"""

import collections
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
NAME = r"[A-Za-z_][A-Za-z0-9_]*"
# A range whose lower bound is 0 and whose upper bound counts something, or whose bounds are numbers, cannot be backwards.
SAFE_RANGE = re.compile(
    r"(?<![\w.)\]])0\s*\.\.<\s*(?:[\w.\[\]$]*(?:\.count|Count|\.rank|rank)\b|\d+)|\d+\s*\.\.[.<]\s*\d+"
    r"|0\s*\.\.<\s*max\(|\.\.[.<](?=[\])])|(?<=[(\[])\.\.[.<]")
KINDS = {
    # x! and x as! T and try!, but not the types of C parameters, `!=`, or a negation.
    "unwrap": re.compile(r"\btry!|\bas!|(?<=[\w)\]])!(?![=\w(])"),
    "fatal": re.compile(r"\b(?:fatalError|precondition|preconditionFailure|assert|assertionFailure|abort|exit)\("),
    "unowned": re.compile(r"\bunowned\b"),
    # Traps when there is nothing to remove.
    "remove": re.compile(r"\.remove(?:First|Last)\("),
    "range": re.compile(r"\.\.[.<]"),
    # Conversions of numbers that are checked nowhere else: from a rounded double, and between signed and unsigned.
    "convert": re.compile(r"\b(?:Int|Int64|Int32|UInt|UInt64|UInt32|UInt16|UInt8)\([^()]*\.rounded\("),
    "product": re.compile(r"\.reduce\(1, \*\)|\.reduce\(0, \+\)"),
}
IMPLICIT = re.compile(rf"(?:: |-> )(?:Unsafe\w+<.*>|OpaquePointer|{NAME})!")


def code(line):
    """A line without strings and comments."""
    line = re.sub(r'"(?:[^"\\]|\\.)*"', '""', line)
    return line.split("//")[0]


def findings():
    for path in sorted((ROOT / "Sources").rglob("*.swift")):
        if path.name.endswith(".pb.swift"):
            continue
        inside_text = False
        for number, line in enumerate(path.read_text().splitlines(), 1):
            if line.count('"""') % 2:
                inside_text = not inside_text
                continue
            if inside_text:
                continue
            text = code(line)
            for kind, pattern in KINDS.items():
                searched = IMPLICIT.sub(": T", text) if kind == "unwrap" else text
                if kind == "range":
                    searched = SAFE_RANGE.sub(" ", searched)
                    if re.search(r"\bcase\b.*\.\.[.<]|\.contains\(", searched):
                        continue
                for _ in pattern.finditer(searched):
                    yield kind, path.relative_to(ROOT), number, line.strip()


def main():
    reviewed = {}
    for line in (ROOT / "scripts" / "trap-check.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            kind, folder, count, reason = line.split(None, 3)
            assert reason
            reviewed[kind, folder] = int(count)
    places = collections.defaultdict(list)
    for kind, path, number, line in findings():
        places[kind, str(path.parent)].append(f"{path}:{number}: {line}")
    failed = False
    for key in sorted(places.keys() | reviewed.keys()):
        found, allowed = len(places[key]), reviewed.get(key, 0)
        if "--list" in sys.argv or found > allowed:
            print(f"== {key[0]} in {key[1]}: {found}, reviewed {allowed}")
            print("\n".join(places[key]))
        if found > allowed:
            failed = True
            print(f"trap-check: {key[0]} in {key[1]}: {found} places, {allowed} reviewed; see scripts/trap-check.py")
    if "--counts" in sys.argv:
        for (kind, folder), lines in sorted(places.items()):
            print(kind, folder, len(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
