"""Drawings of graphs: for Graphviz, and as SVG that needs no other program."""

from __future__ import annotations

import html
import json
from typing import Any

from ._handle import Handle, text
from ._lib import lib
from .profile import Profile

_DOT, _JSON = 0, 1
#: SVGs stop after so many rows, which a browser still scrolls well.
_ROWS = 500
_HEIGHT, _LANE, _LETTER = 24, 12, 6.2


class Drawing:
    """The graph of ``main`` with its regions opened, and the times of a profile where there is one.

    Notebooks show it as a picture: one row per operation in program order, regions as coloured bands, and lines from
    operations to those that use them.

    >>> import tenon
    >>> module = tenon.Module.parse('''
    ... fn @main(%x: f32[4]) -> f32[4] {
    ...   %y: f32[4] = nn.relu(%x)
    ...   return %y
    ... }''')
    >>> drawing = module.draw()
    >>> [node["operator"] for node in drawing.nodes if node["kind"] == "operation"]
    ['nn.relu']
    >>> print(drawing.dot.splitlines()[0])
    digraph main {
    """

    def __init__(self, module: Handle, profile: Profile | None = None):
        handle = None if profile is None else profile._handle
        #: The graph in the language of Graphviz.
        self.dot: str = text(lib.tenon_module_draw, module._handle, handle, _DOT)
        data = json.loads(text(lib.tenon_module_draw, module._handle, handle, _JSON))
        #: Dictionaries with ``kind`` (input, operation, output), ``name``, ``operator``, ``operators``, ``region``,
        #: ``backend``, ``type``, ``inputs`` and ``steps``; the last two are positions in ``nodes`` and ``steps``.
        self.nodes: list[dict[str, Any]] = data["nodes"]
        #: Steps of the profile.
        self.steps: list[dict[str, Any]] = data["steps"]

    def __repr__(self) -> str:
        operations = sum(node["kind"] == "operation" for node in self.nodes)
        regions = len({node["region"] for node in self.nodes} - {""})
        return f"<tenon.Drawing of {operations} operations, {regions} regions>"

    def _nanoseconds(self, node: dict[str, Any]) -> int:
        return sum(self.steps[step]["nanoseconds"] or 0 for step in node["steps"])

    def _repr_svg_(self) -> str:
        return self.svg

    @property
    def svg(self) -> str:
        """The graph as SVG."""
        nodes = self.nodes[:_ROWS]
        lanes, width = _lanes(nodes)
        left = 10 + _LANE * width
        labels = [_label(node) for node in nodes]
        right = left + int(max((len(label) for label in labels), default=0) * _LETTER) + 20
        times = [self._nanoseconds(node) for node in nodes]
        longest = max(times, default=0)
        total = right + (180 if longest else 0)
        height = _HEIGHT * (len(nodes) + (len(nodes) < len(self.nodes))) + 10
        parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height}" font-family="sans-serif" '
                 'font-size="11">']
        for row, node in enumerate(nodes):
            if node["region"]:
                parts.append(f'<rect x="0" y="{_y(row) - _HEIGHT // 2}" width="{total}" height="{_HEIGHT}" '
                             f'fill="#e3ecf7"><title>{html.escape(node["region"])}</title></rect>')
        for source, target, lane in lanes:
            x, y1, y2 = left - 6 - _LANE * lane, _y(source), _y(target)
            parts.append(f'<path d="M{left} {y1} C{x} {y1} {x} {y1} {x} {min(y1 + 10, y2)} L{x} {max(y2 - 10, y1)} '
                         f'C{x} {y2} {x} {y2} {left} {y2}" fill="none" stroke="#888"/>')
        for row, (node, label, time) in enumerate(zip(nodes, labels, times)):
            color = {"input": "#3a7d44", "output": "#8b3a3a"}.get(node["kind"], "#335c99")
            tip = "\n".join(filter(None, [node["region"], " → ".join(node["operators"]), *(
                f"{self.steps[step]['implementation']} {self.steps[step]['layouts']}" for step in node["steps"])]))
            parts.append(f'<circle cx="{left}" cy="{_y(row)}" r="4" fill="{color}"/>')
            parts.append(f'<text x="{left + 10}" y="{_y(row) + 4}">{html.escape(label)}'
                         f"<title>{html.escape(tip)}</title></text>")
            if longest and time:
                parts.append(f'<rect x="{right}" y="{_y(row) - 6}" width="{100 * time / longest:.1f}" height="12" '
                             f'fill="#f0a050"/><text x="{right + 106}" y="{_y(row) + 4}">{time / 1e3:.1f} µs</text>')
        if len(nodes) < len(self.nodes):
            parts.append(f'<text x="{left + 10}" y="{_y(len(nodes)) + 4}">and {len(self.nodes) - len(nodes)} more</text>')
        return "".join(parts) + "</svg>"


def _y(row: int) -> int:
    return _HEIGHT * row + _HEIGHT // 2 + 5


def _label(node: dict[str, Any]) -> str:
    if node["kind"] != "operation":
        return f"{node['kind']} %{node['name']}: {node['type']}"
    inside = node["operators"]
    shown = " → ".join(inside) if len(inside) > 1 else node["operator"]
    return f"%{node['name']}: {node['type']} = {shown}"


def _lanes(nodes: list[dict[str, Any]]) -> tuple[list[tuple[int, int, int]], int]:
    """Edges as source, target and lane, and the number of lanes. All edges of a value that skips ahead share one lane, down to
    the last that uses it, and no other value is in it that far; edges to the next row need none and have lane 0."""
    targets: dict[int, list[int]] = {}
    for target, node in enumerate(nodes):
        for source in dict.fromkeys(node["inputs"]):
            if source < len(nodes):
                targets.setdefault(source, []).append(target)
    ends: list[int] = []
    placed = []
    for source in sorted(targets):
        far = [target for target in targets[source] if target > source + 1]
        lane = 0
        if far:
            lane = next((index for index, end in enumerate(ends) if end <= source), len(ends))
            if lane == len(ends):
                ends.append(0)
            ends[lane] = max(far)
        placed += [(source, target, lane if target in far else 0) for target in targets[source]]
    return placed, max(len(ends), 1)
