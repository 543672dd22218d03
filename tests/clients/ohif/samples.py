"""The kinds of instances that no fixture is of, for OHIF's session: a breast tomosynthesis in JPEG 2000, a whole slide
of three levels in JPEG, an encapsulated PDF and a measurement report.

    python samples.py FOLDER

Needs what tests/clients/ohif/requirements.txt names. Everything is made up, and the same at every run but for its UIDs.
"""

import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEG2000Lossless, JPEGBaseline8Bit, generate_uid

TOMOSYNTHESIS = "1.2.840.10008.5.1.4.1.1.13.1.3"
SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
PDF = "1.2.840.10008.5.1.4.1.1.104.1"
CDA = "1.2.840.10008.5.1.4.1.1.104.2"
COMPREHENSIVE_SR = "1.2.840.10008.5.1.4.1.1.88.33"
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
TILE = 256


def instance(sop_class, patient, modality, study=None, series=None, number=1):
    data_set = Dataset()
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data_set.SpecificCharacterSet = "ISO_IR 192"
    data_set.SOPClassUID = UID(sop_class)
    data_set.SOPInstanceUID = generate_uid()
    data_set.file_meta.MediaStorageSOPClassUID = data_set.SOPClassUID
    data_set.file_meta.MediaStorageSOPInstanceUID = data_set.SOPInstanceUID
    data_set.StudyDate, data_set.StudyTime = "20240305", "101500"
    data_set.ContentDate, data_set.ContentTime = "20240305", "101500"
    data_set.AcquisitionDateTime = "20240305101500"
    data_set.AccessionNumber = ""
    data_set.Modality = modality
    data_set.Manufacturer = "Made up"
    data_set.ReferringPhysicianName = ""
    data_set.StudyDescription = f"Sample {modality}"
    data_set.SeriesDescription = f"{modality} {number}"
    data_set.PatientName, data_set.PatientID = f"Sample^{patient}", f"S-{patient}"
    data_set.PatientBirthDate, data_set.PatientSex = "19600101", "O"
    data_set.StudyInstanceUID = study or generate_uid()
    data_set.SeriesInstanceUID = series or generate_uid()
    data_set.StudyID, data_set.SeriesNumber, data_set.InstanceNumber = "1", number, 1
    return data_set


def pixels(data_set, rows, columns, frames=None, samples=1, bits=8, stored=None, photometric="MONOCHROME2"):
    data_set.SamplesPerPixel = samples
    data_set.PhotometricInterpretation = photometric
    if samples == 3:
        data_set.PlanarConfiguration = 0
    if frames:
        data_set.NumberOfFrames = frames
    data_set.Rows, data_set.Columns = rows, columns
    data_set.BitsAllocated = bits
    data_set.BitsStored = stored or bits
    data_set.HighBit = data_set.BitsStored - 1
    data_set.PixelRepresentation = 0


def item(**values):
    data_set = Dataset()
    for keyword, value in values.items():
        setattr(data_set, keyword, value)
    return data_set


def code(value, scheme, meaning):
    return item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def tomosynthesis():
    """Twelve planes of a half circle with a bright spot that wanders."""
    rows, columns, frames = 640, 480, 12
    data_set = instance(TOMOSYNTHESIS, "MG", "MG")
    data_set.ImageType = ["ORIGINAL", "PRIMARY", "TOMOSYNTHESIS", "NONE"]
    data_set.PresentationIntentType = "FOR PRESENTATION"
    data_set.BodyPartExamined = "BREAST"
    data_set.ImageLaterality = "L"
    data_set.FrameOfReferenceUID = generate_uid()
    pixels(data_set, rows, columns, frames, bits=16, stored=12)
    y, x = np.mgrid[0:rows, 0:columns]
    breast = ((x / columns) ** 2 + ((y - rows / 2) / (rows / 2)) ** 2) < 0.9
    noise = np.random.default_rng(7)
    planes = []
    for plane in range(frames):
        spot = np.exp(-(((x - 120 - 12 * plane) ** 2 + (y - 320) ** 2) / 900))
        planes.append((breast * (900 + 500 * np.sin(y / 25) + 1800 * spot + noise.normal(0, 40, x.shape))).clip(0, 4095))
    data_set.PixelData = np.stack(planes).astype("<u2").tobytes()
    shared = Dataset()
    shared.PixelMeasuresSequence = Sequence([item(PixelSpacing=[0.2, 0.2], SliceThickness=1.0)])
    shared.PlaneOrientationSequence = Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    shared.FrameVOILUTSequence = Sequence([item(WindowCenter=1500, WindowWidth=3000)])
    shared.PixelValueTransformationSequence = Sequence([item(RescaleIntercept=0, RescaleSlope=1, RescaleType="US")])
    data_set.SharedFunctionalGroupsSequence = Sequence([shared])
    data_set.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                FrameContentSequence=Sequence([item(DimensionIndexValues=[1, plane + 1], StackID="1", InStackPositionNumber=plane + 1)]),
                PlanePositionSequence=Sequence([item(ImagePositionPatient=[0, 0, float(plane)])]),
            )
            for plane in range(frames)
        ]
    )
    data_set.compress(JPEG2000Lossless, generate_instance_uid=False)
    return [("tomosynthesis.dcm", data_set)]


def slide():
    """Cells on a bright ground, at three magnifications, tiles in JPEG."""
    width, height = 2048, 1536
    drawing = Image.new("RGB", (width, height), (245, 238, 244))
    pen = ImageDraw.Draw(drawing)
    noise = np.random.default_rng(11)
    for _ in range(900):
        x, y, r = noise.integers(0, width), noise.integers(0, height), noise.integers(6, 24)
        pen.ellipse([x - r, y - r, x + r, y + r], fill=(200 + int(noise.integers(0, 40)), 120, 180))
        pen.ellipse([x - r // 3, y - r // 3, x + r // 3, y + r // 3], fill=(90, 40, 130))
    study, series, frame_of_reference = generate_uid(), generate_uid(), generate_uid()
    pyramid = generate_uid()
    made = []
    for level in range(3):
        image = drawing.resize((width >> level, height >> level), Image.LANCZOS)
        data_set = instance(SLIDE, "SM", "SM", study, series)
        data_set.InstanceNumber = level + 1
        data_set.ImageType = ["DERIVED" if level else "ORIGINAL", "PRIMARY", "VOLUME", "RESAMPLED" if level else "NONE"]
        data_set.FrameOfReferenceUID, data_set.PyramidUID = frame_of_reference, pyramid
        data_set.PositionReferenceIndicator = "SLIDE_CORNER"
        across, down = -(-image.width // TILE), -(-image.height // TILE)
        pixels(data_set, TILE, TILE, across * down, samples=3, photometric="YBR_FULL_422")
        data_set.TotalPixelMatrixColumns, data_set.TotalPixelMatrixRows = image.size
        data_set.TotalPixelMatrixFocalPlanes = 1
        data_set.TotalPixelMatrixOriginSequence = Sequence(
            [item(XOffsetInSlideCoordinateSystem="10", YOffsetInSlideCoordinateSystem="20")]
        )
        data_set.ImagedVolumeWidth, data_set.ImagedVolumeHeight, data_set.ImagedVolumeDepth = 1.024, 0.768, 0.001
        data_set.ImageOrientationSlide = [0, -1, 0, -1, 0, 0]
        data_set.DimensionOrganizationType = "TILED_FULL"
        data_set.SpecimenLabelInImage, data_set.BurnedInAnnotation = "NO", "NO"
        data_set.FocusMethod, data_set.ExtendedDepthOfField = "AUTO", "NO"
        data_set.VolumetricProperties = "VOLUME"
        data_set.LossyImageCompression, data_set.LossyImageCompressionRatio = "01", 10
        data_set.LossyImageCompressionMethod = "ISO_10918_1"
        data_set.ContainerIdentifier = "S24-1"
        data_set.IssuerOfTheContainerIdentifierSequence = Sequence([])
        data_set.ContainerTypeCodeSequence = Sequence([code("433466003", "SCT", "Microscope slide")])
        data_set.AcquisitionContextSequence = Sequence([])
        data_set.NumberOfOpticalPaths = 1
        data_set.OpticalPathSequence = Sequence(
            [
                item(
                    OpticalPathIdentifier="1",
                    OpticalPathDescription="Brightfield",
                    IlluminationTypeCodeSequence=Sequence([code("111744", "DCM", "Brightfield illumination")]),
                    IlluminationColorCodeSequence=Sequence([code("414298005", "SCT", "Full Spectrum")]),
                )
            ]
        )
        spacing = 0.0005 * (1 << level)
        shared = Dataset()
        shared.PixelMeasuresSequence = Sequence([item(PixelSpacing=[spacing, spacing], SliceThickness=0.001)])
        shared.WholeSlideMicroscopyImageFrameTypeSequence = Sequence([item(FrameType=data_set.ImageType)])
        shared.OpticalPathIdentificationSequence = Sequence([item(OpticalPathIdentifier="1")])
        data_set.SharedFunctionalGroupsSequence = Sequence([shared])
        tiles = []
        for top in range(0, down * TILE, TILE):
            for left in range(0, across * TILE, TILE):
                out = io.BytesIO()
                image.crop((left, top, left + TILE, top + TILE)).save(out, "JPEG", quality=85, subsampling="4:2:2")
                tiles.append(out.getvalue())
        data_set.PixelData = encapsulate(tiles)
        data_set["PixelData"].is_undefined_length = True
        data_set.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
        made.append((f"slide-{level}.dcm", data_set))
    return made


def document():
    """A page with one line of text."""
    stream = b"BT /F1 24 Tf 60 700 Td (A made-up report in PDF) Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = bytearray(b"%PDF-1.4\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    data_set = instance(PDF, "DOC", "DOC")
    data_set.ConversionType = "WSD"
    data_set.BurnedInAnnotation = "YES"
    data_set.DocumentTitle = "A made-up report"
    data_set.ConceptNameCodeSequence = Sequence([])
    data_set.MIMETypeOfEncapsulatedDocument = "application/pdf"
    data_set.EncapsulatedDocumentLength = len(out)
    data_set.EncapsulatedDocument = bytes(out) + b"\0" * (len(out) % 2)
    return [("document.dcm", data_set)]


def content(relationship, kind, name, **values):
    return item(RelationshipType=relationship, ValueType=kind, ConceptNameCodeSequence=Sequence([name]), **values)


def report():
    """A CT slice, and a TID 1500 report that measures a length on it."""
    image = instance(CT_IMAGE, "SR", "CT")
    image.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    image.FrameOfReferenceUID = generate_uid()
    pixels(image, 256, 256, bits=16, stored=12)
    image.PixelSpacing, image.SliceThickness = [0.5, 0.5], 1
    image.ImagePositionPatient, image.ImageOrientationPatient = [0, 0, 0], [1, 0, 0, 0, 1, 0]
    image.RescaleIntercept, image.RescaleSlope = 0, 1
    image.WindowCenter, image.WindowWidth = 2000, 4000
    y, x = np.mgrid[0:256, 0:256]
    image.PixelData = (((x - 128) ** 2 + (y - 128) ** 2 < 90**2) * (1500 + 8 * x)).astype("<u2").tobytes()

    data_set = instance(COMPREHENSIVE_SR, "SR", "SR", image.StudyInstanceUID, number=2)
    reference = item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)
    data_set.SeriesDescription = "Measurements"
    data_set.CompletionFlag, data_set.VerificationFlag = "COMPLETE", "UNVERIFIED"
    data_set.CurrentRequestedProcedureEvidenceSequence = Sequence(
        [
            item(
                StudyInstanceUID=image.StudyInstanceUID,
                ReferencedSeriesSequence=Sequence(
                    [item(SeriesInstanceUID=image.SeriesInstanceUID, ReferencedSOPSequence=Sequence([reference]))]
                ),
            )
        ]
    )
    data_set.PerformedProcedureCodeSequence = Sequence([])
    data_set.ReferencedPerformedProcedureStepSequence = Sequence([])
    data_set.ValueType, data_set.ContinuityOfContent = "CONTAINER", "SEPARATE"
    data_set.ConceptNameCodeSequence = Sequence([code("126000", "DCM", "Imaging Measurement Report")])
    data_set.ContentTemplateSequence = Sequence([item(MappingResource="DCMR", TemplateIdentifier="1500")])
    line = content(
        "INFERRED FROM", "SCOORD", code("121055", "DCM", "Path"), GraphicType="POLYLINE", GraphicData=[80.0, 128.0, 180.0, 128.0]
    )
    line.ContentSequence = Sequence(
        [item(RelationshipType="SELECTED FROM", ValueType="IMAGE", ReferencedSOPSequence=Sequence([reference]))]
    )
    length = content(
        "CONTAINS",
        "NUM",
        code("410668003", "SCT", "Length"),
        MeasuredValueSequence=Sequence(
            [item(MeasurementUnitsCodeSequence=Sequence([code("mm", "UCUM", "millimeter")]), NumericValue="50.0")]
        ),
        ContentSequence=Sequence([line]),
    )
    tracking = content(
        "HAS OBS CONTEXT", "TEXT", code("112039", "DCM", "Tracking Identifier"), TextValue="Cornerstone3DTools@^0.1.0:Length"
    )
    unique = content("HAS OBS CONTEXT", "UIDREF", code("112040", "DCM", "Tracking Unique Identifier"), UID=generate_uid())
    group = content("CONTAINS", "CONTAINER", code("125007", "DCM", "Measurement Group"), ContinuityOfContent="SEPARATE")
    group.ContentSequence = Sequence([tracking, unique, length])
    measurements = content("CONTAINS", "CONTAINER", code("126010", "DCM", "Imaging Measurements"), ContinuityOfContent="SEPARATE")
    measurements.ContentSequence = Sequence([group])
    language = content(
        "HAS CONCEPT MOD",
        "CODE",
        code("121049", "DCM", "Language of Content Item and Descendants"),
        ConceptCodeSequence=Sequence([code("eng", "RFC5646", "English")]),
    )
    observer = content("HAS OBS CONTEXT", "PNAME", code("121008", "DCM", "Person Observer Name"), PersonName="Reader^Rita")
    data_set.ContentSequence = Sequence([language, observer, measurements])
    return [("measured.dcm", image), ("report.dcm", data_set)]


def hostile():
    """A report and a document whose every text would like to run in the browser of who reads it."""
    run = '"><script>document.title="RUN"</script><img src=x onerror="document.title=\'RUN\'">'
    report = instance(COMPREHENSIVE_SR, "BAD", "SR")
    report.PatientName = f"{run}^{run}"
    report.PatientID = "javascript:document.title='RUN'"
    report.PatientComments = report.StudyDescription = run
    report.SeriesDescription = run[:64]
    report.ValueType, report.ContinuityOfContent = "CONTAINER", "SEPARATE"
    report.CompletionFlag, report.VerificationFlag = "COMPLETE", "UNVERIFIED"
    report.ConceptNameCodeSequence = Sequence([code("126000", "DCM", run)])
    report.ContentSequence = Sequence(
        [
            content("CONTAINS", "TEXT", code("121106", "DCM", run), TextValue=run),
            content("CONTAINS", "PNAME", code("121008", "DCM", "Observer"), PersonName=run),
        ]
    )
    clinical = instance(CDA, "BAD", "DOC", report.StudyInstanceUID, number=2)
    clinical.PatientName, clinical.PatientID = report.PatientName, report.PatientID
    text = (
        '<?xml version="1.0"?><?xml-stylesheet type="text/xsl" href="data:text/xml,x"?>'
        '<html xmlns="http://www.w3.org/1999/xhtml"><head><title>quiet</title></head><body>'
        '<script>document.title="RUN"</script><img src="x" onerror="document.title=\'RUN\'"/></body></html>'
    ).encode()
    clinical.DocumentTitle = run
    clinical.ConceptNameCodeSequence = Sequence([])
    clinical.MIMETypeOfEncapsulatedDocument = "text/XML"
    clinical.EncapsulatedDocumentLength = len(text)
    clinical.EncapsulatedDocument = text + b"\0" * (len(text) % 2)
    return [("hostile-report.dcm", report), ("hostile-document.dcm", clinical)]


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, data_set in [*tomosynthesis(), *slide(), *document(), *report(), *hostile()]:
        data_set.save_as(folder / name, enforce_file_format=True)
        print(name)


if __name__ == "__main__":
    main(*sys.argv[1:])
