"""A bar chart as SVG, without libraries."""

from __future__ import annotations

from xml.sax.saxutils import escape

COLOURS = ["#1b6ca8", "#c44536", "#7a9e3b", "#8b5fbf", "#d08c2a", "#555555"]


def bars(groups: dict[str, dict[str, float]], title: str) -> str:
    """One row of bars per group; the longest bar fills the width."""
    longest = max(value for group in groups.values() for value in group.values())
    scale, height, left = 560 / longest, 14, 150
    parts, y = [f'<text x="10" y="20" font-size="15">{escape(title)}</text>'], 40
    for name, group in groups.items():
        parts.append(f'<text x="10" y="{y + 12}">{escape(name)}</text>')
        for index, (series, value) in enumerate(group.items()):
            parts.append(
                f'<rect x="{left}" y="{y}" width="{value * scale:.1f}" height="{height - 2}" '
                f'fill="{COLOURS[index % len(COLOURS)]}"/>'
                f'<text x="{left + value * scale + 4:.1f}" y="{y + 10}" font-size="10">{escape(series)} {value:.2f}</text>')
            y += height
        y += 8
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="860" height="{y}" font-family="sans-serif" font-size="12">'
            + "".join(parts) + "</svg>\n")
