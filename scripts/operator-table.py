#!/usr/bin/env python3
"""Writes the table of docs/operators.md from the library's own descriptions."""

import pathlib
import re

import tenon

DOCUMENT = pathlib.Path(__file__).resolve().parents[1] / "docs/operators.md"
BEGIN, END = "<!-- operators -->\n", "<!-- end of operators -->\n"


def row(name):
    """Signature, meaning and attributes of one operator."""
    signature, meaning, *lines = tenon.describe(name).strip().splitlines()
    attributes = [f"`{line.split(' ', 1)[1].split(':')[0]}`:{line.split(':', 1)[1]}" for line in lines if line.startswith("attribute")]
    cells = [f"`{signature}`", meaning, "; ".join(attributes)]
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in cells) + " |"


def table():
    """Every operator, in the order of the alphabet."""
    lines = ["| operator | what it gives | attributes |", "| --- | --- | --- |", *map(row, sorted(tenon.operators()))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    import document_table

    document_table.replace(DOCUMENT, BEGIN, END, table())
