#!/usr/bin/env python3
"""Compares what Hilum reads in DICOM files with what pydicom reads.

    cargo build --example read
    tests/oracle/read.py target/debug/examples/read FILE...

Prints a line for each file that differs, and a summary. Needs pydicom.
Differences that are meant: text and padding are compared stripped; a private
or unknown element may be UN here; empty is empty.
"""
import hashlib, io, json, math, subprocess, sys, tempfile, warnings, zlib
import pydicom
from pydicom.encaps import generate_frames
from pydicom.multival import MultiValue
warnings.simplefilter("ignore")
pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE

BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
WORD = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def bytes_at(data, bulk):
    return data[bulk["offset"]:bulk["offset"] + bulk["length"]]


def le(value, vr, big):
    width = WORD.get(vr, 1)
    if not big or width == 1:
        return value
    whole = len(value) - len(value) % width
    return b"".join(value[i:i + width][::-1] for i in range(0, whole, width)) + value[whole:]


def texts(value, vr):
    if value is None:
        return []
    values = list(value) if isinstance(value, (MultiValue, list)) else [value]
    keep = vr in ("LT", "ST", "UT", "UC", "UR")
    return [str(getattr(v, "original_string", v)).rstrip(" \0") if keep else str(getattr(v, "original_string", v)).strip(" \0") for v in values]


def same(ours, theirs, data, big, where, out):
    vr, value = ours
    their_vr = theirs.VR
    if their_vr == "SQ":
        items = value or []
        if vr != "SQ" or len(items) != len(theirs.value):
            out.append(f"{where}: {vr} of {len(items)} items, they {their_vr} of {len(theirs.value)}")
            return
        for n, (a, b) in enumerate(zip(items, theirs.value)):
            compare(a, b, data, big, f"{where}.{n + 1}.", out)
        return
    if vr == "SQ":
        out.append(f"{where}: SQ, they {their_vr}")
        return
    if vr != their_vr and vr != "UN" and their_vr != "UN" and " or " not in their_vr:
        if not (vr in BINARY and their_vr in BINARY):
            out.append(f"{where}: VR {vr}, they {their_vr}")
    empty = theirs.value is None or theirs.value == "" or theirs.value == b"" or theirs.value == []
    if value is None or empty:
        if not (value is None and (empty or str(theirs.value).strip(" \0") == "")):
            out.append(f"{where}: empty: we {value is None}, they {empty}")
        return
    if vr in BINARY:
        mine = bytes.fromhex(value) if isinstance(value, str) else bytes_at(data, value)
        if isinstance(value, dict):
            mine = le(mine, vr, big)
        their = theirs.value
        if not isinstance(their, bytes):
            return  # pydicom knows its private dictionary
        their = le(their, their_vr, big)
        if where.endswith("7FE00010") and isinstance(value, dict) and their.startswith(b"\xfe\xff\x00\xe0"):
            their = their[:len(mine)]
        if mine.rstrip(b"\0") != their.rstrip(b"\0"):
            out.append(f"{where}: bytes differ, {len(mine)} and {len(their)}")
        return
    if isinstance(value, dict):
        return
    if isinstance(theirs.value, bytes):
        if their_vr == "UN" :
            return
    their = theirs.value
    values = list(their) if isinstance(their, (MultiValue, list)) else [their]
    if vr == "AT":
        values = [int(v) for v in values]
    elif vr in ("FL", "FD"):
        value = [float(v) for v in value]
        if any(not (a == b or abs(a - b) <= 1e-6 * abs(b) + 1e-40 or (math.isnan(a) and math.isnan(b))) for a, b in zip(value, values)):
            out.append(f"{where}: numbers differ")
        return
    elif vr in ("DS", "IS"):
        values = texts(their, vr)
    elif vr == "PN":
        values = ["=".join(c.strip(" \0") for c in str(v).split("=")).rstrip("=") for v in values]
        value = [v for v in value]
    elif vr not in ("US", "SS", "UL", "SL", "SV", "UV"):
        values = texts(their, vr)
    if vr in ("CS",) and where.endswith("00080005"):
        return
    if value != values:
        if vr in ("DS", "IS"):
            try:
                if [float(v or 0) for v in value] == [float(v or 0) for v in values]:
                    return
            except ValueError:
                pass
        out.append(f"{where}: {vr} {value!r:.120}, they {values!r:.120}")


def compare(ours, theirs, data, big, where, out):
    skip = lambda t: t.element == 0 or t.group in (0, 2) or (t.group, t.element) == (0xFFFC, 0xFFFC)
    wanted = {f"{int(t):08X}": t for t in theirs.keys() if not skip(t)}
    extra, missing = set(ours) - set(wanted) - {"00080005"}, set(wanted) - set(ours)
    if extra or missing:
        out.append(f"{where}: only we {sorted(extra)}, only they {sorted(missing)}")
    for key in sorted(set(ours) & set(wanted)):
        try:
            element = theirs[wanted[key]]
        except Exception as error:
            out.append(f"{where}{key}: they fail: {type(error).__name__}")
            continue
        same(ours[key], element, data, big, where + key, out)


def frames_of(line, data):
    table = line["frames"]
    if not table:
        return None
    if "native" in table:
        offset, bits, count = table["native"]
        if bits % 8:
            return None
        return [data[offset + n * bits // 8: offset + (n + 1) * bits // 8] for n in range(count)]
    frames = []
    for offset, length, fragments in table.get("spans", []):
        raw = data[offset:offset + length]
        if fragments > 1:
            parts, at = [], 0
            while at < len(raw):
                size = int.from_bytes(raw[at + 4:at + 8], "little")
                parts.append(raw[at + 8:at + 8 + size])
                at += 8 + size
            raw = b"".join(parts)
        frames.append(raw)
    return frames


def compare_frames(line, theirs, data, out):
    ours = frames_of(line, data)
    if not ours or "PixelData" not in theirs:
        return
    if "spans" in (line["frames"] or {}):
        count = int(theirs.get("NumberOfFrames", 1) or 1)
        extended = None
        if "ExtendedOffsetTable" in theirs:
            extended = (theirs.ExtendedOffsetTable, theirs.ExtendedOffsetTableLengths)
        try:
            their = list(generate_frames(theirs.PixelData, number_of_frames=count, extended_offsets=extended))
        except Exception as error:
            out.append(f"frames: they fail: {error}")
            return
    else:
        size = len(ours[0])
        their = [theirs.PixelData[n * size:(n + 1) * size] for n in range(len(ours))]
        if len(ours) != int(theirs.get("NumberOfFrames", 1) or 1):
            out.append(f"frames: {len(ours)}, they {theirs.get('NumberOfFrames')}")
    if [f.rstrip(b"\0") for f in ours] != [f.rstrip(b"\0") for f in their]:
        out.append(f"frames differ: {len(ours)} {[len(f) for f in ours][:4]}, they {len(their)} {[len(f) for f in their][:4]}")


def check(line, label=""):
    name = line["file"]
    try:
        theirs = pydicom.dcmread(name, force=True)
        list(theirs)
    except Exception as error:
        theirs = error
    if "error" in line:
        count = len(theirs) if isinstance(theirs, pydicom.Dataset) else f"error {theirs}"
        print(f"REFUSED {name}: {line['error']}; pydicom: {count}")
        return False
    if isinstance(theirs, Exception):
        print(f"ONLY WE {name}: {len(line['dataset'])} elements; pydicom: {theirs}")
        return False
    data = open(name, "rb").read()
    if line["transfer_syntax"] == "1.2.840.10008.1.2.1.99":
        data = zlib.decompress(data[line["offset"]:], -15)
    out = []
    big = line["transfer_syntax"] == "1.2.840.10008.1.2.2"
    compare(line["dataset"], theirs, data, big, "", out)
    try:
        compare_frames(line, theirs, data, out)
    except Exception as error:
        out.append(f"frames: {type(error).__name__} {error}")
    if out:
        print(f"DIFFERS {name}{label} {line['warnings']}")
        for text in out[:8]:
            print("   ", text)
    return not out


def main():
    program, *files = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([program, "--transcode", folder, *files], capture_output=True, check=True)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        good = sum(check(line) for line in lines)
        print(f"{good} of {len(lines)} files are read alike")
        checked = agree = 0
        for position, line in enumerate(lines):
            if "error" in line.get("plan", {}) or "error" in line:
                continue
            checked += 1
            agree += check_transcoded(line["file"], f"{folder}/{position}.dcm", line)
        print(f"{agree} of {checked} transcoded files hold the same for pydicom")


def check_transcoded(source, target, line):
    import os
    try:
        a = pydicom.dcmread(source, force=True)
        list(a.iterall())
    except Exception:
        return True
    try:
        b = pydicom.dcmread(target)
        list(b.iterall())
    except Exception as error:
        print(f"TRANSCODED {source}: {error}")
        return False
    out = []
    if line["plan"]["length"] != os.path.getsize(target):
        out.append("length of plan is wrong")
    if b.file_meta.TransferSyntaxUID != "1.2.840.10008.1.2.1":
        out.append(f"syntax {b.file_meta.TransferSyntaxUID}")
    swap = line["transfer_syntax"] == "1.2.840.10008.1.2.2"

    def walk(x, y, where):
        keys = lambda d: [t for t in sorted(d.keys()) if t.element != 0 and t.group > 2 and t != 0xFFFCFFFC]
        if keys(x) != keys(y):
            out.append(f"{where}: keys {[str(t) for t in set(keys(x)) ^ set(keys(y))]}")
        for t in keys(x):
            if t not in y:
                continue
            p, q = x[t], y[t]
            if p.VR == "SQ" and q.VR == "SQ":
                if len(p.value) != len(q.value):
                    out.append(f"{where}{t}: items")
                for n, (i, j) in enumerate(zip(p.value, q.value)):
                    walk(i, j, f"{where}{t}.{n}.")
            elif isinstance(p.value, bytes):
                if t == 0x7FE00010:
                    continue
                v = le(p.value, p.VR, swap)
                if isinstance(q.value, bytes) and v.rstrip(b"\0") != q.value.rstrip(b"\0"):
                    out.append(f"{where}{t}: bytes")
            elif str(p.value) != str(q.value):
                out.append(f"{where}{t}: {p.VR} {p.value!r:.60} {q.VR} {q.value!r:.60}")
    walk(a, b, "")
    if "PixelData" in a and not out:
        try:
            if (a.pixel_array != b.pixel_array).any():
                out.append("pixels differ")
        except Exception as error:
            try:
                b.pixel_array
                out.append(f"pixels: {error}")
            except Exception:
                pass
    if out:
        print(f"TRANSCODED {source} {line['warnings']}")
        for text in out[:6]:
            print("   ", text)
    return not out


main()
