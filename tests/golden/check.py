"""Compares the golden metadata with what pydicom makes of the same fixtures.

Needs Python 3 and pydicom: python3 tests/golden/check.py
"""
import base64
import json
import math
import pathlib
import sys

import pydicom
from pydicom import config

config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent.parent / "fixtures"
# Ours alone: how the file is stored.
OURS = {"00083002"}
# Padding of the file, no part of what it says.
PADDING = "FFFCFFFC"
# OB when encapsulated, whatever a file has (PS3.5 section A.4).
PIXELS = "7FE00010"
# Always said to be UTF-8, which DICOM JSON is.
CHARSET = "00080005"


def same(a, b):
    if a in (None, "") or b in (None, ""):
        return a in (None, "") and b in (None, "")
    if isinstance(a, dict) or isinstance(b, dict):
        return isinstance(a, dict) and isinstance(b, dict) and a == b
    try:
        x, y = float(a), float(b)
        return math.isclose(x, y, rel_tol=1e-6) or (math.isnan(x) and math.isnan(y))
    except (TypeError, ValueError):
        return str(a).strip(" \0") == str(b).strip(" \0")


def values(element):
    found = element.get("Value", [])
    # pydicom says [null] or [""] or [{}] of what is empty.
    return [] if all(value in (None, "", {}) for value in found) and element["vr"] != "SQ" else found


def compare(ours, theirs, path, wrong):
    ours = {tag: value for tag, value in ours.items() if tag not in OURS}
    theirs = {tag: value for tag, value in theirs.items() if not tag.endswith("0000") and tag != PADDING}
    for tag in sorted(set(ours) | set(theirs)):
        here = f"{path}/{tag}"
        if tag not in ours or tag not in theirs:
            wrong.append(f"{here}: only {'ours' if tag in ours else 'pydicom'}")
            continue
        a, b = ours[tag], theirs[tag]
        if tag == CHARSET:
            continue
        # pydicom knows what some vendors mean by their UN.
        if a["vr"] == "UN" and int(tag[3], 16) % 2 == 1:
            continue
        if a["vr"] != b["vr"] and tag != PIXELS:
            wrong.append(f"{here}: vr {a['vr']} is {b['vr']}")
        if "BulkDataURI" in a:
            if b.get("InlineBinary") is None and b.get("Value") is None:
                wrong.append(f"{here}: bulk data, pydicom has {b}")
        elif "InlineBinary" in a or "InlineBinary" in b:
            data = [base64.b64decode(side.get("InlineBinary", "")) for side in (a, b)]
            if data[0] != data[1]:
                wrong.append(f"{here}: {data}")
        elif a["vr"] == "SQ" and b["vr"] == "SQ":
            x, y = a.get("Value", []), b.get("Value", [])
            if len(x) != len(y):
                wrong.append(f"{here}: {len(x)} items are {len(y)}")
            for index, (item, other) in enumerate(zip(x, y)):
                compare(item, other, f"{here}[{index}]", wrong)
        else:
            x, y = values(a), values(b)
            if len(x) != len(y) or not all(same(p, q) for p, q in zip(x, y)):
                wrong.append(f"{here}: {x} is {y}")


def main():
    wrong = []
    for golden in sorted(HERE.glob("*.json")):
        name = golden.stem.replace("charset_", "charset/") + ".dcm"
        data = pydicom.dcmread(FIXTURES / name)
        theirs = data.to_json_dict(bulk_data_threshold=1 << 40, suppress_invalid_tags=True)
        compare(json.loads(golden.read_text()), theirs, name, wrong)
    print("\n".join(wrong) or "every golden file says what pydicom says")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
