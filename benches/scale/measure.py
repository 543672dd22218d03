#!/usr/bin/env python3
"""Measures what docs/SCALE.md tells of searches, stores, series and clients, and writes the tables beside this file.

    python3 benches/scale/measure.py                              # up to 1,000,000 studies: half an hour, 20 GB of disk
    python3 benches/scale/measure.py studies 1000 10000 100000    # a part of it, of these sizes: some minutes
    python3 benches/scale/measure.py series clients
"""
import csv
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PARTS = [word for word in sys.argv[1:] if not word.isdigit()] or ["studies", "series", "clients"]
SIZES = [int(word) for word in sys.argv[1:] if word.isdigit()]
STUDIES = [1_000, 10_000, 100_000, 1_000_000]
SERIES = [100, 1_000, 10_000, 100_000]
CLIENTS = [1, 4, 16, 64, 256]


def bench(*arguments):
    """Name of the work -> requests a second, ms, CPU ms; and what the run said besides."""
    command = ["cargo", "bench", "-q", "--bench", "load", "--", "--alone", "--seconds", "1", *map(str, arguments)]
    run = subprocess.run(command, cwd=HERE.parent.parent, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stderr)
    print(run.stdout)
    rows = re.findall(r"^\| ([a-z].*?) \| (\S+) \| (\S+) \| (\S+) \|", run.stdout, re.M)
    return {name: tuple(map(float, numbers)) for name, *numbers in rows}, run.stdout + run.stderr


def write(name, across, columns):
    with (HERE / f"{name}.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([*across])
        table.writerows([row, *(column[row] for column in columns)] for row in columns[0])


def studies(sizes):
    searches, archive = [], []
    for size in sizes:
        rows, said = bench("--only", "search", "--connections", 1, "--studies", size, "--slices", 1, "--tiles", 1)
        searches.append({name.removeprefix("search: ").removesuffix(", 1 connection"): row[1] for name, row in rows.items()})
        seconds, files, disk = map(float, re.search(r"indexed after (\S+) s: (\S+) MB of files on (\S+) MB", said).groups())
        memory = float(re.search(r"at most (\S+) MiB", said).group(1))
        archive.append({
            "ms to store and index a study": round(seconds * 1e3 / size, 3),
            "KB of disk a study": round((disk - files) * 1e3 / size, 2),
            "MiB of memory at the peak": memory,
        })
    write("searches", ["search", *sizes], searches)
    write("archive", ["what", *sizes], archive)


def series(sizes):
    columns = []
    for size in sizes:
        rows, said = bench("--series", size)
        column = {name.removesuffix(", 1 connection"): row[1] for name, row in rows.items()}
        column["store: 50 a request, one of them"] = float(re.search(r"indexed: (\S+) ms each", said).group(1))
        column["MiB of memory at the peak"] = float(re.search(r"at most (\S+) MiB", said).group(1))
        columns.append(column)
    write("series", ["what", *sizes], columns)


def clients(numbers):
    every = ",".join(map(str, numbers))
    rows, _ = bench("--connections", every, "--only", "search", "--studies", 10_000)
    more, _ = bench("--connections", every, "--only", "frame: ")
    rows |= more
    names = sorted({name.rsplit(", ", 1)[0] for name in rows})
    of = lambda name, clients: rows[f"{name}, {clients} connection{'s' if clients > 1 else ''}"]
    write("clients", ["what", *numbers], [{name: of(name, clients)[0] for name in names} for clients in numbers])


for part, measure, sizes in [("studies", studies, STUDIES), ("series", series, SERIES), ("clients", clients, CLIENTS)]:
    if part in PARTS:
        measure(SIZES or sizes)
