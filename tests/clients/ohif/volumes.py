"""Series that make a volume, for the modes of OHIF: a CT and a PET of one body with a bright ball in it, an earlier CT,
and what was drawn into the first: a segmentation and a structure set of the ball. As samples.py, all made up.

    python volumes.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
from pydicom.pixels.utils import pack_bits
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    PositronEmissionTomographyImageStorage,
    RTStructureSetStorage,
    SegmentationStorage,
    generate_uid,
)

from samples import code, instance, item, pixels

SIDE, SLICES, SPACING, THICKNESS = 128, 48, 2, 3
BALL, RADIUS = (50, 64, 24), 14
y, x = np.mgrid[0:SIDE, 0:SIDE]
BODY = ((x - 64) / 50) ** 2 + ((y - 64) / 40) ** 2 < 1


def ball(z):
    """Of a slice; half as many slices as pixels are a radius."""
    return (x - BALL[0]) ** 2 + (y - BALL[1]) ** 2 + (2 * (z - BALL[2])) ** 2 < RADIUS**2


def place(data_set, z):
    data_set.PixelSpacing, data_set.SliceThickness = [SPACING, SPACING], THICKNESS
    data_set.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data_set.ImagePositionPatient = position(z)


def position(z):
    return [-SIDE, -SIDE, THICKNESS * z]


def of_study(data_set, study, date, space):
    data_set.StudyInstanceUID, data_set.FrameOfReferenceUID = study, space
    data_set.StudyDate = data_set.SeriesDate = data_set.AcquisitionDate = data_set.ContentDate = date
    data_set.SeriesTime = data_set.AcquisitionTime = data_set.StudyTime
    data_set.StudyDescription = f"Volume of {date[:4]}"
    data_set.PatientSex, data_set.PatientWeight, data_set.PatientSize = "F", 70, 1.75
    data_set.PatientPosition, data_set.BodyPartExamined = "HFS", "CHEST"
    # Of these, the time of a series is what counts for its uptake.
    del data_set.AcquisitionDateTime


def series(sop_class, modality, number, study, date, space, values):
    made, uid = [], generate_uid()
    for z in range(SLICES):
        data_set = instance(sop_class, "VOLUME", modality, study, uid, number)
        of_study(data_set, study, date, space)
        data_set.InstanceNumber = z + 1
        data_set.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        pixels(data_set, SIDE, SIDE, bits=16)
        place(data_set, z)
        data_set.RescaleIntercept, data_set.RescaleSlope = -1024 if modality == "CT" else 0, 1
        data_set.PixelData = values(z).astype("<u2").tobytes()
        made.append(data_set)
    return made


def ct(number, study, date, space, tissue):
    values = lambda z: np.where(ball(z), 1164, np.where(BODY, tissue + 20 * np.sin(x / 5 + z / 3), 0))
    made = series(CTImageStorage, "CT", number, study, date, space, values)
    for data_set in made:
        data_set.WindowCenter, data_set.WindowWidth, data_set.RescaleType = 40, 400, "HU"
    return made


def pet(number, study, date, space):
    made = series(
        PositronEmissionTomographyImageStorage, "PT", number, study, date, space,
        lambda z: np.where(ball(z), 21_000, np.where(BODY, 2_000, 0)),
    )
    tracer = item(
        RadiopharmaceuticalStartTime="091500", RadiopharmaceuticalStartDateTime=f"{date}091500",
        RadionuclideTotalDose=370_000_000, RadionuclideHalfLife=6586.2,
        RadionuclideCodeSequence=Sequence([code("C-111A1", "SRT", "^18^Fluorine")]),
    )
    for data_set in made:
        data_set.Units, data_set.DecayCorrection, data_set.CorrectedImage = "BQML", "START", ["ATTN", "DECY"]
        data_set.RadiopharmaceuticalInformationSequence = Sequence([tracer])
        data_set.SeriesType, data_set.NumberOfSlices = ["WHOLE BODY", "IMAGE"], SLICES
        data_set.FrameReferenceTime, data_set.ActualFrameDuration = 0, 120_000
    return made


def reference(image):
    return item(ReferencedSOPClassUID=image.SOPClassUID, ReferencedSOPInstanceUID=image.SOPInstanceUID)


def drawn(images, sop_class, modality, number):
    first = images[0]
    data_set = instance(sop_class, "VOLUME", modality, first.StudyInstanceUID, number=number)
    of_study(data_set, first.StudyInstanceUID, first.StudyDate, first.FrameOfReferenceUID)
    data_set.SeriesDescription = f"Ball as {modality}"
    return data_set


def segmentation(images):
    data_set = drawn(images, SegmentationStorage, "SEG", 10)
    shown = [z for z in range(SLICES) if ball(z).any()]
    pixels(data_set, SIDE, SIDE, len(shown), bits=1)
    data_set.ImageType = ["DERIVED", "PRIMARY"]
    data_set.SegmentationType, data_set.LossyImageCompression = "BINARY", "00"
    data_set.ContentLabel, data_set.ContentDescription, data_set.ContentCreatorName = "BALL", "", ""
    data_set.SegmentSequence = Sequence(
        [
            item(
                SegmentNumber=1, SegmentLabel="Ball of the CT", SegmentAlgorithmType="MANUAL",
                SegmentedPropertyCategoryCodeSequence=Sequence([code("49755003", "SCT", "Morphologically Altered Structure")]),
                SegmentedPropertyTypeCodeSequence=Sequence([code("52988006", "SCT", "Lesion")]),
            )
        ]
    )
    data_set.ReferencedSeriesSequence = Sequence(
        [
            item(
                SeriesInstanceUID=images[0].SeriesInstanceUID,
                ReferencedInstanceSequence=Sequence([reference(image) for image in images]),
            )
        ]
    )
    data_set.SharedFunctionalGroupsSequence = Sequence(
        [
            item(
                PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])]),
                PixelMeasuresSequence=Sequence([item(PixelSpacing=[SPACING, SPACING], SliceThickness=THICKNESS)]),
                SegmentIdentificationSequence=Sequence([item(ReferencedSegmentNumber=1)]),
            )
        ]
    )
    data_set.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                FrameContentSequence=Sequence([item(DimensionIndexValues=[1, index + 1])]),
                PlanePositionSequence=Sequence([item(ImagePositionPatient=position(z))]),
                DerivationImageSequence=Sequence([item(SourceImageSequence=Sequence([reference(images[z])]))]),
            )
            for index, z in enumerate(shown)
        ]
    )
    data_set.PixelData = pack_bits(np.stack([ball(z) for z in shown]).astype(np.uint8))
    return data_set


def structures(images):
    data_set = drawn(images, RTStructureSetStorage, "RTSTRUCT", 11)
    data_set.StructureSetLabel = "BALL"
    data_set.StructureSetDate, data_set.StructureSetTime = data_set.StudyDate, data_set.StudyTime
    space, study = images[0].FrameOfReferenceUID, images[0].StudyInstanceUID
    of_series = item(
        SeriesInstanceUID=images[0].SeriesInstanceUID,
        ContourImageSequence=Sequence([reference(image) for image in images]),
    )
    of_study = item(
        ReferencedSOPClassUID="1.2.840.10008.3.1.2.3.1", ReferencedSOPInstanceUID=study,
        RTReferencedSeriesSequence=Sequence([of_series]),
    )
    data_set.ReferencedFrameOfReferenceSequence = Sequence(
        [item(FrameOfReferenceUID=space, RTReferencedStudySequence=Sequence([of_study]))]
    )
    data_set.StructureSetROISequence = Sequence(
        [item(ROINumber=1, ReferencedFrameOfReferenceUID=space, ROIName="Ball of the CT", ROIGenerationAlgorithm="MANUAL")]
    )
    contours = []
    for z, image in enumerate(images):
        radius = RADIUS**2 - 4 * (z - BALL[2]) ** 2
        if radius <= 0:
            continue
        angles = np.linspace(0, 2 * np.pi, 90, endpoint=False)
        across = SPACING * (BALL[0] + radius**0.5 * np.cos(angles)) - SIDE
        down = SPACING * (BALL[1] + radius**0.5 * np.sin(angles)) - SIDE
        points = np.stack([across, down, np.full_like(across, THICKNESS * z)], axis=-1)
        contours.append(
            item(
                ContourImageSequence=Sequence([reference(image)]), ContourGeometricType="CLOSED_PLANAR",
                NumberOfContourPoints=len(points), ContourData=[f"{value:.3f}" for value in points.ravel()],
            )
        )
    data_set.ROIContourSequence = Sequence(
        [item(ROIDisplayColor=[0, 255, 0], ReferencedROINumber=1, ContourSequence=Sequence(contours))]
    )
    data_set.RTROIObservationsSequence = Sequence(
        [item(ObservationNumber=1, ReferencedROINumber=1, RTROIInterpretedType="GTV", ROIInterpreter="")]
    )
    return data_set


def main(folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    study, prior, space = generate_uid(), generate_uid(), generate_uid()
    images = ct(1, study, "20240305", space, 1064)
    made = {
        "ct": images,
        "pet": pet(2, study, "20240305", space),
        "prior": ct(1, prior, "20230105", generate_uid(), 1034),
        "segmentation": [segmentation(images)],
        "structures": [structures(images)],
    }
    for name, instances in made.items():
        for number, data_set in enumerate(instances):
            data_set.save_as(folder / f"{name}-{number:02}.dcm", enforce_file_format=True)
        print(name, len(instances))


if __name__ == "__main__":
    main(*sys.argv[1:])
