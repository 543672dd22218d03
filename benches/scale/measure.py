#!/usr/bin/env python3
"""Measures what docs/SCALE.md tells of searches, stores and clients, and writes the tables beside this file.

    python3 benches/scale/measure.py                      # up to 1,000,000 studies: half an hour, 20 GB of disk
    python3 benches/scale/measure.py 1000 10000 100000    # some minutes
"""
import csv
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SIZES = [int(size) for size in sys.argv[1:]] or [1_000, 10_000, 100_000, 1_000_000]
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


searches, archive = [], []
for size in SIZES:
    rows, said = bench("--only", "search", "--connections", 1, "--studies", size, "--slices", 1, "--tiles", 1)
    searches.append({name.removeprefix("search: ").removesuffix(", 1 connection"): row[1] for name, row in rows.items()})
    seconds, files, disk = map(float, re.search(r"indexed after (\S+) s: (\S+) MB of files on (\S+) MB", said).groups())
    memory = float(re.search(r"at most (\S+) MiB", said).group(1))
    archive.append({
        "ms to store and index a study": round(seconds * 1e3 / size, 3),
        "KB of disk a study": round((disk - files) * 1e3 / size, 2),
        "MiB of memory at the peak": memory,
    })
write("searches", ["search", *SIZES], searches)
write("archive", ["what", *SIZES], archive)

rows, _ = bench("--connections", ",".join(map(str, CLIENTS)), "--only", "search", "--studies", 10_000)
more, _ = bench("--connections", ",".join(map(str, CLIENTS)), "--only", "frame: ")
rows |= more
names = {name.rsplit(", ", 1)[0] for name in rows}
of = lambda name, clients: rows[f"{name}, {clients} connection{'s' if clients > 1 else ''}"]
write("clients", ["what", *CLIENTS], [{name: of(name, clients)[0] for name in sorted(names)} for clients in CLIENTS])
