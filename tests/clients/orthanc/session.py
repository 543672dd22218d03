"""Orthanc stores fixtures into a running server, searches it, and takes them back from it, by study, by series and by
instance: what it then has is the files that it had before, byte for byte.

    python session.py http://127.0.0.1:8080 http://127.0.0.1:8042

The server's root and Orthanc's, which calls the server "hilum". Both must be empty. Needs nothing but Python.
"""

import json
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

FIXTURES = Path(__file__).resolve().parents[3] / "fixtures"
# Transfer syntaxes that the web knows, so that each comes back as it was stored.
FILES = [
    "CT_small.dcm", "MR_small.dcm", "emri_small.dcm", "liver.dcm", "waveform_ecg.dcm", "reportsi.dcm", "examples_ybr_color.dcm",
    "JPEG-LL.dcm", "RG3_J2KI.dcm", "SC_rgb_rle_2frame.dcm", "charset/chrH32.dcm", "charset/chrRuss.dcm",
]
archive, orthanc = (url.rstrip("/") for url in sys.argv[1:])


def ask(url, body=None, method=None):
    request = urllib.request.Request(url, body, {"Accept": "application/json, */*;q=0.5"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def asked(url, value=None):
    return json.loads(ask(url, None if value is None else json.dumps(value).encode()))


def peer(what, **values):
    return asked(f"{orthanc}/dicom-web/servers/hilum/{what}", values)


def ready(url):
    for _ in range(100):
        try:
            return ask(url)
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.2)
    raise SystemExit(f"{url} did not start")


def held():
    """What Orthanc has: the instances by their UIDs."""
    return {asked(f"{orthanc}/instances/{name}")["MainDicomTags"]["SOPInstanceUID"]: name for name in asked(f"{orthanc}/instances")}


def empty():
    for name in held().values():
        ask(f"{orthanc}/instances/{name}", method="DELETE")


def same(what):
    """Orthanc's files are those of the fixtures."""
    found = {uid: ask(f"{orthanc}/instances/{name}/file") for uid, name in held().items()}
    assert found == files, f"{what}: {[uid for uid in files if found.get(uid) != files[uid]]}"


ready(f"{archive}/readyz")
ready(f"{orthanc}/system")
for file in FILES:
    ask(f"{orthanc}/instances", (FIXTURES / file).read_bytes())
files = {uid: ask(f"{orthanc}/instances/{name}/file") for uid, name in held().items()}
assert len(files) == len(FILES)

peer("stow", Resources=list(held().values()), Synchronous=True)
instances = json.loads(ask(f"{archive}/dicomweb/instances"))
places = {row["00080018"]["Value"][0]: [row[tag]["Value"][0] for tag in ("0020000D", "0020000E")] for row in instances}
assert places.keys() == files.keys(), "not all are stored"
found = peer("qido", Uri="/studies", Arguments={"PatientName": "CompressedSamples*", "ModalitiesInStudy": "CT"})
assert [row["00100020"]["Value"] for row in found] == ["1CT1"], found
everything = peer("qido", Uri="/studies", Arguments={"limit": "100"})
assert len(everything) == len({study for study, _ in places.values()})

for what, resources in (
    ("studies", [{"Study": study} for study in sorted({study for study, _ in places.values()})]),
    ("series", [{"Study": study, "Series": series} for study, series in places.values()]),
    ("instances", [{"Study": study, "Series": series, "Instance": uid} for uid, (study, series) in places.items()]),
):
    empty()
    peer("retrieve", Resources=resources, Synchronous=True)
    same(what)
print(f"Orthanc: {len(files)} files stored, found, and taken back by study, series and instance; no difference")
