"""A slide of five levels, made by wsidicomizer of a picture drawn here, stored; every level
and a region across tiles read by wsidicom over DICOMweb are those of the files."""

import sys
import warnings
from pathlib import Path

import numpy as np
import pydicom
import tifffile
from dicomweb_client import DICOMwebClient
from wsidicom import WsiDicom, WsiDicomWebClient
from wsidicomizer import WsiDicomizer

warnings.filterwarnings("ignore")
SIDE, TILE, LEVELS = 2048, 256, 4
url, folder = sys.argv[1], Path(sys.argv[2])


def picture():
    """Coloured waves, and another square in each tile."""
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    waves = [127 + 120 * np.sin(row / 37 + phase) * np.cos(column / 53 - phase) for phase in (0, 1, 2)]
    rgb = np.stack(waves, axis=-1).astype(np.uint8)
    for top in range(0, SIDE, TILE):
        for left in range(0, SIDE, TILE):
            rgb[top : top + 24, left : left + 24] = (top // TILE * 30, left // TILE * 30, 90)
    return rgb


def same(one, other, what):
    assert np.array_equal(np.asarray(one), np.asarray(other)), what


with tifffile.TiffWriter(folder / "slide.tif", bigtiff=True) as tiff:
    level, per_cm = picture(), 40_000.0
    for number in range(LEVELS):
        tiff.write(
            level, subfiletype=min(number, 1), tile=(TILE, TILE), compression="jpeg", photometric="rgb",
            compressionargs={"level": 85}, resolutionunit="CENTIMETER", resolution=(per_cm, per_cm), metadata=None,
        )
        level, per_cm = level[::2, ::2], per_cm / 2
with WsiDicomizer.open(folder / "slide.tif") as slide:
    slide.save(folder / "slide", add_missing_levels=True)

files = [pydicom.dcmread(file) for file in sorted((folder / "slide").glob("*.dcm"))]
client = DICOMwebClient(url)
client.store_instances(files)
here = WsiDicom.open(folder / "slide")
there = WsiDicom.open_web(WsiDicomWebClient(client), files[0].StudyInstanceUID, files[0].SeriesInstanceUID)
levels = here.pyramids[0]
for index in range(len(levels)):
    side = min(200, levels[index].size.width)
    same(there.read_region((0, 0), index, (side, side)), here.read_region((0, 0), index, (side, side)), f"level {index}")
same(there.read_region((700, 500), 0, (900, 900)), here.read_region((700, 500), 0, (900, 900)), "across tiles")
same(there.read_thumbnail((300, 300)), here.read_thumbnail((300, 300)), "the thumbnail")
print(f"wsidicom: {len(files)} instances, {len(levels)} levels, no difference")
