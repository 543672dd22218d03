"""What dicomweb-client has no method for, by plain HTTP and pydicom alone: the
pixel data of an instance, and instances stored as DICOM JSON with their bulk
data in parts of their own.
"""

import json
import uuid

import pydicom
import requests
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, generate_uid

OCTETS = "application/octet-stream"


def related(parts, root):
    """A multipart/related body: its Content-Type and its bytes."""
    boundary = uuid.uuid4().hex
    body = b""
    for headers, data in parts:
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        body += f"--{boundary}\r\n{lines}\r\n".encode() + data + b"\r\n"
    return f'multipart/related; type="{root}"; boundary={boundary}', body + f"--{boundary}--\r\n".encode()


def split(response):
    """The parts of a multipart answer, without their headers."""
    boundary = b"--" + response.headers["Content-Type"].split("boundary=")[1].strip('"').encode()
    pieces = response.content.split(boundary)[1:-1]
    return [piece.split(b"\r\n\r\n", 1)[1][: -len(b"\r\n")] for piece in pieces]


def pixel_data(url, fixture, native):
    """/pixeldata: all native frames as one part, each compressed frame as its own."""
    accept = f'multipart/related; type="{OCTETS}"; transfer-syntax=*'
    response = requests.get(f"{url}/pixeldata", headers={"Accept": accept}, timeout=30)
    if response.status_code != 200:
        return f"{response.status_code}: {response.text[:200]}"
    got = split(response)
    if UID(fixture.syntax).is_encapsulated:
        want = list(generate_frames(fixture.set.PixelData, number_of_frames=fixture.frames))
        if [part.rstrip(b"\0") for part in got] != [bytes(frame).rstrip(b"\0") for frame in want]:
            return f"{len(got)} parts for {len(want)} frames, or others"
        return None
    want = b"".join(native(fixture))
    # What is more than the frames is padding of the element.
    if len(got) != 1 or got[0][: len(want)] != want or len(got[0]) > len(fixture.set.PixelData):
        return f"{[len(part) for part in got]} bytes for {len(want)}"
    return None


def as_json(data, kind):
    """A data set as JSON, and its large values as parts; compressed frames each their own."""
    parts = []

    def take(element):
        uri = f"urn:uuid:{uuid.uuid4()}"
        if element.tag == 0x7FE00010 and UID(data.file_meta.TransferSyntaxUID).is_encapsulated:
            frames = generate_frames(element.value, number_of_frames=int(data.get("NumberOfFrames") or 1))
            parts.extend(({"Content-Type": kind, "Content-Location": uri}, bytes(frame)) for frame in frames)
        else:
            parts.append(({"Content-Type": OCTETS, "Content-Location": uri}, bytes(element.value)))
        return uri

    found = data.to_json_dict(bulk_data_threshold=512, bulk_data_element_handler=take)
    return found, parts


def store_as_json(base_url, fixture, compare, frame_type):
    """pydicom's own JSON of a file, under a new UID, comes back as the file it was."""
    data = pydicom.dcmread(fixture.path)
    data.SOPInstanceUID = generate_uid()
    kind = f"{frame_type}; transfer-syntax={fixture.syntax}" if frame_type else OCTETS
    metadata, bulk = as_json(data, kind)
    head = ({"Content-Type": "application/dicom+json"}, json.dumps([metadata]).encode())
    content_type, body = related([head, *bulk], "application/dicom+json")
    answer = requests.post(
        f"{base_url}/studies",
        data=body,
        headers={"Content-Type": content_type, "Accept": "application/dicom+json"},
        timeout=30,
    )
    module = Dataset.from_json(answer.json()) if answer.status_code in (200, 202, 409) else answer.text[:200]
    if answer.status_code not in (200, 202):
        return f"{answer.status_code}: {module}"
    url = module.ReferencedSOPSequence[0].RetrieveURL
    accept = "application/dicom; transfer-syntax=*"
    try:
        back = requests.get(url, headers={"Accept": accept}, timeout=30)
        got = pydicom.dcmread(pydicom.filebase.DicomBytesIO(back.content))
        if got.file_meta.TransferSyntaxUID != fixture.syntax:
            return f"came back in {got.file_meta.TransferSyntaxUID.name}"
        difference = compare(data, got, pixels=not UID(fixture.syntax).is_encapsulated)
        if not difference and UID(fixture.syntax).is_encapsulated:
            frames = [list(generate_frames(side.PixelData, number_of_frames=fixture.frames)) for side in (data, got)]
            difference = None if frames[0] == frames[1] else "other frames"
        return difference
    finally:
        requests.delete(url, timeout=30)
