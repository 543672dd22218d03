"""Every image beside what pydicom makes of it.

    python tests/oracle/contact_sheet.py http://127.0.0.1:8080 sheet.png FILE_OR_FOLDER...

Stores each file, fetches its /rendered as PNG, draws the same frame with pydicom's own pipeline (Modality LUT, VOI
LUT, palette, colour space), writes both side by side into sheet.png and prints
by how much they differ. Needs pydicom, numpy, pillow, pylibjpeg with its plugins
or GDCM.
"""

import io
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pydicom
from PIL import Image, ImageDraw
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut, convert_color_space, pixel_array

TILE = 160
ACROSS = 4


def files_of(arguments):
    for argument in map(Path, arguments):
        if argument.is_dir():
            yield from sorted(path for path in argument.rglob("*") if path.is_file())
        else:
            yield argument


def frame_number(data_set):
    """The frame that stands for the instance, as docs/RENDERING.md has it."""
    frames = int(data_set.get("NumberOfFrames") or 1)
    if "RepresentativeFrameNumber" in data_set:
        return int(data_set.RepresentativeFrameNumber)
    if "PerFrameFunctionalGroupsSequence" in data_set:
        return -(-frames // 2)
    return 1


def functional(data_set, index, sequence):
    for groups in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        items = data_set.get(groups)
        if items and len(items) > (index if groups.startswith("Per") else 0):
            group = items[index if groups.startswith("Per") else 0]
            if sequence in group:
                return group[sequence].value[0]
    return data_set


def reference(path):
    data_set = pydicom.dcmread(path, force=True)
    number = frame_number(data_set)
    pixels = pixel_array(data_set, index=number - 1)
    if pixels.ndim == 3 and data_set.SamplesPerPixel == 1:
        pixels = pixels[number - 1]
    photometric = data_set.PhotometricInterpretation
    if data_set.SamplesPerPixel == 3:
        if photometric.startswith("YBR") and not data_set.file_meta.TransferSyntaxUID.is_encapsulated:
            pass  # pixel_array has made RGB of it
        if pixels.dtype == np.uint16:
            pixels = (pixels >> (data_set.BitsStored - 8)).astype(np.uint8)
        return pixels.astype(np.uint8)
    if photometric == "PALETTE COLOR":
        colored = apply_color_lut(pixels, data_set)
        return (colored >> 8 if colored.dtype == np.uint16 else colored).astype(np.uint8)
    transformation = functional(data_set, number - 1, "PixelValueTransformationSequence")
    values = apply_modality_lut(pixels, transformation).astype(np.float64)
    voi = functional(data_set, number - 1, "FrameVOILUTSequence")
    if "VOILUTSequence" in voi or "WindowCenter" in voi:
        for name in ("PhotometricInterpretation", "BitsStored", "PixelRepresentation", "RescaleSlope", "RescaleIntercept"):
            if name in data_set and name not in voi:
                setattr(voi, name, data_set.get(name))
        if "VOILUTSequence" in voi:
            shown = apply_voi_lut(values.astype(pixels.dtype), voi).astype(np.float64)
            low, high = 0, 2 ** voi.VOILUTSequence[0].LUTDescriptor[2] - 1
        else:
            center = float(np.atleast_1d(voi.WindowCenter)[0])
            width = float(np.atleast_1d(voi.WindowWidth)[0])
            function = str(voi.get("VOILUTFunction", "LINEAR")).upper()
            if function == "SIGMOID":
                shown = 1 / (1 + np.exp(-4 * (values - center) / width))
            elif function == "LINEAR_EXACT" or width < 1:
                shown = np.clip((values - center) / width + 0.5, 0, 1)
            elif width == 1:
                shown = (values > center - 0.5).astype(float)
            else:
                shown = np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)
            low, high = 0, 1
    else:
        padding = data_set.get("PixelPaddingValue")
        inside = values if padding is None else values[pixels != padding]
        inside = inside if inside.size else values
        shown, low, high = values, inside.min(), inside.max()
        if data_set.BitsAllocated == 1:
            low, high = 0, 1
    shown = np.clip((shown - low) / ((high - low) or 1), 0, 1)
    if photometric == "MONOCHROME1" or data_set.get("PresentationLUTShape") == "INVERSE":
        shown = 1 - shown
    return np.floor(shown * 255 + 0.5).astype(np.uint8)


def store(base, path):
    body = b"--X\r\nContent-Type: application/dicom\r\n\r\n" + path.read_bytes() + b"\r\n--X--\r\n"
    kind = 'multipart/related; type="application/dicom"; boundary=X'
    status, answer = ask(f"{base}/dicomweb/studies", {"Content-Type": kind}, body)
    if status >= 300:
        return None
    return json.loads(answer)["00081199"]["Value"][0]["00081190"]["Value"][0]


def ask(url, headers, body=None):
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def rendered(url):
    status, answer = ask(f"{url}/rendered", {"Accept": "image/png"})
    if status != 200:
        return None, f"{status}: {json.loads(answer).get('detail', '')}"
    return np.asarray(Image.open(io.BytesIO(answer))), ""


def tile(pixels, note):
    picture = Image.new("RGB", (TILE, TILE), (40, 0, 60))
    if pixels is None:
        ImageDraw.Draw(picture).text((4, 4), "\n".join(note[at : at + 24] for at in range(0, 120, 24)), fill="white")
        return picture
    shown = Image.fromarray(pixels).convert("RGB")
    shown.thumbnail((TILE, TILE))
    picture.paste(shown, (0, 0))
    return picture


def main():
    base, sheet = sys.argv[1], sys.argv[2]
    tiles = []
    for path in files_of(sys.argv[3:]):
        url = store(base, path)
        if url is None:
            print(f"{path}: not stored")
            continue
        ours, why = rendered(url)
        try:
            theirs, their_why = reference(path), ""
        except Exception as error:  # noqa: BLE001, whatever pydicom cannot do is told, not hidden
            theirs, their_why = None, f"{type(error).__name__}: {error}"
        if ours is None or theirs is None:
            verdict = f"ours {why or 'drawn'}; pydicom {their_why or 'drawn'}"
        else:
            left = ours if ours.ndim == theirs.ndim else np.asarray(Image.fromarray(ours).convert("RGB"))
            right = theirs if left.ndim == theirs.ndim else np.asarray(Image.fromarray(theirs).convert("RGB"))
            if left.shape != right.shape:
                verdict = f"sizes differ: {left.shape} and {right.shape}"
            else:
                difference = np.abs(left.astype(int) - right.astype(int))
                verdict = f"at most {difference.max()}, over 2 in {(difference > 2).mean():.3%}"
        print(f"{path}: {verdict}")
        tiles.append((path.name, tile(ours, why), tile(theirs, their_why)))
    rows = -(-len(tiles) // ACROSS)
    picture = Image.new("RGB", (ACROSS * (2 * TILE + 8), max(rows, 1) * (TILE + 16)))
    draw = ImageDraw.Draw(picture)
    for position, (name, ours, theirs) in enumerate(tiles):
        left, top = position % ACROSS * (2 * TILE + 8), position // ACROSS * (TILE + 16)
        draw.text((left + 2, top + 2), name[:48], fill="yellow")
        picture.paste(ours, (left, top + 16))
        picture.paste(theirs, (left + TILE + 2, top + 16))
    picture.save(sheet)


if __name__ == "__main__":
    main()
