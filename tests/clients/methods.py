"""That a session leaves no method of its client out: a client that remembers
what was called, and the calls that only this check makes.
"""

import inspect

import requests
from dicomweb_client.api import DICOMwebClient

class Recorder:
    """A client, and the names of its public methods that were called."""

    def __init__(self, client):
        self._client = client
        self._called = set()

    def __getattr__(self, name):
        value = getattr(self._client, name)
        if callable(value) and not name.startswith("_"):
            self._called.add(name)
        return value

    def left_out(self):
        methods = {name for name, _ in inspect.getmembers(DICOMwebClient, inspect.isroutine) if not name.startswith("_")}
        return sorted(methods - self._called)


def streamed(client, uids, frames):
    """What comes piece by piece is what comes at once, in chunks of any size."""
    stored = (("application/dicom", "*"),)
    for size in (None, 7001):
        if size:
            client.set_chunk_size(size)
        for what, at_once, one_by_one in (
            ("study", client.retrieve_study(uids[0], media_types=stored), client.iter_study(uids[0], media_types=stored)),
            (
                "series",
                client.retrieve_series(*uids[:2], media_types=stored),
                client.iter_series(*uids[:2], media_types=stored),
            ),
        ):
            at_once, one_by_one = list(at_once), list(one_by_one)
            if [part.SOPInstanceUID for part in at_once] != [part.SOPInstanceUID for part in one_by_one]:
                return f"{what}: {len(one_by_one)} parts for {len(at_once)}"
        numbers = list(range(1, frames + 1))
        at_once = [bytes(frame) for frame in client.retrieve_instance_frames(*uids, numbers)]
        one_by_one = [bytes(frame) for frame in client.iter_instance_frames(*uids, numbers)]
        if at_once != one_by_one or len(at_once) != frames:
            return f"frames: {len(one_by_one)} for {len(at_once)}"
        uri = client.retrieve_instance_metadata(*uids)["7FE00010"]["BulkDataURI"]
        at_once = [bytes(part) for part in client.retrieve_bulkdata(uri)]
        one_by_one = [bytes(part) for part in client.iter_bulkdata(uri)]
        if at_once != one_by_one or not at_once[0]:
            return "bulk data"
        # Not by the client's byte_range: it would parse a piece of a multipart body.
        part = requests.get(uri, headers={"Accept": "application/octet-stream", "Range": "bytes=10-19"}, timeout=30)
        if part.status_code != 206 or part.content != at_once[0][10:20]:
            return f"a range of bulk data is {part.status_code}"
    return None


def names(client):
    """Look-ups in the client's own dictionary; no request."""
    if client.lookup_keyword("00100020") != "PatientID" or client.lookup_tag("PatientID") != "00100020":
        return "the dictionary"
    return None


def rendered(client, uids):
    """Pictures in the type that was asked for, by what their first bytes say."""
    begins = {"image/jpeg": b"\xff\xd8\xff", "image/png": b"\x89PNG", "image/gif": b"GIF8"}
    for media_type, magic in begins.items():
        for name, arguments in {
            "retrieve_instance_rendered": uids,
            "retrieve_instance_frames_rendered": (*uids, [1]),
            "retrieve_series_rendered": uids[:2],
        }.items():
            picture = getattr(client, name)(*arguments, media_types=(media_type,))
            pictures = [picture] if isinstance(picture, bytes) else list(picture)
            if not pictures or not all(bytes(picture).startswith(magic) for picture in pictures):
                return f"{name} as {media_type} is not one"
    return None
