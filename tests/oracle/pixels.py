"""Compares the decoders and encoders of Hilum with those of pydicom's plugins.

    pip install pydicom pydicom-data pylibjpeg pylibjpeg-libjpeg pylibjpeg-openjpeg pylibjpeg-rle \\
        pyjpegls python-gdcm imagecodecs
    cargo build --release --example frames
    python tests/oracle/pixels.py target/release/examples/frames [-v]

Decoding: every frame of every fixture, of the files of pydicom and pydicom-data
that are installed, and of images made here with other encoders (imagecodecs:
CharLS, OpenJPEG, OpenJPH, libjxl, libjpeg-turbo), at all depths and modes.
Lossless syntaxes must agree exactly, lossy ones within two levels in all but a
thousandth of the samples. Encoding: what Hilum encodes is decoded by others and
must be the same samples; with loss, nearly the same.
"""

import glob
import json
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import pydicom
from pydicom.encaps import encapsulate
from pydicom.pixels import iter_pixels
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = 0
VERBOSE = "-v" in sys.argv
HERE = os.path.dirname(os.path.abspath(__file__))
LOSSY = {"1.2.840.10008.1.2.4." + end for end in ("50", "51", "53", "55", "81", "91", "93", "111", "112", "203")}
JPEG_LOSSY = {"1.2.840.10008.1.2.4." + end for end in ("50", "51", "53", "55")}


def corpus():
    found = sorted(glob.glob(f"{HERE}/../../fixtures/**/*.dcm", recursive=True))
    import pydicom.data

    roots = [os.path.join(os.path.dirname(pydicom.__file__), "data", "test_files")]
    try:
        import data_store  # what the package pydicom-data is called inside

        roots.append(os.path.dirname(data_store.__file__))
    except ImportError:
        pass
    for root in roots:
        found += sorted(glob.glob(f"{root}/**/*.dcm", recursive=True))
    return found


def picture(rows, columns, samples, bits, signed, noise, seed=5):
    """Ramps, flat areas, edges and noise: all modes of all coders."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:rows, 0:columns].astype(float)
    top = (1 << bits) - 1
    plane = (np.sin(x / 9) + np.cos(y / 7) + 2) / 4 * top
    plane[rows // 3 : rows // 2, columns // 4 : columns // 2] = top
    plane[: rows // 5, :] = 0
    image = np.stack([np.roll(plane, shift * 3, 1) for shift in range(samples)], -1)
    image = np.clip(image + random.integers(0, noise + 1, image.shape), 0, top).astype(np.int64)
    if signed:
        image -= 1 << (bits - 1)
    dtype = ("i" if signed else "u") + ("1" if bits <= 8 else "2")
    return (image if samples > 1 else image[..., 0]).astype(dtype)


def data_set(image, bits, syntax, frames, photometric):
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = generate_uid()
    set_ = pydicom.Dataset()
    set_.file_meta = meta
    set_.SOPClassUID, set_.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    set_.StudyInstanceUID, set_.SeriesInstanceUID = generate_uid(), generate_uid()
    set_.Modality, set_.PatientID, set_.PatientName = "OT", "ORACLE", "Oracle^Made"
    set_.Rows, set_.Columns = image.shape[:2]
    set_.SamplesPerPixel = 1 if image.ndim == 2 else image.shape[2]
    set_.PhotometricInterpretation = photometric
    if set_.SamplesPerPixel > 1:
        set_.PlanarConfiguration = 0
    set_.BitsAllocated, set_.BitsStored, set_.HighBit = image.dtype.itemsize * 8, bits, bits - 1
    set_.PixelRepresentation = int(image.dtype.kind == "i")
    set_.NumberOfFrames = len(frames)
    if syntax == ExplicitVRLittleEndian:
        set_.PixelData = b"".join(frames)
        set_["PixelData"].VR = "OW" if set_.BitsAllocated > 8 else "OB"
    else:
        set_.PixelData = encapsulate(frames)
        set_["PixelData"].VR = "OB"
    return set_


def made(folder):
    """(file, what it must decode to, levels it may be off) of images made with other encoders."""
    import imagecodecs as ic

    base = "1.2.840.10008.1.2.4."
    result = []

    def add(name, syntax, image, bits, code, photometric=None, near=0, expected=None):
        photometric = photometric or ("RGB" if image.ndim == 3 else "MONOCHROME2")
        path = f"{folder}/{name}.dcm"
        # pydicom does not know JPEG XL: written under a name of the same length.
        known = syntax.replace(".110", ".201")
        data_set(image, bits, known, [code], photometric).save_as(path, enforce_file_format=True)
        if known != syntax:
            with open(path, "rb") as file:
                content = file.read().replace(known.encode(), syntax.encode(), 1)
            with open(path, "wb") as file:
                file.write(content)
        result.append((path, image if expected is None else expected, near))

    def attempt(name, build):
        try:
            build()
        except Exception as error:  # an encoder that this machine lacks
            print(f"  not made: {name}: {type(error).__name__}: {str(error)[:100]}")

    for rows, columns in ((64, 48), (61, 97), (1, 7)):
        for bits, signed in ((8, False), (10, False), (12, False), (16, False), (8, True), (12, True), (16, True)):
            for samples in (1, 3):
                if samples == 3 and bits not in (8, 16):
                    continue
                if samples == 3 and signed:
                    continue
                image = picture(rows, columns, samples, bits, signed, 9)
                raw = image.view("u1" if bits <= 8 else "u2")
                raw = raw & ((1 << bits) - 1)
                name = f"{rows}x{columns}x{samples}-{'s' if signed else 'u'}{bits}"
                attempt(f"jls {name}", lambda: add(f"jls-{name}", base + "80", image, bits, pyjpegls_encode(raw, bits, 0, samples)))
                if samples == 3:
                    for mode in (0, 2):
                        attempt(
                            f"jls ilv{mode} {name}",
                            lambda: add(f"jls-ilv{mode}-{name}", base + "80", image, bits, pyjpegls_encode(raw, bits, 0, samples, mode)),
                        )
                if not signed:
                    attempt(f"jls near {name}", lambda: add(f"jlsnear-{name}", base + "81", image, bits, pyjpegls_encode(raw, bits, 3, samples), near=3))
                for reversible in (True, False):
                    syntax = base + ("90" if reversible else "91")
                    if not reversible and signed:
                        continue
                    attempt(
                        f"j2k {name}",
                        lambda: add(
                            f"j2k-{'53' if reversible else '97'}-{name}",
                            syntax,
                            image,
                            bits,
                            ic.jpeg2k_encode(image, level=0 if reversible else 60, reversible=reversible, codecformat="j2k", bitspersample=bits, mct=samples == 3),
                            photometric=("YBR_RCT" if reversible else "YBR_ICT") if samples == 3 else None,
                            near=0 if reversible else None,
                        ),
                    )
                if not signed:
                    attempt(
                        f"jxl {name}",
                        lambda: add(f"jxl-{name}", base + "110", image, bits, ic.jpegxl_encode(image, lossless=True, bitspersample=bits)),
                    )
                    if bits in (8, 12, 16):
                        attempt(f"ljpeg {name}", lambda: add(f"ljpeg-{name}", base + "70", image, bits, ic.ljpeg_encode(image, bitspersample=bits)))
                        for predictor in range(1, 8):
                            attempt(
                                f"lossless jpeg {predictor} {name}",
                                lambda: add(
                                    f"lj{predictor}-{name}",
                                    base + ("70" if predictor == 1 else "57"),
                                    image,
                                    bits,
                                    ic.jpeg_encode(image, bitspersample=bits, lossless=True, predictor=predictor),
                                ),
                            )
                    if bits == 12:
                        attempt(f"jpeg12 {name}", lambda: add(f"jpeg12-{name}", base + "51", image, bits, ic.jpeg_encode(image, level=95, bitspersample=12), near=None))
                attempt(f"htj2k {name}", lambda: add(f"htj2k-{name}", base + "201", image, bits, ic.htj2k_encode(image, reversible=True), photometric="YBR_RCT" if samples == 3 else None))
        for subsampling in ("444", "422", "420"):
            image = picture(rows, columns, 3, 8, False, 9)
            attempt(
                f"jpeg {subsampling}",
                lambda: add(f"jpeg-{subsampling}-{rows}", base + "50", image, 8, ic.jpeg8_encode(image, level=92, subsampling=subsampling), "YBR_FULL_422", None),
            )
    return result


def pyjpegls_encode(raw, bits, near, samples, mode=None):
    import jpeg_ls

    arr = np.ascontiguousarray(raw)
    mode = (2 if samples == 3 else 0) if mode is None else mode
    if samples == 3 and mode == 0:
        arr = np.ascontiguousarray(np.moveaxis(arr, -1, 0))
    # The plugin takes mode 0 from planes and mode 2 from whole pixels.
    info = {
        "planar_configuration": int(mode == 0),
        "rows": raw.shape[0],
        "columns": raw.shape[1],
        "samples_per_pixel": samples,
        "bits_stored": bits,
    }
    return bytes(jpeg_ls.encode_pixel_data(arr.tobytes(), lossy_error=near, **info))


def run(binary, files, *options):
    out = tempfile.mkdtemp()
    process = subprocess.run([binary, *options, out, *files], capture_output=True, text=True)
    if process.returncode != 0:
        print(process.stderr[-3000:])
        sys.exit("the example did not run to its end")
    return out, [json.loads(line) for line in process.stdout.splitlines()]


def compare(mine, expected, levels):
    """None if they agree, else how they differ."""
    if mine.size != expected.size:
        return f"{mine.size} samples, expected {expected.size}"
    difference = np.abs(mine.astype(np.int64).ravel() - expected.astype(np.int64).ravel())
    if levels is None:
        scale = 1 if expected.dtype.itemsize == 1 else 1 << max(0, int(expected.max()).bit_length() - 8)
        many = float((difference > 2 * scale).mean())
        return None if many < 0.001 else f"{many:.2%} of the samples are more than two levels off, at most {difference.max()}"
    return None if difference.max(initial=0) <= levels else f"off by {difference.max()} in {np.mean(difference > levels):.2%}"


def by_pydicom(path, line):
    set_ = pydicom.dcmread(path, force=True)
    syntax = str(set_.file_meta.TransferSyntaxUID)
    raw = not (syntax in JPEG_LOSSY and line["photometric"] == "RGB")
    samples = np.concatenate([np.atleast_1d(frame).ravel() for frame in iter_pixels(set_, raw=raw)])
    # Native ones go out as they are stored; pydicom puts the bits right that stand above Bits Stored.
    stored = int(set_.get("BitsStored", 0) or 0)
    is_masked = not UID(syntax).is_encapsulated and samples.dtype.kind in "iu" and 0 < stored < samples.dtype.itemsize * 8
    return samples, (1 << stored) - 1 if is_masked else None


def decoding(binary, files):
    out, lines = run(binary, files)
    results = {}
    for line in lines:
        name = os.path.basename(line["file"])
        syntax = line.get("syntax", "?")
        tally = results.setdefault(syntax, {"same": 0, "both refuse": 0, "skipped": 0, "DIFFERENT": 0, "seconds": 0.0})
        error = line.get("error")
        if error and error.startswith("skipped"):
            tally["skipped"] += 1
            continue
        try:
            expected, mask = by_pydicom(line["file"], line if not error else {"photometric": None})
        except Exception as reason:
            kind = "both refuse" if error else "only here"
            tally[kind] = tally.get(kind, 0) + 1
            if VERBOSE or not error:
                print(f"  {kind}: {name} ({syntax}): {error} | pydicom: {str(reason)[:120]}")
            continue
        if error:
            tally["DIFFERENT"] += 1
            print(f"  REFUSED: {name} ({syntax}): {error}")
            continue
        with open(f"{out}/{line['number']}.raw", "rb") as file:
            mine = file.read()
        if line["bits_allocated"] == 1:
            mine = np.unpackbits(np.frombuffer(mine, "u1"), bitorder="little")[: expected.size]
        else:
            mine = np.frombuffer(mine, expected.dtype if expected.dtype.itemsize * 8 == line["bits_allocated"] else f"u{line['bits_allocated'] // 8}")
        if mask is not None and mine.dtype == expected.dtype:
            mine, expected = mine & mask, expected & mask
        differs = compare(mine, expected, None if syntax in LOSSY else 0)
        tally["seconds"] += line["seconds"]
        tally["same" if differs is None else "DIFFERENT"] += 1
        if differs:
            print(f"  DIFFERENT: {name} ({syntax}): {differs}")
        elif VERBOSE:
            print(f"  same: {name} ({syntax}), {line['frames']} frames")
    return results


def decoding_of_made(binary, made_):
    out, lines = run(binary, [path for path, _, _ in made_])
    bad = 0
    for line, (path, expected, levels) in zip(lines, made_):
        name = os.path.basename(path)
        if "error" in line:
            differs = line["error"]
        else:
            with open(f"{out}/{line['number']}.raw", "rb") as file:
                mine = np.frombuffer(file.read(), expected.dtype)
            if levels is None:
                # Against another decoder, not against what was encoded.
                try:
                    expected, _ = by_pydicom(path, line)
                except Exception:
                    pass
            differs = compare(mine, expected, levels)
        if differs:
            bad += 1
            print(f"  DIFFERENT: {name}: {differs}")
    print(f"decoding of made images: {len(made_) - bad} of {len(made_)} as expected")
    return bad


def encoding(binary, folder):
    """Hilum encodes native images; others decode them."""
    import gdcm  # noqa: F401  (so that a missing one fails here)

    base = "1.2.840.10008.1.2.4."
    natives = []
    for rows, columns in ((64, 48), (61, 97), (256, 256), (1, 7)):
        for bits, signed, samples in (
            (8, False, 1), (10, False, 1), (12, False, 1), (16, False, 1), (8, False, 3), (16, False, 3),
            (12, True, 1), (16, True, 1), (8, True, 1),
        ):
            for noise in (0, 5, 1 << bits):
                image = picture(rows, columns, samples, bits, signed, noise)
                path = f"{folder}/native-{rows}-{bits}{'s' if signed else 'u'}{samples}-{noise}.dcm"
                photometric = "RGB" if samples == 3 else "MONOCHROME2"
                data_set(image, bits, ExplicitVRLittleEndian, [image.tobytes()], photometric).save_as(path, enforce_file_format=True)
                natives.append((path, image, bits))
    bad = 0
    for syntax in ("1.2.840.10008.1.2.5", base + "70", base + "80", base + "90", base + "201", base + "110", "1.2.840.10008.1.2.8.1"):
        out, lines = run(binary, [path for path, _, _ in natives], "--encode", syntax)
        tally = {}
        for line, (path, image, bits) in zip(lines, natives):
            if "error" in line:
                tally["refused: " + line["error"][:70]] = tally.get("refused: " + line["error"][:70], 0) + 1
                continue
            with open(f"{out}/{line['number']}.0.code", "rb") as file:
                code = file.read()
            set_ = data_set(image, bits, syntax, [code], line["encoded_photometric"])
            for who, result in others(set_, code, image, syntax):
                if isinstance(result, str):
                    key = f"{who}: {result}"
                else:
                    differs = compare(result, image, 0)
                    key = f"{who}: same" if differs is None else f"{who}: DIFFERENT"
                    if differs:
                        bad += 1
                        print(f"  DIFFERENT: {syntax} {os.path.basename(path)} by {who}: {differs}")
                tally[key] = tally.get(key, 0) + 1
        print(f"encoding {syntax}: " + "; ".join(f"{key} {count}" for key, count in sorted(tally.items())))
    return bad + encoding_with_loss(binary, natives)


def encoding_with_loss(binary, natives):
    """Others decode what lost something to nearly the same: JPEG-LS to the sample, the rest on average."""
    base = "1.2.840.10008.1.2.4."
    # Of noise nothing is left at such a rate, and of seven pixels hardly anything.
    natives = [(path, image, bits) for path, image, bits in natives if image.shape[0] > 1 and not path.endswith(f"-{1 << bits}.dcm")]
    bad = 0
    for syntax in (base + "50", base + "81", base + "91"):
        out, lines = run(binary, [path for path, _, _ in natives], "--encode", syntax)
        tally = {}
        for line, (path, image, bits) in zip(lines, natives):
            if "error" in line:
                tally["refused: " + line["error"][:90]] = tally.get("refused: " + line["error"][:90], 0) + 1
                continue
            with open(f"{out}/{line['number']}.0.code", "rb") as file:
                code = file.read()
            set_ = data_set(image, bits, syntax, [code], line["encoded_photometric"])
            for plugin in ("pylibjpeg", "gdcm", "pyjpegls"):
                try:
                    raw = syntax != base + "50"
                    decoded = np.concatenate([f.ravel() for f in iter_pixels(set_, raw=raw, decoding_plugin=plugin)])
                except Exception as error:
                    if "No plugin named" not in str(error) and "does not support" not in str(error):
                        key = f"{plugin}: failed: {str(error)[:90]}"
                        tally[key] = tally.get(key, 0) + 1
                    continue
                off = np.abs(decoded.astype(np.int64) - image.astype(np.int64).ravel())
                fits = off.max() <= 2 if syntax == base + "81" else off.mean() <= (1 << bits) / 50
                key = f"{plugin}: {'near' if fits else 'FAR'}"
                tally[key] = tally.get(key, 0) + 1
                if not fits:
                    bad += 1
                    print(f"  FAR: {syntax} {os.path.basename(path)} by {plugin}: {off.mean():.1f} on average, {off.max()} at most")
        print(f"encoding {syntax} with loss: " + "; ".join(f"{key} {count}" for key, count in sorted(tally.items())))
    return bad


def others(set_, code, image, syntax):
    """(decoder, samples or why not)"""
    import imagecodecs as ic
    import zlib

    if syntax.endswith(".8.1"):
        yield "zlib", np.frombuffer(zlib.decompress(code, -15), image.dtype)
        return
    if syntax.endswith("4.110"):
        yield "libjxl", ic.jpegxl_decode(code).astype(image.dtype)
        return
    for plugin in ("pylibjpeg", "gdcm", "pyjpegls"):
        try:
            yield plugin, np.concatenate([f.ravel() for f in iter_pixels(set_, raw=True, decoding_plugin=plugin)])
        except Exception as error:
            text = str(error)
            if "No plugin named" in text or "does not support" in text:
                continue
            yield plugin, f"failed: {text[:90]}"
    if syntax.endswith("4.201"):
        try:
            decoded = ic.htj2k_decode(code).astype(image.dtype)
            # Components that are not transformed come one after the other.
            planes = image.ndim == 3 and decoded.shape[0] == image.shape[2] and decoded.shape != image.shape
            yield "OpenJPH", np.moveaxis(decoded, 0, -1) if planes else decoded
        except Exception as error:
            yield "OpenJPH", f"failed: {str(error)[:60]}"


def main():
    binary = next(argument for argument in sys.argv[1:] if not argument.startswith("-"))
    files = corpus()
    print(f"decoding {len(files)} files")
    results = decoding(binary, files)
    bad = 0
    for syntax, tally in sorted(results.items()):
        bad += tally["DIFFERENT"]
        name = UID(syntax).name if syntax != "?" else "not DICOM"
        print(f"{syntax:26} {name[:44]:44} " + ", ".join(f"{key} {value}" for key, value in tally.items() if value and key != "seconds"))
    with tempfile.TemporaryDirectory() as folder:
        bad += decoding_of_made(binary, made(folder))
        bad += encoding(binary, folder)
    sys.exit(f"{bad} differences" if bad else 0)


main()
