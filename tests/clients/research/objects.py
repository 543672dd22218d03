"""Objects that highdicom makes of one image, stored: segmentations, parametric maps, a report,
key objects, a presentation state, secondary captures. What comes back is what was stored, its
frames are those that pydicom decodes, and what can be looked at is rendered."""

import io
import sys
import warnings

import highdicom as hd
import numpy as np
import pydicom
import requests
from dicomweb_client import DICOMwebClient
from pydicom.sr.codedict import codes
from pydicom.uid import (
    ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, JPEGLSLossless, RLELossless,
)

warnings.filterwarnings("ignore")
url, source = sys.argv[1], sys.argv[2]
client = DICOMwebClient(url)
image = pydicom.dcmread(source)
maker = {"manufacturer": "Maker", "manufacturer_model_name": "Model", "software_versions": "1", "device_serial_number": "1"}
numbers = iter(range(2, 1000))


def ids():
    return {"series_instance_uid": hd.UID(), "series_number": next(numbers), "sop_instance_uid": hd.UID(), "instance_number": 1}


def segmentation(kind, syntax):
    mask = np.zeros((1, image.Rows, image.Columns), dtype=np.uint8)
    mask[:, 20:60, 30:70] = 1
    algorithm = hd.AlgorithmIdentificationSequence(name="a", version="1", family=codes.cid7162.ArtificialIntelligence)
    segment = hd.seg.SegmentDescription(
        segment_number=1, segment_label="x", segmented_property_category=codes.SCT.Organ,
        segmented_property_type=codes.SCT.Liver, algorithm_type="AUTOMATIC", algorithm_identification=algorithm,
    )
    return hd.seg.Segmentation(
        source_images=[image], pixel_array=mask / 2 if kind == "FRACTIONAL" else mask, segmentation_type=kind,
        segment_descriptions=[segment], transfer_syntax_uid=syntax, **ids(), **maker,
    )


def parametric_map(kind):
    values = (np.arange(image.Rows * image.Columns).reshape(1, image.Rows, image.Columns) % 1000).astype(kind)
    whole = np.issubdtype(kind, np.integer)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label="1", lut_explanation="values", unit=codes.UCUM.NoUnits, intercept=0, slope=1,
        value_range=[0, 1000] if whole else [0.0, 1000.0],
    )
    return hd.pm.ParametricMap(
        [image], values, contains_recognizable_visual_features=False, real_world_value_mappings=[mapping],
        window_center=500, window_width=1000, **ids(), **maker,
    )


def report():
    person = hd.sr.PersonObserverIdentifyingAttributes(name="Doe^Jane")
    observer = hd.sr.ObserverContext(observer_type=codes.DCM.Person, observer_identifying_attributes=person)
    region = hd.sr.ImageRegion(
        graphic_type=hd.sr.GraphicTypeValues.CIRCLE, graphic_data=np.array([[40.0, 40.0], [50.0, 40.0]]),
        source_image=hd.sr.SourceImageForRegion.from_source_image(image),
    )
    group = hd.sr.PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(uid=hd.UID(), identifier="roi"), referenced_region=region,
        finding_type=codes.SCT.Nodule,
        measurements=[hd.sr.Measurement(name=codes.SCT.Diameter, value=3.2, unit=codes.UCUM.Millimeter)],
    )
    content = hd.sr.MeasurementReport(
        observation_context=hd.sr.ObservationContext(observer_person_context=observer),
        procedure_reported=codes.LN.CTUnspecifiedBodyRegion, imaging_measurements=[group],
    )
    return hd.sr.Comprehensive3DSR(evidence=[image], content=content, manufacturer="Maker", **ids())


def key_objects():
    selection = hd.ko.KeyObjectSelection(document_title=codes.DCM.OfInterest, referenced_objects=[image])
    return hd.ko.KeyObjectSelectionDocument([image], selection, manufacturer="Maker", **ids())


def presentation_state():
    window = hd.pr.SoftcopyVOILUTTransformation(window_center=40, window_width=400)
    return hd.pr.GrayscaleSoftcopyPresentationState(
        [image], content_label="A", voi_lut_transformations=[window], **ids(), **maker,
    )


def capture(photometric, values, syntax):
    return hd.sc.SCImage(
        pixel_array=values, photometric_interpretation=photometric, bits_allocated=values.dtype.itemsize * 8,
        coordinate_system="PATIENT", study_instance_uid=image.StudyInstanceUID, patient_orientation=("L", "P"),
        pixel_spacing=(1, 1), transfer_syntax_uid=syntax, manufacturer="Maker", **ids(),
    )


noise = np.random.default_rng(4711)
gray, colour = noise.integers(0, 255, (100, 90), dtype=np.uint8), noise.integers(0, 255, (100, 90, 3), dtype=np.uint8)
deep = noise.integers(0, 65535, (100, 90), dtype=np.uint16)
made = {
    **{f"segmentation {kind}, {syntax.name}": segmentation(kind, syntax) for kind, syntax in [
        ("BINARY", ExplicitVRLittleEndian), ("FRACTIONAL", ExplicitVRLittleEndian), ("FRACTIONAL", RLELossless),
        ("FRACTIONAL", JPEG2000Lossless), ("FRACTIONAL", JPEGLSLossless), ("LABELMAP", RLELossless)]},
    **{f"parametric map, {kind.__name__}": parametric_map(kind) for kind in (np.uint16, np.float32, np.float64)},
    "report": report(),
    "key objects": key_objects(),
    "presentation state": presentation_state(),
    "capture, RLE": capture("MONOCHROME2", gray, RLELossless),
    "capture, JPEG 2000": capture("MONOCHROME2", deep, JPEG2000Lossless),
    "capture, RGB": capture("RGB", colour, ExplicitVRLittleEndian),
    "capture, JPEG": capture("YBR_FULL_422", colour, JPEGBaseline8Bit),
}
client.store_instances([image, *made.values()])


def bytes_of(dataset):
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


decoded = (("application/octet-stream", "1.2.840.10008.1.2.1"),)
for name, dataset in made.items():
    uids = (dataset.StudyInstanceUID, dataset.SeriesInstanceUID, dataset.SOPInstanceUID)
    back = client.retrieve_instance(*uids, media_types=(("application/dicom", "*"),))
    assert bytes_of(back) == bytes_of(dataset), f"{name}: the file is another one"
    metadata = pydicom.Dataset.from_json(client.retrieve_instance_metadata(*uids), lambda *_: b"")
    assert metadata.SOPClassUID == dataset.SOPClassUID, name
    values = next((word for word in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if word in dataset), None)
    # Single bits are packed, JPEG Baseline is decoded by each a little differently.
    if values and dataset.BitsAllocated > 1 and dataset.file_meta.TransferSyntaxUID != JPEGBaseline8Bit:
        frame = client.retrieve_instance_frames(*uids, [1], media_types=decoded)[0]
        shown = dataset.pixel_array if "NumberOfFrames" not in dataset else dataset.pixel_array.reshape(-1)
        little = shown.astype(shown.dtype.newbyteorder("<")).tobytes()
        assert little.startswith(frame) or frame.startswith(little), f"{name}: other pixels"
    kind = "text/html" if name in ("report", "key objects") else "image/png"
    path = "{}/studies/{}/series/{}/instances/{}/rendered".format(url, *uids)
    answer = requests.get(path, headers={"Accept": kind})
    assert answer.status_code == 200, f"{name}: {answer.text}"
print(f"highdicom: {len(made)} objects, no difference")
