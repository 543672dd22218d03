"""A client's session against a running server: Python's dicomweb-client stores
every fixture, searches, retrieves and deletes, and pydicom's own reading of the
file says what should have come back.

    python session.py http://127.0.0.1:8080/dicomweb

Prints one line a fixture and every difference; exits with 1 if there is one.
The archive must be empty and is empty again afterwards.
"""

import json
import struct
import sys
import warnings
from io import BytesIO
from pathlib import Path

import pydicom
import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

import methods
import parts

warnings.filterwarnings("ignore")

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
CONVERTED = (ImplicitVRLittleEndian, ExplicitVRBigEndian)
FRAME_TYPES = {
    "1.2.840.10008.1.2.5": "image/dicom-rle",
    "1.2.840.10008.1.2.4.50": "image/jpeg",
    "1.2.840.10008.1.2.4.51": "image/jpeg",
    "1.2.840.10008.1.2.4.57": "image/jpeg",
    "1.2.840.10008.1.2.4.70": "image/jpeg",
    "1.2.840.10008.1.2.4.80": "image/jls",
    "1.2.840.10008.1.2.4.81": "image/jls",
    "1.2.840.10008.1.2.4.90": "image/jp2",
    "1.2.840.10008.1.2.4.91": "image/jp2",
}
BINARY = {"OB", "OD", "OF", "OL", "OV", "OW", "UN"}
WORD = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}

# Numbers that are none, by their tags: in DICOM JSON they stay text.
BAD_NUMBERS = {"variants/badVR.dcm": {"00280008": "1A"}}

# Files of odd/ that carry all four UIDs and are whole: these must be stored.
ODD_BUT_STORED = {
    "ExplVR_BigEndNoMeta.dcm",
    "ExplVR_LitEndNoMeta.dcm",
    "rtstruct.dcm",
    "SC_rgb_jpeg.dcm",
}


# Each in a syntax that its JSON and its parts can say.
STORED_AS_JSON = {
    "693_J2KI.dcm",
    "CT_small.dcm",
    "JPEG-LL.dcm",
    "MR_small.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_rle_2frame.dcm",
    "emri_small.dcm",
    "examples_overlay.dcm",
    "liver.dcm",
    "reportsi.dcm",
    "waveform_ecg.dcm",
}


class Fixture:
    """A file, and what pydicom makes of it."""

    def __init__(self, path):
        self.path = path
        self.name = str(path.relative_to(FIXTURES))
        self.bytes = path.read_bytes()
        self.set = pydicom.dcmread(BytesIO(self.bytes), force=True)
        self.study = self.set.get("StudyInstanceUID")
        self.series = self.set.get("SeriesInstanceUID")
        self.instance = self.set.get("SOPInstanceUID")
        meta = getattr(self.set, "file_meta", {})
        self.syntax = meta.get("TransferSyntaxUID", ExplicitVRLittleEndian)

    @property
    def uids(self):
        return self.study, self.series, self.instance

    @property
    def frames(self):
        if self.name in BAD_NUMBERS:
            frame_bits = self.set.Rows * self.set.Columns * self.set.SamplesPerPixel * self.set.BitsAllocated
            return len(self.set.PixelData) * 8 // frame_bits
        return max(1, int(self.set.get("NumberOfFrames") or 1))

    def read_json(self, row, bulkdata=None):
        """The data set of a result, whose bad numbers pydicom would refuse."""
        for tag, text in BAD_NUMBERS.get(self.name, {}).items():
            if tag in row and row.pop(tag).get("Value") != [text]:
                raise ValueError(f"{tag} is not the text of the file")
        return Dataset.from_json(json.dumps(row), bulkdata)


class Report:
    """What was checked for each fixture, and every difference found."""

    def __init__(self):
        self.rows = {}
        self.problems = []

    def check(self, name, step, action):
        """Runs `action`; what it returns or raises is a difference."""
        try:
            found = action()
        except Exception as error:  # noqa: BLE001 - any failure of a step is a finding
            found = f"{type(error).__name__}: {str(error)[:300]}"
            response = getattr(error, "response", None)
            if response is not None:
                found += f" {response.text[:300]}"
        self.rows.setdefault(name, {})[step] = "ok" if not found else "FAILED"
        if found:
            self.problems.append(f"{name}, {step}: {found}")
        return not found

    def note(self, name, step, text):
        self.rows.setdefault(name, {})[step] = text

    def print(self):
        steps = list(dict.fromkeys(step for row in self.rows.values() for step in row))
        width = max(len(name) for name in self.rows)
        print(" " * width, *(f"{step:>9}" for step in steps))
        for name, row in self.rows.items():
            print(f"{name:{width}}", *(f"{row.get(step, '-'):>9}" for step in steps))
        for problem in self.problems:
            print("DIFFERENCE", problem)
        checks = sum(len(row) for row in self.rows.values())
        print(f"{len(self.rows)} fixtures and topics, {checks} checks, {len(self.problems)} differences")


class Session:
    def __init__(self, base_url):
        self.base_url = base_url.rstrip("/")
        self.client = methods.Recorder(DICOMwebClient(self.base_url))
        self.client.set_http_retry_params(retry=False)
        self.report = Report()

    # --- store -----------------------------------------------------------

    def post(self, *bodies):
        """The bytes as they are; `store_instances` would write them anew."""
        return self.client._http_post_multipart_application_dicom(f"{self.base_url}/studies", bodies)

    def store(self, fixture):
        answer = self.post(fixture.bytes)
        items = answer.get("ReferencedSOPSequence") or []
        if [item.ReferencedSOPInstanceUID for item in items] != [fixture.instance]:
            return f"not acknowledged: {answer.to_json()}"
        if "FailedSOPSequence" in answer or "OtherFailuresSequence" in answer:
            return f"failures beside a success: {answer.to_json()}"
        url = f"{self.base_url}/studies/{fixture.study}"
        if answer.get("RetrieveURL") != url:
            return f"RetrieveURL {answer.get('RetrieveURL')} is not {url}"
        return None

    def store_medium(self, medium):
        """Several studies in one request, written by pydicom itself."""
        answer = self.client.store_instances([fixture.set for fixture in medium])
        stored = {item.ReferencedSOPInstanceUID for item in answer.ReferencedSOPSequence}
        missing = {fixture.instance for fixture in medium} - stored
        return f"not stored: {missing}" if missing else None

    # --- search ----------------------------------------------------------

    def search(self, fixture):
        study, series, instance = fixture.uids
        client = self.client
        found = client.search_for_studies(search_filters={"StudyInstanceUID": study})
        if len(found) != 1:
            return f"{len(found)} studies"
        row = fixture.read_json(found[0])
        for keyword in ("PatientID", "PatientName", "StudyDate", "AccessionNumber"):
            expected, got = text(fixture.set.get(keyword)), text(row.get(keyword))
            if self.only_one_in_study(fixture) and expected != got:
                return f"study's {keyword} differs"
        modality = fixture.set.get("Modality")
        if modality and modality not in values(row.get("ModalitiesInStudy")):
            return f"ModalitiesInStudy lacks {modality}"
        found = client.search_for_series(study, search_filters={"SeriesInstanceUID": series})
        if len(found) != 1:
            return f"{len(found)} series"
        row = fixture.read_json(found[0])
        if row.StudyInstanceUID != study or row.get("Modality") != modality:
            return "series row differs"
        found = client.search_for_instances(study, series, search_filters={"SOPInstanceUID": instance})
        if len(found) != 1:
            return f"{len(found)} instances"
        row = fixture.read_json(found[0])
        if (row.SOPClassUID, row.SeriesInstanceUID) != (fixture.set.SOPClassUID, series):
            return "instance row differs"
        if len(client.search_for_instances(search_filters={"SOPInstanceUID": instance})) != 1:
            return "not found without its study"
        return None

    def only_one_in_study(self, fixture):
        return sum(other.study == fixture.study for other in self.stored) == 1

    def search_everything(self):
        """What a client sees who pages through the archive."""
        expected = {fixture.study for fixture in self.stored}
        paged, offset = [], 0
        while rows := self.client.search_for_studies(limit=7, offset=offset):
            paged += [row["0020000D"]["Value"][0] for row in rows]
            offset += len(rows)
        if sorted(paged) != sorted(expected):
            return f"paging found {len(paged)} studies, {len(expected)} are stored"
        at_once = [row["0020000D"]["Value"][0] for row in self.client.search_for_studies(get_remaining=True)]
        if at_once != paged:
            return "the order of a page differs from the order of the whole"
        for modality in sorted({text(fixture.set.get("Modality")) for fixture in self.stored} - {""}):
            rows = self.client.search_for_studies(search_filters={"ModalitiesInStudy": modality})
            got = {row["0020000D"]["Value"][0] for row in rows}
            want = {fixture.study for fixture in self.stored if fixture.set.get("Modality") == modality}
            if got != want:
                return f"ModalitiesInStudy={modality} found {len(got)} studies of {len(want)}"
        for row in at_once and self.client.search_for_studies():
            study = row["0020000D"]["Value"][0]
            own = [fixture for fixture in self.stored if fixture.study == study]
            counts = (len({fixture.series for fixture in own}), len(own))
            got = (row["00201206"]["Value"][0], row["00201208"]["Value"][0])
            if got != counts:
                return f"study {study} says it has {got} series and instances, it has {counts}"
        return None

    def search_by_text(self):
        """Names in many scripts, wildcards, ranges."""
        queries = [
            ({"PatientName": "CompressedSamples*"}, lambda s: text(s.get("PatientName")).startswith("CompressedSamples")),
            ({"PatientID": "*1"}, lambda s: text(s.get("PatientID")).endswith("1")),
            ({"StudyDate": "20030101-20041231"}, lambda s: "20030101" <= text(s.get("StudyDate")) <= "20041231"),
            ({"StudyDate": "-19991231"}, lambda s: "" < text(s.get("StudyDate")) <= "19991231"),
        ]
        for filters, predicate in queries:
            got = {row["0020000D"]["Value"][0] for row in self.client.search_for_studies(search_filters=filters)}
            # Only studies whose instances agree: another engine of attributes is not tested here.
            sure = {fixture.study for fixture in self.stored if self.only_one_in_study(fixture)}
            want = {fixture.study for fixture in self.stored if predicate(fixture.set)}
            if got & sure != want & sure:
                return f"{filters}: found {len(got & sure)} of {len(want & sure)}"
        for fixture in self.stored:
            name = fixture.set.get("PatientName")
            if fixture.path.parent.name != "charset" or not name or not self.only_one_in_study(fixture):
                continue
            for part in str(name if not isinstance(name, pydicom.multival.MultiValue) else name[0]).split("="):
                rows = self.client.search_for_studies(search_filters={"PatientName": part})
                if fixture.study not in {row["0020000D"]["Value"][0] for row in rows}:
                    return f"{fixture.name} is not found by a group of its patient's name"
        return None

    # --- retrieve --------------------------------------------------------

    def instance(self, fixture):
        got = self.client.retrieve_instance(*fixture.uids, media_types=(("application/dicom", "*"),))
        syntax = got.file_meta.TransferSyntaxUID
        if fixture.syntax in CONVERTED:
            if syntax != ExplicitVRLittleEndian:
                return f"transfer syntax {syntax.name} on the web"
        elif fixture.path.parent.name != "odd":
            if syntax != fixture.syntax:
                return f"came back in {syntax.name}"
            raw = self.raw(fixture, "*")
            if raw != fixture.bytes and fixture.path.parent.name != "media":
                return f"bytes differ ({len(raw)} for {len(fixture.bytes)})"
        difference = compare(fixture.set, got, swapped=is_big_endian(fixture))
        if difference:
            return difference
        if UID(fixture.syntax).is_compressed and fixture.syntax != DeflatedExplicitVRLittleEndian:
            return None
        plain = pydicom.dcmread(BytesIO(self.raw(fixture, None)))
        if plain.file_meta.TransferSyntaxUID != ExplicitVRLittleEndian:
            return "the default transfer syntax is not Explicit VR Little Endian"
        return compare(fixture.set, plain, swapped=is_big_endian(fixture))

    def raw(self, fixture, syntax):
        accept = 'multipart/related; type="application/dicom"'
        accept += f"; transfer-syntax={syntax}" if syntax else ""
        response = requests.get(self.url(fixture), headers={"Accept": accept}, timeout=30)
        response.raise_for_status()
        (part,) = self.client._decode_multipart_message(response, stream=False)
        return bytes(part)

    def url(self, fixture, below=""):
        study, series, instance = fixture.uids
        return f"{self.base_url}/studies/{study}/series/{series}/instances/{instance}{below}"

    def series_and_study(self, fixture):
        own = {other.instance for other in self.stored if other.series == fixture.series}
        got = self.client.retrieve_series(*fixture.uids[:2], media_types=(("application/dicom", "*"),))
        if {part.SOPInstanceUID for part in got} != own:
            return f"series of {len(own)} came back as {len(got)}"
        got = self.client.retrieve_series_metadata(*fixture.uids[:2])
        if {row["00080018"]["Value"][0] for row in got} != own:
            return f"series of {len(own)} has metadata of {len(got)}"
        own = {other.instance for other in self.stored if other.study == fixture.study}
        got = self.client.retrieve_study(fixture.study, media_types=(("application/dicom", "*"),))
        if {part.SOPInstanceUID for part in got} != own:
            return f"study of {len(own)} came back as {len(got)}"
        got = self.client.retrieve_study_metadata(fixture.study)
        if {row["00080018"]["Value"][0] for row in got} != own:
            return f"study of {len(own)} has metadata of {len(got)}"
        return None

    def metadata(self, fixture):
        row = self.client.retrieve_instance_metadata(*fixture.uids)
        if any(tag.startswith("0002") for tag in row):
            return "group 0002 in the metadata"
        if list(row) != sorted(row):
            return "tags out of order"
        self.bulk = []
        got = fixture.read_json(row, lambda tag, vr, uri: self.bulkdata(tag, vr, uri))
        want = pydicom.dcmread(BytesIO(fixture.bytes), force=True)
        for tag in BAD_NUMBERS.get(fixture.name, ()):
            del want[tag]
        return compare(want, got, swapped=is_big_endian(fixture), pixels=False)

    def bulkdata(self, tag, vr, uri):
        if not uri.startswith(self.base_url):
            raise ValueError(f"BulkDataURI {uri} of {tag} is not absolute")
        self.bulk.append(tag)
        parts = self.client.retrieve_bulkdata(uri)
        return b"".join(bytes(part) for part in parts)

    def frames(self, fixture):
        count = fixture.frames
        numbers = list(range(1, count + 1))
        if UID(fixture.syntax).is_encapsulated:
            want = [bytes(frame) for frame in generate_frames(fixture.set.PixelData, number_of_frames=count)]
            kind = FRAME_TYPES[fixture.syntax]
            for media_types in (((kind, str(fixture.syntax)),), (("*/*", "*"),)):
                got = self.client.retrieve_instance_frames(*fixture.uids, numbers, media_types=media_types)
                if [bytes(frame).rstrip(b"\0") for frame in got] != [frame.rstrip(b"\0") for frame in want]:
                    return f"frames differ as {media_types}"
        else:
            want = native_frames(fixture)
            got = self.client.retrieve_instance_frames(*fixture.uids, numbers)
            if [bytes(frame) for frame in got] != want:
                return f"frames differ: {[len(f) for f in got[:3]]} for {[len(f) for f in want[:3]]}"
        last = self.client.retrieve_instance_frames(*fixture.uids, [count], media_types=(("*/*", "*"),))
        if len(last) != 1:
            return f"{len(last)} parts for one frame"
        beyond = requests.get(self.url(fixture, f"/frames/{count + 1}"), timeout=30)
        return None if beyond.status_code == 404 else f"a frame past the last is {beyond.status_code}"

    # --- delete ----------------------------------------------------------

    def delete(self, fixture):
        self.client.delete_instance(*fixture.uids)
        self.stored = [other for other in self.stored if other.instance != fixture.instance]
        return self.is_gone(fixture)

    def is_gone(self, fixture):
        for below in ("", "/metadata", "/frames/1"):
            status = requests.get(self.url(fixture, below), timeout=30).status_code
            if status != 410:
                return f"{below or 'the instance'} is {status} after its deletion"
        if self.client.search_for_instances(search_filters={"SOPInstanceUID": fixture.instance}):
            return "still found after its deletion"
        left = {row["0020000D"]["Value"][0] for row in self.client.search_for_studies()}
        if (fixture.study in left) != any(other.study == fixture.study for other in self.stored):
            return "its study is not as it should be after the deletion"
        return None

    # --- the session -----------------------------------------------------

    def run(self):
        report = self.report
        whole = [Fixture(path) for path in sorted(FIXTURES.glob("*.dcm"))]
        whole += [Fixture(path) for path in sorted(FIXTURES.glob("charset/*.dcm"))]
        medium = [
            Fixture(path)
            for path in sorted(FIXTURES.glob("media/**/*"))
            if path.is_file() and path.name != "DICOMDIR"
        ]
        self.stored = []
        if self.client.search_for_studies():
            sys.exit("the archive is not empty: this session would delete what is in it")

        for fixture in whole:
            if report.check(fixture.name, "store", lambda f=fixture: self.store(f)):
                self.stored.append(fixture)
        if report.check("media/", "store", lambda: self.store_medium(medium)):
            self.stored += medium
        report.check("the archive", "search", self.search_everything)
        report.check("texts and ranges", "search", self.search_by_text)
        for fixture in list(self.stored):
            self.read_back(fixture)
        for fixture in whole:
            report.check(fixture.name, "again", lambda f=fixture: self.store(f))
        for fixture in whole:
            if fixture.name in STORED_AS_JSON:
                kind = FRAME_TYPES.get(fixture.syntax)
                report.check(
                    fixture.name, "as JSON", lambda f=fixture, k=kind: parts.store_as_json(self.base_url, f, compare, k)
                )
        enhanced = next(fixture for fixture in whole if fixture.name == "emri_small.dcm")
        report.check("the client", "streams", lambda: methods.streamed(self.client, enhanced.uids, enhanced.frames))
        report.check("the client", "names", lambda: methods.names(self.client))
        report.check("the client", "rendered", lambda: methods.rendered(self.client, enhanced.uids))

        for path in sorted(FIXTURES.glob("variants/*.dcm")):
            self.variant(Fixture(path))
        self.delete_everything()
        for path in sorted(FIXTURES.glob("odd/*.dcm")):
            self.odd(Fixture(path))
        report.check("the archive", "emptied", self.is_empty)
        report.check("the client", "methods", lambda: ", ".join(self.client.left_out()))
        report.print()
        return 1 if report.problems else 0

    def read_back(self, fixture):
        report = self.report
        report.check(fixture.name, "search", lambda: self.search(fixture))
        report.check(fixture.name, "instance", lambda: self.instance(fixture))
        report.check(fixture.name, "series", lambda: self.series_and_study(fixture))
        report.check(fixture.name, "metadata", lambda: self.metadata(fixture))
        if "PixelData" in fixture.set:
            report.check(fixture.name, "frames", lambda: self.frames(fixture))
            report.check(fixture.name, "pixels", lambda: parts.pixel_data(self.url(fixture), fixture, native_frames))

    def variant(self, fixture):
        """Other bytes under a known UID: refused; stored once that is deleted."""
        original = next((other for other in self.stored if other.instance == fixture.instance), None)
        if original:
            self.report.check(fixture.name, "conflict", lambda: self.is_refused(fixture, 0x0111))
            self.report.check(original.name, "delete", lambda: self.delete(original))
        if self.report.check(fixture.name, "store", lambda: self.store(fixture)):
            self.stored.append(fixture)
            self.read_back(fixture)

    def is_refused(self, fixture, reason=None):
        try:
            answer = self.post(fixture.bytes)
        except requests.HTTPError as error:
            if error.response.status_code not in (400, 409):
                return f"refused with {error.response.status_code}: {error.response.text[:200]}"
            if reason is None:
                return None
            answer = Dataset.from_json(error.response.json())
        failed = list(answer.get("FailedSOPSequence") or []) + list(answer.get("OtherFailuresSequence") or [])
        if not failed:
            return f"was accepted: {answer.to_json()[:200]}"
        if reason is not None and failed[0].FailureReason != reason:
            return f"failure reason {failed[0].FailureReason:#06x}, not {reason:#06x}"
        return None

    def delete_everything(self):
        """Some by series, some by study; the variants were deleted one by one."""
        for index, study in enumerate(dict.fromkeys(fixture.study for fixture in self.stored)):
            own = [fixture for fixture in self.stored if fixture.study == study]

            def delete(study=study, own=own, by_series=index % 2 == 0):
                if by_series:
                    for series in dict.fromkeys(fixture.series for fixture in own):
                        self.client.delete_series(study, series)
                else:
                    self.client.delete_study(study)
                self.stored = [fixture for fixture in self.stored if fixture.study != study]
                return self.is_gone(own[0])

            self.report.check(own[0].name, "delete", delete)

    def odd(self, fixture):
        if fixture.path.name in ODD_BUT_STORED:
            # pydicom cannot tell a bare data set's syntax: the server's reading is compared to the UIDs only.
            rows = []

            def store():
                answer = self.post(fixture.bytes)
                rows.extend(answer.get("ReferencedSOPSequence") or [])
                return None if rows else f"refused: {answer.to_json()[:300]}"

            def read():
                (path,) = [
                    (row["0020000D"]["Value"][0], row["0020000E"]["Value"][0], row["00080018"]["Value"][0])
                    for row in self.client.search_for_instances()
                ]
                if path[2] != rows[0].ReferencedSOPInstanceUID:
                    return "another SOP Instance UID than acknowledged"
                self.client.retrieve_instance(*path, media_types=(("application/dicom", "*"),))
                self.client.retrieve_instance_metadata(*path)
                self.client.delete_study(path[0])
                return None

            if self.report.check(fixture.name, "store", store):
                self.report.check(fixture.name, "instance", read)
        else:
            self.report.check(fixture.name, "refused", lambda: self.is_refused(fixture))

    def is_empty(self):
        left = self.client.search_for_studies()
        return f"{len(left)} studies are left" if left else None


# --- comparing ---------------------------------------------------------------


def is_big_endian(fixture):
    return fixture.syntax == ExplicitVRBigEndian


def swap(data, width):
    count = len(data) // width
    code = {2: "H", 4: "I", 8: "Q"}[width]
    return struct.pack(f"<{count}{code}", *struct.unpack(f">{count}{code}", data[: count * width]))


def native_frames(fixture):
    """The frames of uncompressed pixels as little endian bytes."""
    ds = fixture.set
    data = ds.PixelData
    if is_big_endian(fixture) and ds.BitsAllocated > 8:
        data = swap(data, ds.BitsAllocated // 8)
    samples = ds.get("SamplesPerPixel", 1)
    bits = ds.Rows * ds.Columns * samples * ds.BitsAllocated
    if ds.get("PhotometricInterpretation") == "YBR_FULL_422":
        bits = bits * 2 // 3
    if bits % 8:
        raise ValueError("frames that do not begin at a byte need a test of their own")
    size = bits // 8
    return [data[index * size : (index + 1) * size] for index in range(fixture.frames)]


def values(value):
    if value is None:
        return []
    return list(value) if isinstance(value, (list, pydicom.multival.MultiValue)) else [value]


def text(value):
    return "\\".join(str(item).strip() for item in values(value))


def canonical(element, swapped=False):
    """A value that two readings of the same attribute have in common."""
    vr, value = str(element.VR), element.value
    if vr == "SQ":
        return [None for _ in value]
    if vr in BINARY or isinstance(value, bytes):
        data = bytes(value or b"")
        width = WORD.get(vr, 1) if swapped else 1
        data = swap(data, width) if width > 1 else data
        return data.rstrip(b"\0 ")
    if value is None or value == "":
        return []
    if vr == "PN":
        return [str(name).rstrip("=^ ").replace("^=", "=") for name in values(value)]
    if vr == "FL":
        # JSON has the shortest text that is the same 32 bits.
        return [struct.unpack("<f", struct.pack("<f", item)) for item in values(value)]
    if vr in ("IS", "DS", "FD", "SL", "SS", "UL", "US", "SV", "UV"):
        return [number(item) for item in values(value)]
    if vr == "AT":
        return [int(item) for item in values(value)]
    # Trailing empty values and padding carry nothing.
    found = [str(item).strip(" \0") for item in values(value)]
    while found and not found[-1]:
        found.pop()
    return found


def number(item):
    try:
        return float(item)
    except (TypeError, ValueError):
        return str(item).strip()


def compare(want, got, swapped=False, pixels=True, path=""):
    """The first difference between two data sets, or None."""
    for element in want:
        tag = element.tag
        if tag.group == 2 or tag.element == 0 or tag.group == 0xFFFC:
            continue
        if tag == 0x00080005:
            # The text was decoded; metadata is UTF-8 by definition.
            continue
        if tag == 0x7FE00010 and not path:
            if not pixels:
                if tag not in got:
                    return "PixelData is missing"
                continue
            if swapped:
                continue  # compared frame by frame
        where = f"{path}{tag}"
        if tag not in got:
            return f"{where} is missing"
        other = got[tag]
        if element.VR == "SQ" and other.VR == "SQ":
            if len(element.value) != len(other.value):
                return f"{where} has {len(other.value)} items, not {len(element.value)}"
            for index, (left, right) in enumerate(zip(element.value, other.value)):
                difference = compare(left, right, swapped, pixels, f"{where}[{index}].")
                if difference:
                    return difference
            continue
        if "UN" in (element.VR, other.VR) and element.VR != other.VR:
            continue  # one of the two knew a VR that the other did not
        if element.VR == "SQ" or other.VR == "SQ":
            return f"{where} is {other.VR}, not {element.VR}"
        if canonical(element, swapped) != canonical(other):
            return f"{where} {element.VR} differs"
    extra = [
        tag
        for tag in got.keys()
        if tag not in want and tag.group != 2 and tag not in (0x00083002, 0x00080005, 0x00080056, 0x00081190)
    ]
    return f"{path}{extra[0]} is not in the file" if extra else None


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(Session(sys.argv[1]).run())
