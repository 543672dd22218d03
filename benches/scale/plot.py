#!/usr/bin/env python3
"""Draws the pictures of docs/SCALE.md from the tables beside this file. Needs nothing but Python.

    python3 benches/scale/plot.py        # writes docs/scale/*.svg
"""
import csv
import math
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE.parent.parent / "docs" / "scale"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 400, 64, 220, 40, 48
COLOURS = ["#0b6e99", "#c2410c", "#15803d", "#7c3aed", "#a16207", "#be185d", "#6b7280", "#9ca3af", "#0f766e"]


def draw(name, title, across, up):
    """Lines of a table whose first row has the numbers across; both axes by powers of ten."""
    rows = list(csv.reader((HERE / f"{name}.csv").open()))
    xs = [float(x) for x in rows[0][1:]]
    lines = [(row[0], [float(y) for y in row[1:]]) for row in rows[1:]]
    ys = [y for _, line in lines for y in line]
    low, high = math.floor(math.log10(min(ys))), math.ceil(math.log10(max(ys)))
    left, right = math.log10(xs[0]), math.log10(xs[-1])
    at_x = lambda x: LEFT + (math.log10(x) - left) / (right - left) * (WIDTH - LEFT - RIGHT)
    at_y = lambda y: HEIGHT - BOTTOM - (math.log10(y) - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold">{title}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{across}</text>',
        f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">{up}</text>',
    ]
    for power in range(low, high + 1):
        y = at_y(10**power)
        svg.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        svg.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:g}</text>')
    for x in xs:
        svg.append(f'<text x="{at_x(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:,.0f}</text>')
    labels = TOP
    for (label, line), colour in sorted(zip(lines, COLOURS), key=lambda each: -each[0][1][-1]):
        points = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in zip(xs, line))
        dash = ' stroke-dasharray="5 4"' if label.startswith("before") else ""
        svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        labels = max(labels, at_y(line[-1]) + 4)
        svg.append(f'<text x="{WIDTH - RIGHT + 8}" y="{labels:.1f}" fill="{colour}">{label}</text>')
        labels += 15
    svg.append("</svg>")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / f"{name}.svg").write_text("\n".join(svg) + "\n")


draw("searches", "A search, by the size of the archive", "studies", "ms a search, one connection")
draw("archive", "What a study costs, by the size of the archive", "studies", "in the unit of each line")
draw("series", "In one series, by the number of its instances", "instances", "in the unit of each line, one connection")
draw("clients", "Answers a second, by the number of clients", "connections", "answers a second, two cores")
