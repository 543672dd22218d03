"""Compares the golden metadata, JSON and XML, with what other readers make of
the same fixtures: pydicom, and DCMTK's dcm2json and dcm2xml where they are
installed.

Needs Python 3 and pydicom: python3 tests/golden/check.py
"""
import base64
import json
import math
import pathlib
import shutil
import struct
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pydicom
from pydicom import config

config.settings.reading_validation_mode = config.IGNORE
config.settings.writing_validation_mode = config.IGNORE

HERE = pathlib.Path(__file__).parent
FIXTURES = HERE.parent.parent / "fixtures"
NAMESPACE = "{http://dicom.nema.org/PS3.19/models/NativeDICOM}"
# Ours alone: how the file is stored.
OURS = {"00083002"}
# Padding of the file, no part of what it says.
PADDING = "FFFCFFFC"
# OB when encapsulated, whatever a file has (PS3.5 section A.4).
PIXELS = "7FE00010"
# Always said to be UTF-8, which DICOM JSON is.
CHARSET = "00080005"
BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
NUMBERS = {"FL", "FD", "SL", "SS", "UL", "US", "DS", "IS", "SV", "UV"}


def fixture(golden):
    """The file of a golden: CT_small.json is of CT_small.dcm."""
    stem = golden.stem
    for folder in ("charset", "variants"):
        if stem.startswith(folder + "_"):
            return FIXTURES / folder / (stem[len(folder) + 1 :] + ".dcm")
    if stem.startswith("media_"):
        return FIXTURES / stem.replace("_", "/")
    return FIXTURES / (stem + ".dcm")


def same(a, b):
    if a in (None, "") or b in (None, ""):
        return a in (None, "") and b in (None, "")
    if isinstance(a, dict) or isinstance(b, dict):
        return isinstance(a, dict) and isinstance(b, dict) and groups(a) == groups(b)
    try:
        x, y = float(a), float(b)
        if x == y or abs(x) < 1e-30 and single(x) == single(y):
            return True
        return math.isclose(x, y, rel_tol=1e-6) or (math.isnan(x) and math.isnan(y))
    except (TypeError, ValueError):
        return str(a).strip(" \0") == str(b).strip(" \0")


def single(number):
    """FL in the shortest text that gives the same 32 bits."""
    return struct.pack("<f", number) if abs(number) < 3.4e38 else None


def groups(name):
    """A person's name without the delimiters that say nothing."""
    # DCMTK's XML of a name in two groups says the second one twice.
    if name.get("Phonetic") == name.get("Ideographic"):
        name = {group: text for group, text in name.items() if group != "Phonetic"}
    return {group: text.rstrip("^ ") for group, text in name.items() if text.rstrip("^ ")}


def without_creator(tag, ours):
    """DCMTK's XML masks the block of a private attribute that nobody has reserved."""
    creator = f"{tag[:4]}00{tag[4:6]}"
    return int(tag[3], 16) % 2 == 1 and (tag[4:6] == "00" or creator not in ours)


def swapped(words):
    data = bytearray(words)
    data[0::2], data[1::2] = words[1::2], words[0 : len(words) // 2 * 2 : 2]
    return bytes(data)


def values(element):
    found = element.get("Value", [])
    if element["vr"] == "SQ":
        return found
    # Others say [null] or [""] or [{}] of what is empty, and leave out empty ends.
    while found and (found[-1] in (None, "") or isinstance(found[-1], dict) and not groups(found[-1])):
        found = found[:-1]
    return found


def compare(ours, theirs, path, wrong):
    ours = {tag: value for tag, value in ours.items() if tag not in OURS}
    theirs = {tag: value for tag, value in theirs.items() if not tag.endswith("0000") and tag != PADDING}
    for tag in sorted(set(ours) | set(theirs)):
        here = f"{path}/{tag}"
        if tag == CHARSET:
            continue
        if tag not in ours or tag not in theirs:
            if "dcm2xml" in path and without_creator(tag, ours):
                continue
            wrong.append(f"{here}: only {'ours' if tag in ours else 'theirs'}")
            continue
        a, b = ours[tag], theirs[tag]
        # pydicom knows what some vendors mean by their UN.
        if "UN" in (a["vr"], b["vr"]) and int(tag[3], 16) % 2 == 1:
            continue
        # A file may say UN of an attribute that has a VR; DCMTK leaves it at that.
        if b["vr"] == "UN" and a["vr"] != "UN":
            continue
        if a["vr"] != b["vr"] and tag != PIXELS:
            wrong.append(f"{here}: vr {a['vr']} is {b['vr']}")
        if "BulkDataURI" in a or "BulkDataURI" in b:
            if not any(member in b for member in ("InlineBinary", "Value", "BulkDataURI")):
                wrong.append(f"{here}: bulk data, theirs has {b}")
        elif "InlineBinary" in a or "InlineBinary" in b:
            data = [base64.b64decode(side.get("InlineBinary", "")) for side in (a, b)]
            # DCMTK's XML has words with the high byte first.
            if data[0] not in (data[1], swapped(data[1])):
                wrong.append(f"{here}: {data[0][:40]} is {data[1][:40]}")
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


def by_creator(data):
    """Private attributes by their creators, whose blocks differ between the forms."""
    found = {}
    for tag, element in data.items():
        if element["vr"] == "SQ" and "Value" in element:
            element = {**element, "Value": [by_creator(item) for item in element["Value"]]}
        if int(tag[3], 16) % 2 == 1 and tag[4:6] == "00" and tag[6:] >= "10" and element["vr"] == "LO":
            continue
        creator = data.get(f"{tag[:4]}00{tag[4:6]}", {}).get("Value", [None])[0]
        private = int(tag[3], 16) % 2 == 1 and tag[4:6] != "00" and creator is not None
        found[f"{tag[:4]}[{creator}]{tag[6:]}" if private else tag] = element
    return found


def of_xml(parent):
    """A Native DICOM Model in the terms of DICOM JSON, by a reading of its own."""
    found = {}
    for attribute in parent:
        if attribute.tag != NAMESPACE + "DicomAttribute":
            continue
        tag, vr = attribute.get("tag"), attribute.get("vr")
        creator = attribute.get("privateCreator")
        if creator is not None:
            tag = f"{tag[:4]}[{creator.strip()}]{tag[6:]}"
        element = {"vr": vr}
        numbered = []
        for child in attribute:
            kind = child.tag.removeprefix(NAMESPACE)
            if kind == "InlineBinary":
                element["InlineBinary"] = "".join((child.text or "").split())
            elif kind == "BulkData":
                element["BulkDataURI"] = child.get("uri") or child.get("uuid")
            elif kind == "Value":
                numbered.append((int(child.get("number")), child.text or ""))
            elif kind == "Item":
                numbered.append((int(child.get("number")), of_xml(child)))
            elif kind == "PersonName":
                numbered.append((int(child.get("number")), name_of(child)))
        if numbered:
            length = max(number for number, _ in numbered)
            element["Value"] = [dict(numbered).get(number) for number in range(1, length + 1)]
        found[tag] = element
    return found


def name_of(element):
    parts = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
    name = {}
    for group in element:
        text = "^".join(group.findtext(NAMESPACE + part) or "" for part in parts)
        name[group.tag.removeprefix(NAMESPACE)] = text.rstrip("^")
    return name


def dcmtk(command, *arguments):
    """What a tool of DCMTK prints; nothing if it cannot do this file."""
    run = subprocess.run([command, *arguments], capture_output=True, timeout=60, check=False)
    if run.returncode != 0 or not run.stdout:
        return None
    return run.stdout


class Oracle:
    """One other reader: its name, and what it makes of a file."""

    def __init__(self, name, read):
        self.name, self.read, self.files, self.unable = name, read, 0, []

    def check(self, path, goldens, wrong):
        theirs = self.read(path)
        if theirs is None:
            self.unable.append(path.name)
            return
        self.files += 1
        for form, ours in goldens:
            compare(by_creator(ours), by_creator(theirs), f"{self.name}: {path.relative_to(FIXTURES)} ({form})", wrong)


def by_pydicom(path):
    return {f"{element.tag:08X}": element_by_pydicom(element) for element in pydicom.dcmread(path)}


def element_by_pydicom(element):
    try:
        return element.to_json_dict(None, 1 << 40)
    except (TypeError, ValueError):
        # Such as letters in a number: the text is what there is to say.
        return {"vr": element.VR, "Value": [str(element.value)]}


def by_dcm2json(path):
    text = dcmtk("dcm2json", "--encode-extended", str(path))
    # inf and nan are no JSON, but Python takes them.
    return text and json.loads(text.replace(b": inf", b": Infinity").replace(b": nan", b": NaN"))


def by_dcm2xml(path):
    text = dcmtk(
        "dcm2xml", "--native-format", "--use-xml-namespace", "--convert-to-utf8", "--load-all", "--encode-base64", str(path)
    )
    return text and of_xml(ElementTree.fromstring(text))


def main():
    oracles = [Oracle("pydicom", by_pydicom)]
    for command, read in (("dcm2json", by_dcm2json), ("dcm2xml", by_dcm2xml)):
        if shutil.which(command):
            oracles.append(Oracle(command, read))
        else:
            print(f"NOT COMPARED: {command} of DCMTK is not installed")
    wrong = []
    for golden in sorted(HERE.glob("*.json")):
        path = fixture(golden)
        goldens = [("JSON", json.loads(golden.read_text()))]
        xml = golden.with_suffix(".xml")
        if xml.exists():
            goldens.append(("XML", of_xml(ElementTree.parse(xml).getroot())))
        for oracle in oracles:
            oracle.check(path, goldens, wrong)
    print("\n".join(wrong))
    for oracle in oracles:
        print(f"{oracle.name}: {oracle.files} files" + (f"; unable to read {', '.join(oracle.unable)}" if oracle.unable else ""))
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
