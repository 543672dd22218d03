//! A table: what the Basic Application Level Confidentiality Profile does to each
//! attribute, PS3.15 Table E.1-1, edition 2026c, in ascending order of their tags,
//! and which options keep one (the columns of 113106 and 113107, which are the
//! same, 113108, 113109 and 113112) as of 2024: what the table has got since is kept by
//! none. An option that only cleans an attribute (C),
//! but for dates that are shifted, keeps nothing here: nobody reads free text.
//!
//! Repeating groups (50xx, 60xx) and private attributes are in `rules.rs`.

use super::rules::Action::{
    self, Dummy, Empty, EmptyOrDummy, Remove, RemoveEmptyOrDummy, RemoveEmptyOrUids, RemoveOrDummy,
    RemoveOrEmpty, Uid,
};

/// Kept by no option.
const NEVER: u8 = 0;
/// Longitudinal temporal information, with full or with modified dates.
pub(super) const DATES: u8 = 1;
/// Patient characteristics.
pub(super) const PATIENT: u8 = 2;
/// Device identity.
pub(super) const DEVICE: u8 = 4;
/// Institution identity.
pub(super) const INSTITUTION: u8 = 8;

#[rustfmt::skip]
pub(super) const TABLE: &[(u32, Action, u8)] = &[
    (0x0000_1000, Remove, NEVER), // Affected SOP Instance UID
    (0x0000_1001, Uid, NEVER), // Requested SOP Instance UID
    (0x0002_0003, Uid, NEVER), // Media Storage SOP Instance UID
    (0x0004_1511, Uid, NEVER), // Referenced SOP Instance UID in File
    (0x0008_0012, RemoveOrDummy, DATES), // Instance Creation Date
    (0x0008_0013, RemoveEmptyOrDummy, DATES), // Instance Creation Time
    (0x0008_0014, Uid, NEVER), // Instance Creator UID
    (0x0008_0015, Remove, DATES), // Instance Coercion DateTime
    (0x0008_0017, Uid, NEVER), // Acquisition UID
    (0x0008_0018, Uid, NEVER), // SOP Instance UID
    (0x0008_0019, Uid, NEVER), // Pyramid UID
    (0x0008_0020, Empty, DATES), // Study Date
    (0x0008_0021, RemoveOrDummy, DATES), // Series Date
    (0x0008_0022, RemoveOrEmpty, DATES), // Acquisition Date
    (0x0008_0023, EmptyOrDummy, DATES), // Content Date
    (0x0008_0024, Remove, DATES), // Overlay Date
    (0x0008_0025, Remove, DATES), // Curve Date
    (0x0008_002A, RemoveEmptyOrDummy, DATES), // Acquisition DateTime
    (0x0008_0030, Empty, DATES), // Study Time
    (0x0008_0031, RemoveOrDummy, DATES), // Series Time
    (0x0008_0032, RemoveOrEmpty, DATES), // Acquisition Time
    (0x0008_0033, EmptyOrDummy, DATES), // Content Time
    (0x0008_0034, Remove, DATES), // Overlay Time
    (0x0008_0035, Remove, DATES), // Curve Time
    (0x0008_0050, Empty, NEVER), // Accession Number
    (0x0008_0054, Remove, NEVER), // Retrieve AE Title
    (0x0008_0055, Remove, NEVER), // Station AE Title
    (0x0008_0058, Uid, NEVER), // Failed SOP Instance UID List
    (0x0008_0080, RemoveEmptyOrDummy, INSTITUTION), // Institution Name
    (0x0008_0081, Remove, INSTITUTION), // Institution Address
    (0x0008_0082, RemoveEmptyOrDummy, INSTITUTION), // Institution Code Sequence
    (0x0008_0090, Empty, NEVER), // Referring Physician's Name
    (0x0008_0092, Remove, NEVER), // Referring Physician's Address
    (0x0008_0094, Remove, NEVER), // Referring Physician's Telephone Numbers
    (0x0008_0096, Remove, NEVER), // Referring Physician Identification Sequence
    (0x0008_009C, Empty, NEVER), // Consulting Physician's Name
    (0x0008_009D, Remove, NEVER), // Consulting Physician Identification Sequence
    (0x0008_0106, Dummy, DATES), // Context Group Version
    (0x0008_0107, Dummy, DATES), // Context Group Local Version
    (0x0008_0201, Remove, DATES), // Timezone Offset From UTC
    (0x0008_1000, Remove, NEVER), // Network ID
    (0x0008_1010, RemoveEmptyOrDummy, DEVICE), // Station Name
    (0x0008_1030, Remove, NEVER), // Study Description
    (0x0008_103E, Remove, NEVER), // Series Description
    (0x0008_1040, Remove, INSTITUTION), // Institutional Department Name
    (0x0008_1041, Remove, INSTITUTION), // Institutional Department Type Code Sequence
    (0x0008_1048, Remove, NEVER), // Physician(s) of Record
    (0x0008_1049, Remove, NEVER), // Physician(s) of Record Identification Sequence
    (0x0008_1050, Remove, NEVER), // Performing Physician's Name
    (0x0008_1052, Remove, NEVER), // Performing Physician Identification Sequence
    (0x0008_1060, Remove, NEVER), // Name of Physician(s) Reading Study
    (0x0008_1062, Remove, NEVER), // Physician(s) Reading Study Identification Sequence
    (0x0008_1070, RemoveEmptyOrDummy, NEVER), // Operators' Name
    (0x0008_1072, RemoveOrDummy, NEVER), // Operator Identification Sequence
    (0x0008_1080, Remove, NEVER), // Admitting Diagnoses Description
    (0x0008_1084, Remove, NEVER), // Admitting Diagnoses Code Sequence
    (0x0008_1088, Remove, NEVER), // Pyramid Description
    (0x0008_1110, RemoveOrEmpty, NEVER), // Referenced Study Sequence
    (0x0008_1111, RemoveEmptyOrDummy, NEVER), // Referenced Performed Procedure Step Sequence
    (0x0008_1120, Remove, NEVER), // Referenced Patient Sequence
    (0x0008_1140, RemoveEmptyOrUids, NEVER), // Referenced Image Sequence
    (0x0008_1155, Uid, NEVER), // Referenced SOP Instance UID
    (0x0008_1195, Uid, NEVER), // Transaction UID
    (0x0008_1301, Remove, NEVER), // Principal Diagnosis Code Sequence
    (0x0008_1302, Remove, NEVER), // Primary Diagnosis Code Sequence
    (0x0008_1303, Remove, NEVER), // Secondary Diagnoses Code Sequence
    (0x0008_1304, Remove, NEVER), // Histological Diagnoses Code Sequence
    (0x0008_2111, Remove, NEVER), // Derivation Description
    (0x0008_2112, RemoveEmptyOrUids, NEVER), // Source Image Sequence
    (0x0008_3010, Uid, NEVER), // Irradiation Event UID
    (0x0008_4000, Remove, NEVER), // Identifying Comments
    (0x0010_0010, Empty, NEVER), // Patient's Name
    (0x0010_0011, Remove, NEVER), // Person Names to Use Sequence
    (0x0010_0012, Remove, NEVER), // Name to Use
    (0x0010_0013, Remove, NEVER), // Name to Use Comment
    (0x0010_0014, Remove, NEVER), // Third Person Pronouns Sequence
    (0x0010_0015, Remove, NEVER), // Pronoun Code Sequence
    (0x0010_0016, Remove, NEVER), // Pronoun Comment
    (0x0010_0020, EmptyOrDummy, NEVER), // Patient ID
    (0x0010_0021, Remove, NEVER), // Issuer of Patient ID
    (0x0010_0030, Empty, NEVER), // Patient's Birth Date
    (0x0010_0032, Remove, NEVER), // Patient's Birth Time
    (0x0010_0040, Empty, PATIENT), // Patient's Sex
    (0x0010_0041, Remove, NEVER), // Gender Identity Sequence
    (0x0010_0042, Remove, NEVER), // Sex Parameters for Clinical Use Category Comment
    (0x0010_0043, Remove, NEVER), // Sex Parameters for Clinical Use Category Sequence
    (0x0010_0044, Remove, NEVER), // Gender Identity Code Sequence
    (0x0010_0045, Remove, NEVER), // Gender Identity Comment
    (0x0010_0046, Remove, NEVER), // Sex Parameters for Clinical Use Category Code Sequence
    (0x0010_0047, Remove, NEVER), // Sex Parameters for Clinical Use Category Reference
    (0x0010_0050, Remove, NEVER), // Patient's Insurance Plan Code Sequence
    (0x0010_0101, Remove, NEVER), // Patient's Primary Language Code Sequence
    (0x0010_0102, Remove, NEVER), // Patient's Primary Language Modifier Code Sequence
    (0x0010_1000, Remove, NEVER), // Other Patient IDs
    (0x0010_1001, Remove, NEVER), // Other Patient Names
    (0x0010_1002, Remove, NEVER), // Other Patient IDs Sequence
    (0x0010_1005, Remove, NEVER), // Patient's Birth Name
    (0x0010_1010, Remove, PATIENT), // Patient's Age
    (0x0010_1020, Remove, PATIENT), // Patient's Size
    (0x0010_1030, Remove, PATIENT), // Patient's Weight
    (0x0010_1040, Remove, NEVER), // Patient's Address
    (0x0010_1050, Remove, NEVER), // Insurance Plan Identification
    (0x0010_1060, Remove, NEVER), // Patient's Mother's Birth Name
    (0x0010_1080, Remove, NEVER), // Military Rank
    (0x0010_1081, Remove, NEVER), // Branch of Service
    (0x0010_1090, Remove, NEVER), // Medical Record Locator
    (0x0010_1100, Remove, NEVER), // Referenced Patient Photo Sequence
    (0x0010_2000, Remove, NEVER), // Medical Alerts
    (0x0010_2110, Remove, NEVER), // Allergies
    (0x0010_2150, Remove, NEVER), // Country of Residence
    (0x0010_2152, Remove, NEVER), // Region of Residence
    (0x0010_2154, Remove, NEVER), // Patient's Telephone Numbers
    (0x0010_2155, Remove, NEVER), // Patient's Telecom Information
    (0x0010_2160, Remove, PATIENT), // Ethnic Group
    (0x0010_2161, Remove, PATIENT), // Ethnic Group Code Sequence
    (0x0010_2162, Remove, NEVER), // Ethnic Groups
    (0x0010_2180, Remove, NEVER), // Occupation
    (0x0010_21A0, Remove, PATIENT), // Smoking Status
    (0x0010_21B0, Remove, NEVER), // Additional Patient History
    (0x0010_21C0, Remove, PATIENT), // Pregnancy Status
    (0x0010_21D0, Remove, DATES), // Last Menstrual Date
    (0x0010_21F0, Remove, NEVER), // Patient's Religious Preference
    (0x0010_2203, RemoveOrEmpty, PATIENT), // Patient's Sex Neutered
    (0x0010_2297, Remove, NEVER), // Responsible Person
    (0x0010_2299, Remove, NEVER), // Responsible Organization
    (0x0010_4000, Remove, NEVER), // Patient Comments
    (0x0012_0010, Dummy, NEVER), // Clinical Trial Sponsor Name
    (0x0012_0020, Dummy, NEVER), // Clinical Trial Protocol ID
    (0x0012_0021, Empty, NEVER), // Clinical Trial Protocol Name
    (0x0012_0022, Remove, NEVER), // Issuer of Clinical Trial Protocol ID
    (0x0012_0023, Remove, NEVER), // Other Clinical Trial Protocol IDs Sequence
    (0x0012_0030, Empty, INSTITUTION), // Clinical Trial Site ID
    (0x0012_0031, Empty, INSTITUTION), // Clinical Trial Site Name
    (0x0012_0032, Remove, NEVER), // Issuer of Clinical Trial Site ID
    (0x0012_0040, Dummy, NEVER), // Clinical Trial Subject ID
    (0x0012_0041, Remove, NEVER), // Issuer of Clinical Trial Subject ID
    (0x0012_0042, Dummy, NEVER), // Clinical Trial Subject Reading ID
    (0x0012_0043, Remove, NEVER), // Issuer of Clinical Trial Subject Reading ID
    (0x0012_0050, Empty, NEVER), // Clinical Trial Time Point ID
    (0x0012_0051, Remove, NEVER), // Clinical Trial Time Point Description
    (0x0012_0055, Remove, NEVER), // Issuer of Clinical Trial Time Point ID
    (0x0012_0060, Empty, INSTITUTION), // Clinical Trial Coordinating Center Name
    (0x0012_0071, Remove, NEVER), // Clinical Trial Series ID
    (0x0012_0072, Remove, NEVER), // Clinical Trial Series Description
    (0x0012_0073, Remove, NEVER), // Issuer of Clinical Trial Series ID
    (0x0012_0081, Dummy, INSTITUTION), // Clinical Trial Protocol Ethics Committee Name
    (0x0012_0082, Remove, NEVER), // Clinical Trial Protocol Ethics Committee Approval Number
    (0x0012_0086, Remove, DATES), // Ethics Committee Approval Effectiveness Start Date
    (0x0012_0087, Remove, DATES), // Ethics Committee Approval Effectiveness End Date
    (0x0014_407C, Remove, DATES | DEVICE), // Calibration Time
    (0x0014_407E, Remove, DATES | DEVICE), // Calibration Date
    (0x0016_002B, Remove, NEVER), // Maker Note
    (0x0016_004B, Remove, NEVER), // Device Setting Description
    (0x0016_004D, Remove, NEVER), // Camera Owner Name
    (0x0016_004E, Remove, DEVICE), // Lens Specification
    (0x0016_004F, Remove, DEVICE), // Lens Make
    (0x0016_0050, Remove, DEVICE), // Lens Model
    (0x0016_0051, Remove, DEVICE), // Lens Serial Number
    (0x0016_0070, Remove, NEVER), // GPS Version ID
    (0x0016_0071, Remove, NEVER), // GPS Latitude Ref
    (0x0016_0072, Remove, NEVER), // GPS Latitude
    (0x0016_0073, Remove, NEVER), // GPS Longitude Ref
    (0x0016_0074, Remove, NEVER), // GPS Longitude
    (0x0016_0075, Remove, NEVER), // GPS Altitude Ref
    (0x0016_0076, Remove, NEVER), // GPS Altitude
    (0x0016_0077, Remove, NEVER), // GPS Time Stamp
    (0x0016_0078, Remove, NEVER), // GPS Satellites
    (0x0016_0079, Remove, NEVER), // GPS Status
    (0x0016_007A, Remove, NEVER), // GPS Measure Mode
    (0x0016_007B, Remove, NEVER), // GPS DOP
    (0x0016_007C, Remove, NEVER), // GPS Speed Ref
    (0x0016_007D, Remove, NEVER), // GPS Speed
    (0x0016_007E, Remove, NEVER), // GPS Track Ref
    (0x0016_007F, Remove, NEVER), // GPS Track
    (0x0016_0080, Remove, NEVER), // GPS Img Direction Ref
    (0x0016_0081, Remove, NEVER), // GPS Img Direction
    (0x0016_0082, Remove, NEVER), // GPS Map Datum
    (0x0016_0083, Remove, NEVER), // GPS Dest Latitude Ref
    (0x0016_0084, Remove, NEVER), // GPS Dest Latitude
    (0x0016_0085, Remove, NEVER), // GPS Dest Longitude Ref
    (0x0016_0086, Remove, NEVER), // GPS Dest Longitude
    (0x0016_0087, Remove, NEVER), // GPS Dest Bearing Ref
    (0x0016_0088, Remove, NEVER), // GPS Dest Bearing
    (0x0016_0089, Remove, NEVER), // GPS Dest Distance Ref
    (0x0016_008A, Remove, NEVER), // GPS Dest Distance
    (0x0016_008B, Remove, NEVER), // GPS Processing Method
    (0x0016_008C, Remove, NEVER), // GPS Area Information
    (0x0016_008D, Remove, DATES), // GPS Date Stamp
    (0x0016_008E, Remove, NEVER), // GPS Differential
    (0x0018_0010, EmptyOrDummy, NEVER), // Contrast/Bolus Agent
    (0x0018_0027, Remove, DATES), // Intervention Drug Stop Time
    (0x0018_0035, Remove, DATES), // Intervention Drug Start Time
    (0x0018_1000, RemoveEmptyOrDummy, DEVICE), // Device Serial Number
    (0x0018_1002, Uid, DEVICE), // Device UID
    (0x0018_1004, Remove, DEVICE), // Plate ID
    (0x0018_1005, Remove, DEVICE), // Generator ID
    (0x0018_1007, Remove, DEVICE), // Cassette ID
    (0x0018_1008, Remove, DEVICE), // Gantry ID
    (0x0018_1009, Remove, DEVICE), // Unique Device Identifier
    (0x0018_100A, Remove, DEVICE), // UDI Sequence
    (0x0018_100B, Uid, DEVICE), // Manufacturer's Device Class UID
    (0x0018_1010, Remove, NEVER), // Secondary Capture Device ID
    (0x0018_1011, Remove, NEVER), // Hardcopy Creation Device ID
    (0x0018_1012, Remove, DATES), // Date of Secondary Capture
    (0x0018_1014, Remove, DATES), // Time of Secondary Capture
    (0x0018_1030, RemoveOrDummy, NEVER), // Protocol Name
    (0x0018_1042, Remove, DATES), // Contrast/Bolus Start Time
    (0x0018_1043, Remove, DATES), // Contrast/Bolus Stop Time
    (0x0018_1072, Remove, DATES), // Radiopharmaceutical Start Time
    (0x0018_1073, Remove, DATES), // Radiopharmaceutical Stop Time
    (0x0018_1078, Remove, DATES), // Radiopharmaceutical Start DateTime
    (0x0018_1079, Remove, DATES), // Radiopharmaceutical Stop DateTime
    (0x0018_11BB, Dummy, NEVER), // Acquisition Field Of View Label
    (0x0018_1200, Remove, DATES | DEVICE), // Date of Last Calibration
    (0x0018_1201, Remove, DATES | DEVICE), // Time of Last Calibration
    (0x0018_1202, Remove, DATES | DEVICE), // DateTime of Last Calibration
    (0x0018_1203, Empty, DATES | DEVICE), // Calibration DateTime
    (0x0018_1204, Remove, DATES | DEVICE), // Date of Manufacture
    (0x0018_1205, Remove, DATES | DEVICE), // Date of Installation
    (0x0018_1400, RemoveOrDummy, NEVER), // Acquisition Device Processing Description
    (0x0018_2042, Uid, NEVER), // Target UID
    (0x0018_4000, Remove, NEVER), // Acquisition Comments
    (0x0018_5011, Remove, DEVICE), // Transducer Identification Sequence
    (0x0018_700A, RemoveOrDummy, DEVICE), // Detector ID
    (0x0018_700C, RemoveOrDummy, DATES | DEVICE), // Date of Last Detector Calibration
    (0x0018_700E, RemoveOrDummy, DATES | DEVICE), // Time of Last Detector Calibration
    (0x0018_9074, Dummy, DATES), // Frame Acquisition DateTime
    (0x0018_9151, Dummy, DATES), // Frame Reference DateTime
    (0x0018_9185, Remove, NEVER), // Respiratory Motion Compensation Technique Description
    (0x0018_9367, Dummy, DEVICE), // X-Ray Source ID
    (0x0018_9369, Dummy, DATES), // Source Start DateTime
    (0x0018_936A, Dummy, DATES), // Source End DateTime
    (0x0018_9371, Dummy, DEVICE), // X-Ray Detector ID
    (0x0018_9373, Remove, DEVICE), // X-Ray Detector Label
    (0x0018_937B, Remove, NEVER), // Multi-energy Acquisition Description
    (0x0018_937F, Remove, NEVER), // Decomposition Description
    (0x0018_9424, Remove, NEVER), // Acquisition Protocol Description
    (0x0018_9516, RemoveOrDummy, DATES), // Start Acquisition DateTime
    (0x0018_9517, RemoveOrDummy, DATES), // End Acquisition DateTime
    (0x0018_9623, Dummy, DATES), // Functional Sync Pulse
    (0x0018_9701, Dummy, DATES), // Decay Correction DateTime
    (0x0018_9804, Dummy, DATES), // Exclusion Start DateTime
    (0x0018_9919, EmptyOrDummy, DATES), // Instruction Performed DateTime
    (0x0018_9937, Remove, NEVER), // Requested Series Description
    (0x0018_A002, Remove, DATES), // Contribution DateTime
    (0x0018_A003, Remove, NEVER), // Contribution Description
    (0x0020_000D, Uid, NEVER), // Study Instance UID
    (0x0020_000E, Uid, NEVER), // Series Instance UID
    (0x0020_0010, Empty, NEVER), // Study ID
    (0x0020_0027, Remove, NEVER), // Pyramid Label
    (0x0020_0052, Uid, NEVER), // Frame of Reference UID
    (0x0020_0200, Uid, NEVER), // Synchronization Frame of Reference UID
    (0x0020_3401, Remove, DEVICE), // Modifying Device ID
    (0x0020_3403, Remove, DATES), // Modified Image Date
    (0x0020_3405, Remove, DATES), // Modified Image Time
    (0x0020_3406, Remove, NEVER), // Modified Image Description
    (0x0020_4000, Remove, NEVER), // Image Comments
    (0x0020_9158, Remove, NEVER), // Frame Comments
    (0x0020_9161, Uid, NEVER), // Concatenation UID
    (0x0020_9164, Uid, NEVER), // Dimension Organization UID
    (0x0028_1199, Uid, NEVER), // Palette Color Lookup Table UID
    (0x0028_1214, Uid, NEVER), // Large Palette Color Lookup Table UID
    (0x0028_4000, Remove, NEVER), // Image Presentation Comments
    (0x0032_0012, Remove, NEVER), // Study ID Issuer
    (0x0032_0032, Remove, DATES), // Study Verified Date
    (0x0032_0033, Remove, DATES), // Study Verified Time
    (0x0032_0034, Remove, DATES), // Study Read Date
    (0x0032_0035, Remove, DATES), // Study Read Time
    (0x0032_1000, Remove, DATES), // Scheduled Study Start Date
    (0x0032_1001, Remove, DATES), // Scheduled Study Start Time
    (0x0032_1010, Remove, DATES), // Scheduled Study Stop Date
    (0x0032_1011, Remove, DATES), // Scheduled Study Stop Time
    (0x0032_1020, Remove, DEVICE), // Scheduled Study Location
    (0x0032_1021, Remove, NEVER), // Scheduled Study Location AE Title
    (0x0032_1030, Remove, NEVER), // Reason for Study
    (0x0032_1032, Remove, NEVER), // Requesting Physician
    (0x0032_1033, Remove, NEVER), // Requesting Service
    (0x0032_1040, Remove, DATES), // Study Arrival Date
    (0x0032_1041, Remove, DATES), // Study Arrival Time
    (0x0032_1050, Remove, DATES), // Study Completion Date
    (0x0032_1051, Remove, DATES), // Study Completion Time
    (0x0032_1060, RemoveOrEmpty, NEVER), // Requested Procedure Description
    (0x0032_1066, Remove, NEVER), // Reason for Visit
    (0x0032_1067, Remove, NEVER), // Reason for Visit Code Sequence
    (0x0032_1070, Remove, NEVER), // Requested Contrast Agent
    (0x0032_4000, Remove, NEVER), // Study Comments
    (0x0034_0001, Dummy, NEVER), // Flow Identifier Sequence
    (0x0034_0002, Dummy, NEVER), // Flow Identifier
    (0x0034_0005, Dummy, NEVER), // Source Identifier
    (0x0034_0007, Dummy, DATES), // Frame Origin Timestamp
    (0x0038_0004, Remove, NEVER), // Referenced Patient Alias Sequence
    (0x0038_0010, Remove, NEVER), // Admission ID
    (0x0038_0011, Remove, NEVER), // Issuer of Admission ID
    (0x0038_0014, Remove, NEVER), // Issuer of Admission ID Sequence
    (0x0038_001A, Remove, DATES), // Scheduled Admission Date
    (0x0038_001B, Remove, DATES), // Scheduled Admission Time
    (0x0038_001C, Remove, DATES), // Scheduled Discharge Date
    (0x0038_001D, Remove, DATES), // Scheduled Discharge Time
    (0x0038_001E, Remove, NEVER), // Scheduled Patient Institution Residence
    (0x0038_0020, Remove, DATES), // Admitting Date
    (0x0038_0021, Remove, DATES), // Admitting Time
    (0x0038_0030, Remove, DATES), // Discharge Date
    (0x0038_0032, Remove, DATES), // Discharge Time
    (0x0038_0040, Remove, NEVER), // Discharge Diagnosis Description
    (0x0038_0050, Remove, NEVER), // Special Needs
    (0x0038_0060, Remove, NEVER), // Service Episode ID
    (0x0038_0061, Remove, NEVER), // Issuer of Service Episode ID
    (0x0038_0062, Remove, NEVER), // Service Episode Description
    (0x0038_0064, Remove, NEVER), // Issuer of Service Episode ID Sequence
    (0x0038_0300, Remove, NEVER), // Current Patient Location
    (0x0038_0400, Remove, NEVER), // Patient's Institution Residence
    (0x0038_0500, Remove, NEVER), // Patient State
    (0x0038_4000, Remove, NEVER), // Visit Comments
    (0x003A_0020, Remove, NEVER), // Multiplex Group Label
    (0x003A_0203, Remove, NEVER), // Channel Label
    (0x003A_020C, Remove, NEVER), // Channel Derivation Description
    (0x003A_0310, Uid, NEVER), // Multiplex Group UID
    (0x003A_0314, Dummy, DATES), // Impedance Measurement DateTime
    (0x003A_0329, Remove, NEVER), // Waveform Filter Description
    (0x003A_032B, Remove, NEVER), // Filter Lookup Table Description
    (0x0040_0001, Remove, NEVER), // Scheduled Station AE Title
    (0x0040_0002, Remove, DATES), // Scheduled Procedure Step Start Date
    (0x0040_0003, Remove, DATES), // Scheduled Procedure Step Start Time
    (0x0040_0004, Remove, DATES), // Scheduled Procedure Step End Date
    (0x0040_0005, Remove, DATES), // Scheduled Procedure Step End Time
    (0x0040_0006, Remove, NEVER), // Scheduled Performing Physician's Name
    (0x0040_0007, Remove, NEVER), // Scheduled Procedure Step Description
    (0x0040_0009, Remove, NEVER), // Scheduled Procedure Step ID
    (0x0040_000B, Remove, NEVER), // Scheduled Performing Physician Identification Sequence
    (0x0040_0010, Remove, DEVICE), // Scheduled Station Name
    (0x0040_0011, Remove, DEVICE), // Scheduled Procedure Step Location
    (0x0040_0012, Remove, NEVER), // Pre-Medication
    (0x0040_0241, Remove, NEVER), // Performed Station AE Title
    (0x0040_0242, Remove, DEVICE), // Performed Station Name
    (0x0040_0243, Remove, NEVER), // Performed Location
    (0x0040_0244, Remove, DATES), // Performed Procedure Step Start Date
    (0x0040_0245, Remove, DATES), // Performed Procedure Step Start Time
    (0x0040_0250, Remove, DATES), // Performed Procedure Step End Date
    (0x0040_0251, Remove, DATES), // Performed Procedure Step End Time
    (0x0040_0253, Remove, NEVER), // Performed Procedure Step ID
    (0x0040_0254, Remove, NEVER), // Performed Procedure Step Description
    (0x0040_0275, Remove, NEVER), // Request Attributes Sequence
    (0x0040_0280, Remove, NEVER), // Comments on the Performed Procedure Step
    (0x0040_0310, Remove, NEVER), // Comments on Radiation Dose
    (0x0040_050A, Remove, NEVER), // Specimen Accession Number
    (0x0040_0512, Dummy, NEVER), // Container Identifier
    (0x0040_0513, Empty, NEVER), // Issuer of the Container Identifier Sequence
    (0x0040_051A, Remove, NEVER), // Container Description
    (0x0040_0551, Dummy, NEVER), // Specimen Identifier
    (0x0040_0554, Uid, NEVER), // Specimen UID
    (0x0040_0555, RemoveOrEmpty, NEVER), // Acquisition Context Sequence
    (0x0040_0556, Remove, NEVER), // Acquisition Context Description
    (0x0040_0562, Empty, NEVER), // Issuer of the Specimen Identifier Sequence
    (0x0040_0600, Remove, NEVER), // Specimen Short Description
    (0x0040_0602, Remove, NEVER), // Specimen Detailed Description
    (0x0040_0610, Empty, NEVER), // Specimen Preparation Sequence
    (0x0040_06FA, Remove, NEVER), // Slide Identifier
    (0x0040_1001, Remove, NEVER), // Requested Procedure ID
    (0x0040_1002, Remove, NEVER), // Reason for the Requested Procedure
    (0x0040_1004, Remove, NEVER), // Patient Transport Arrangements
    (0x0040_1005, Remove, NEVER), // Requested Procedure Location
    (0x0040_100A, Remove, NEVER), // Reason for Requested Procedure Code Sequence
    (0x0040_1010, Remove, NEVER), // Names of Intended Recipients of Results
    (0x0040_1011, Remove, NEVER), // Intended Recipients of Results Identification Sequence
    (0x0040_1101, Dummy, NEVER), // Person Identification Code Sequence
    (0x0040_1102, Remove, NEVER), // Person's Address
    (0x0040_1103, Remove, NEVER), // Person's Telephone Numbers
    (0x0040_1104, Remove, NEVER), // Person's Telecom Information
    (0x0040_1400, Remove, NEVER), // Requested Procedure Comments
    (0x0040_2001, Remove, NEVER), // Reason for the Imaging Service Request
    (0x0040_2004, Remove, DATES), // Issue Date of Imaging Service Request
    (0x0040_2005, Remove, DATES), // Issue Time of Imaging Service Request
    (0x0040_2008, Remove, NEVER), // Order Entered By
    (0x0040_2009, Remove, NEVER), // Order Enterer's Location
    (0x0040_2010, Remove, NEVER), // Order Callback Phone Number
    (0x0040_2011, Remove, NEVER), // Order Callback Telecom Information
    (0x0040_2016, Empty, NEVER), // Placer Order Number / Imaging Service Request
    (0x0040_2017, Empty, NEVER), // Filler Order Number / Imaging Service Request
    (0x0040_2400, Remove, NEVER), // Imaging Service Request Comments
    (0x0040_3001, Remove, NEVER), // Confidentiality Constraint on Patient Data Description
    (0x0040_4005, Remove, DATES), // Scheduled Procedure Step Start DateTime
    (0x0040_4008, Remove, DATES), // Scheduled Procedure Step Expiration DateTime
    (0x0040_4010, Remove, DATES), // Scheduled Procedure Step Modification DateTime
    (0x0040_4011, Remove, DATES), // Expected Completion DateTime
    (0x0040_4023, Uid, NEVER), // Referenced General Purpose Scheduled Procedure Step Transaction UID
    (0x0040_4025, Remove, DEVICE), // Scheduled Station Name Code Sequence
    (0x0040_4027, Remove, DEVICE), // Scheduled Station Geographic Location Code Sequence
    (0x0040_4028, Remove, DEVICE), // Performed Station Name Code Sequence
    (0x0040_4030, Remove, DEVICE), // Performed Station Geographic Location Code Sequence
    (0x0040_4034, Remove, NEVER), // Scheduled Human Performers Sequence
    (0x0040_4035, Remove, NEVER), // Actual Human Performers Sequence
    (0x0040_4036, Remove, NEVER), // Human Performer's Organization
    (0x0040_4037, Remove, NEVER), // Human Performer's Name
    (0x0040_4050, Remove, DATES), // Performed Procedure Step Start DateTime
    (0x0040_4051, Remove, DATES), // Performed Procedure Step End DateTime
    (0x0040_4052, Remove, DATES), // Procedure Step Cancellation DateTime
    (0x0040_A023, Remove, DATES), // Findings Group Recording Date (Trial)
    (0x0040_A024, Remove, DATES), // Findings Group Recording Time (Trial)
    (0x0040_A027, Dummy, NEVER), // Verifying Organization
    (0x0040_A030, Dummy, DATES), // Verification DateTime
    (0x0040_A032, RemoveOrDummy, DATES), // Observation DateTime
    (0x0040_A033, Remove, DATES), // Observation Start DateTime
    (0x0040_A034, Remove, NEVER), // Effective Start DateTime
    (0x0040_A035, Remove, NEVER), // Effective Stop DateTime
    (0x0040_A073, Dummy, NEVER), // Verifying Observer Sequence
    (0x0040_A075, Dummy, NEVER), // Verifying Observer Name
    (0x0040_A078, Remove, NEVER), // Author Observer Sequence
    (0x0040_A07A, Remove, NEVER), // Participant Sequence
    (0x0040_A07C, Remove, NEVER), // Custodial Organization Sequence
    (0x0040_A082, Empty, DATES), // Participation DateTime
    (0x0040_A088, Empty, NEVER), // Verifying Observer Identification Code Sequence
    (0x0040_A110, Remove, DATES), // Date of Document or Verbal Transaction (Trial)
    (0x0040_A112, Remove, DATES), // Time of Document Creation or Verbal Transaction (Trial)
    (0x0040_A120, Dummy, DATES), // DateTime
    (0x0040_A121, Dummy, DATES), // Date
    (0x0040_A122, Dummy, DATES), // Time
    (0x0040_A123, Dummy, NEVER), // Person Name
    (0x0040_A124, Uid, NEVER), // UID
    (0x0040_A13A, Dummy, DATES), // Referenced DateTime
    (0x0040_A171, Uid, NEVER), // Observation UID
    (0x0040_A172, Uid, NEVER), // Referenced Observation UID (Trial)
    (0x0040_A192, Remove, DATES), // Observation Date (Trial)
    (0x0040_A193, Remove, DATES), // Observation Time (Trial)
    (0x0040_A307, Remove, NEVER), // Current Observer (Trial)
    (0x0040_A352, Remove, NEVER), // Verbal Source (Trial)
    (0x0040_A353, Remove, NEVER), // Address (Trial)
    (0x0040_A354, Remove, NEVER), // Telephone Number (Trial)
    (0x0040_A358, Remove, NEVER), // Verbal Source Identifier Code Sequence (Trial)
    (0x0040_A402, Uid, NEVER), // Observation Subject UID (Trial)
    (0x0040_A730, Dummy, NEVER), // Content Sequence
    (0x0040_B020, RemoveOrDummy, NEVER), // Waveform Annotation Sequence
    (0x0040_B034, Remove, NEVER), // Annotation DateTime
    (0x0040_B036, Remove, NEVER), // Segment Definition DateTime
    (0x0040_B03B, Remove, NEVER), // Montage Name
    (0x0040_B03F, Remove, NEVER), // Montage Channel Label
    (0x0040_DB06, Remove, DATES), // Template Version
    (0x0040_DB07, Remove, DATES), // Template Local Version
    (0x0040_DB0C, Uid, NEVER), // Template Extension Organization UID
    (0x0040_DB0D, Uid, NEVER), // Template Extension Creator UID
    (0x0040_E004, Remove, DATES), // HL7 Document Effective Time
    (0x0040_E012, Remove, NEVER), // Display URI
    (0x0042_0011, Dummy, NEVER), // Encapsulated Document
    (0x0044_0004, Remove, DATES), // Approval Status DateTime
    (0x0044_000B, Remove, DATES), // Product Expiration DateTime
    (0x0044_0010, Remove, DATES), // Substance Administration DateTime
    (0x0044_0104, Dummy, DATES), // Assertion DateTime
    (0x0044_0105, Remove, DATES), // Assertion Expiration DateTime
    (0x0050_001B, Remove, NEVER), // Container Component ID
    (0x0050_0020, Remove, DEVICE), // Device Description
    (0x0050_0021, Remove, NEVER), // Long Device Description
    (0x0062_0021, Uid, NEVER), // Tracking UID
    (0x0064_0003, Uid, NEVER), // Source Frame of Reference UID
    (0x0068_6226, Dummy, DATES), // Effective DateTime
    (0x0068_6270, Dummy, DATES), // Information Issue DateTime
    (0x006A_0003, Dummy, NEVER), // Annotation Group UID
    (0x006A_0005, Dummy, NEVER), // Annotation Group Label
    (0x006A_0006, Remove, NEVER), // Annotation Group Description
    (0x0070_0001, Dummy, NEVER), // Graphic Annotation Sequence
    (0x0070_0006, Dummy, NEVER), // Unformatted Text Value
    (0x0070_0082, Remove, DATES), // Presentation Creation Date
    (0x0070_0083, Remove, DATES), // Presentation Creation Time
    (0x0070_0084, EmptyOrDummy, NEVER), // Content Creator's Name
    (0x0070_0086, Remove, NEVER), // Content Creator's Identification Code Sequence
    (0x0070_031A, Uid, NEVER), // Fiducial UID
    (0x0070_1101, Uid, NEVER), // Presentation Display Collection UID
    (0x0070_1102, Uid, NEVER), // Presentation Sequence Collection UID
    (0x0072_000A, Dummy, DATES), // Hanging Protocol Creation DateTime
    (0x0072_005E, Dummy, NEVER), // Selector AE Value
    (0x0072_005F, Dummy, PATIENT), // Selector AS Value
    (0x0072_0061, Dummy, DATES), // Selector DA Value
    (0x0072_0063, Dummy, DATES), // Selector DT Value
    (0x0072_0065, Dummy, NEVER), // Selector OB Value
    (0x0072_0066, Dummy, NEVER), // Selector LO Value
    (0x0072_0068, Dummy, NEVER), // Selector LT Value
    (0x0072_006A, Dummy, NEVER), // Selector PN Value
    (0x0072_006B, Dummy, DATES), // Selector TM Value
    (0x0072_006C, Dummy, NEVER), // Selector SH Value
    (0x0072_006D, Dummy, NEVER), // Selector UN Value
    (0x0072_006E, Dummy, NEVER), // Selector ST Value
    (0x0072_0070, Dummy, NEVER), // Selector UT Value
    (0x0072_0071, Dummy, NEVER), // Selector UR Value
    (0x0074_1234, Remove, NEVER), // Receiving AE
    (0x0074_1236, Remove, NEVER), // Requesting AE
    (0x0088_0140, Uid, NEVER), // Storage Media File-set UID
    (0x0088_0200, Remove, NEVER), // Icon Image Sequence(see Note 11)
    (0x0088_0904, Remove, NEVER), // Topic Title
    (0x0088_0906, Remove, NEVER), // Topic Subject
    (0x0088_0910, Remove, NEVER), // Topic Author
    (0x0088_0912, Remove, NEVER), // Topic Keywords
    (0x0100_0420, Remove, DATES), // SOP Authorization DateTime
    (0x0400_0100, Uid, NEVER), // Digital Signature UID
    (0x0400_0105, Dummy, DATES), // Digital Signature DateTime
    (0x0400_0115, Dummy, NEVER), // Certificate of Signer
    (0x0400_0310, Remove, DATES), // Certified Timestamp
    (0x0400_0402, Remove, NEVER), // Referenced Digital Signature Sequence
    (0x0400_0403, Remove, NEVER), // Referenced SOP Instance MAC Sequence
    (0x0400_0404, Remove, NEVER), // MAC
    (0x0400_0550, Remove, NEVER), // Modified Attributes Sequence
    (0x0400_0551, Remove, NEVER), // Nonconforming Modified Attributes Sequence
    (0x0400_0552, Remove, NEVER), // Nonconforming Data Element Value
    (0x0400_0561, Remove, NEVER), // Original Attributes Sequence
    (0x0400_0562, Dummy, DATES), // Attribute Modification DateTime
    (0x0400_0563, Dummy, DEVICE), // Modifying System
    (0x0400_0564, Empty, INSTITUTION), // Source of Previous Values
    (0x0400_0565, Dummy, NEVER), // Reason for the Attribute Modification
    (0x0400_0600, Remove, NEVER), // Instance Origin Status
    (0x2030_0020, Remove, NEVER), // Text String
    (0x2100_0040, Remove, DATES), // Creation Date
    (0x2100_0050, Remove, DATES), // Creation Time
    (0x2100_0070, Remove, NEVER), // Originator
    (0x2100_0140, Dummy, NEVER), // Destination AE
    (0x2200_0002, RemoveOrEmpty, NEVER), // Label Text
    (0x2200_0005, RemoveOrEmpty, NEVER), // Barcode Value
    (0x3002_0121, Remove, NEVER), // Position Acquisition Template Name
    (0x3002_0123, Remove, NEVER), // Position Acquisition Template Description
    (0x3006_0002, Dummy, NEVER), // Structure Set Label
    (0x3006_0004, Remove, NEVER), // Structure Set Name
    (0x3006_0006, Remove, NEVER), // Structure Set Description
    (0x3006_0008, Empty, DATES), // Structure Set Date
    (0x3006_0009, Empty, DATES), // Structure Set Time
    (0x3006_0024, Uid, NEVER), // Referenced Frame of Reference UID
    (0x3006_0026, Empty, NEVER), // ROI Name
    (0x3006_0028, Remove, NEVER), // ROI Description
    (0x3006_002D, Remove, DATES), // ROI DateTime
    (0x3006_002E, Remove, DATES), // ROI Observation DateTime
    (0x3006_0038, Remove, NEVER), // ROI Generation Description
    (0x3006_004D, Remove, NEVER), // ROI Creator Sequence
    (0x3006_004E, Remove, NEVER), // ROI Interpreter Sequence
    (0x3006_0085, Remove, NEVER), // ROI Observation Label
    (0x3006_0088, Remove, NEVER), // ROI Observation Description
    (0x3006_00A6, Empty, NEVER), // ROI Interpreter
    (0x3006_00C2, Uid, NEVER), // Related Frame of Reference UID
    (0x3008_0024, Dummy, DATES), // Treatment Control Point Date
    (0x3008_0025, Dummy, DATES), // Treatment Control Point Time
    (0x3008_0054, RemoveOrDummy, DATES), // First Treatment Date
    (0x3008_0056, RemoveOrDummy, DATES), // Most Recent Treatment Date
    (0x3008_0105, RemoveOrEmpty, DEVICE), // Source Serial Number
    (0x3008_0162, Dummy, DATES), // Safe Position Exit Date
    (0x3008_0164, Dummy, DATES), // Safe Position Exit Time
    (0x3008_0166, Dummy, DATES), // Safe Position Return Date
    (0x3008_0168, Dummy, DATES), // Safe Position Return Time
    (0x3008_0250, RemoveOrDummy, DATES), // Treatment Date
    (0x3008_0251, RemoveOrDummy, DATES), // Treatment Time
    (0x300A_0002, Dummy, NEVER), // RT Plan Label
    (0x300A_0003, Remove, NEVER), // RT Plan Name
    (0x300A_0004, Remove, NEVER), // RT Plan Description
    (0x300A_0006, RemoveOrDummy, DATES), // RT Plan Date
    (0x300A_0007, RemoveOrDummy, DATES), // RT Plan Time
    (0x300A_000B, Remove, NEVER), // Treatment Sites
    (0x300A_000E, Remove, NEVER), // Prescription Description
    (0x300A_0013, Uid, NEVER), // Dose Reference UID
    (0x300A_0016, Remove, NEVER), // Dose Reference Description
    (0x300A_0054, Uid, NEVER), // Table Top Position Alignment UID
    (0x300A_0072, Remove, NEVER), // Fraction Group Description
    (0x300A_0083, Uid, NEVER), // Referenced Dose Reference UID
    (0x300A_00B2, RemoveOrEmpty, DEVICE), // Treatment Machine Name
    (0x300A_00C3, Remove, NEVER), // Beam Description
    (0x300A_00DD, Remove, NEVER), // Bolus Description
    (0x300A_0196, Remove, NEVER), // Fixation Device Description
    (0x300A_01A6, Remove, NEVER), // Shielding Device Description
    (0x300A_01B2, Remove, NEVER), // Setup Technique Description
    (0x300A_0216, Remove, DEVICE), // Source Manufacturer
    (0x300A_022C, Dummy, DATES), // Source Strength Reference Date
    (0x300A_022E, Dummy, DATES), // Source Strength Reference Time
    (0x300A_02EB, Remove, NEVER), // Compensator Description
    (0x300A_0608, Dummy, NEVER), // Treatment Position Group Label
    (0x300A_0609, Uid, NEVER), // Treatment Position Group UID
    (0x300A_0611, Empty, NEVER), // RT Accessory Holder Slot ID
    (0x300A_0615, Empty, NEVER), // RT Accessory Device Slot ID
    (0x300A_0619, Dummy, NEVER), // Radiation Dose Identification Label
    (0x300A_0623, Dummy, NEVER), // Radiation Dose In-Vivo Measurement Label
    (0x300A_062A, Dummy, NEVER), // RT Tolerance Set Label
    (0x300A_0650, Uid, NEVER), // Patient Setup UID
    (0x300A_0676, Remove, NEVER), // Equipment Frame of Reference Description
    (0x300A_067C, Dummy, NEVER), // Radiation Generation Mode Label
    (0x300A_067D, Empty, NEVER), // Radiation Generation Mode Description
    (0x300A_0700, Uid, NEVER), // Treatment Session UID
    (0x300A_0734, Dummy, NEVER), // Treatment Tolerance Violation Description
    (0x300A_0736, Dummy, DATES), // Treatment Tolerance Violation DateTime
    (0x300A_073A, Dummy, DATES), // Recorded RT Control Point DateTime
    (0x300A_0741, Dummy, DATES), // Interlock DateTime
    (0x300A_0742, Dummy, NEVER), // Interlock Description
    (0x300A_0760, Dummy, DATES), // Override DateTime
    (0x300A_0783, Dummy, NEVER), // Interlock Origin Description
    (0x300A_0785, Uid, NEVER), // Referenced Treatment Position Group UID
    (0x300A_078E, Remove, NEVER), // Patient Treatment Preparation Procedure Parameter Description
    (0x300A_0792, Remove, NEVER), // Patient Treatment Preparation Method Description
    (0x300A_0794, Remove, NEVER), // Patient Setup Photo Description
    (0x300A_079A, Remove, NEVER), // Displacement Reference Label
    (0x300C_0113, Remove, NEVER), // Reason for Omission Description
    (0x300C_0127, Dummy, DATES | DEVICE), // Beam Hold Transition DateTime
    (0x300E_0004, Empty, DATES), // Review Date
    (0x300E_0005, Empty, DATES), // Review Time
    (0x300E_0008, RemoveOrEmpty, NEVER), // Reviewer Name
    (0x3010_0006, Uid, NEVER), // Conceptual Volume UID
    (0x3010_000B, Uid, NEVER), // Referenced Conceptual Volume UID
    (0x3010_000F, Empty, NEVER), // Conceptual Volume Combination Description
    (0x3010_0013, Uid, NEVER), // Constituent Conceptual Volume UID
    (0x3010_0015, Uid, NEVER), // Source Conceptual Volume UID
    (0x3010_0017, Empty, NEVER), // Conceptual Volume Description
    (0x3010_001B, Empty, NEVER), // Device Alternate Identifier
    (0x3010_002D, Dummy, DEVICE), // Device Label
    (0x3010_0031, Uid, NEVER), // Referenced Fiducials UID
    (0x3010_0033, Dummy, NEVER), // User Content Label
    (0x3010_0034, Dummy, NEVER), // User Content Long Label
    (0x3010_0035, Dummy, NEVER), // Entity Label
    (0x3010_0036, Remove, NEVER), // Entity Name
    (0x3010_0037, Remove, NEVER), // Entity Description
    (0x3010_0038, Dummy, NEVER), // Entity Long Label
    (0x3010_003B, Uid, NEVER), // RT Treatment Phase UID
    (0x3010_0043, Empty, DEVICE), // Manufacturer's Device Identifier
    (0x3010_004C, RemoveOrDummy, DATES), // Intended Phase Start Date
    (0x3010_004D, RemoveOrDummy, DATES), // Intended Phase End Date
    (0x3010_0054, Dummy, NEVER), // RT Prescription Label
    (0x3010_0056, RemoveOrDummy, NEVER), // RT Treatment Approach Label
    (0x3010_005A, Empty, NEVER), // RT Physician Intent Narrative
    (0x3010_005C, Empty, NEVER), // Reason for Superseding
    (0x3010_0061, Remove, NEVER), // Prior Treatment Dose Description
    (0x3010_006E, Uid, NEVER), // Dosimetric Objective UID
    (0x3010_006F, Uid, NEVER), // Referenced Dosimetric Objective UID
    (0x3010_0077, RemoveOrDummy, NEVER), // Treatment Site
    (0x3010_007A, Empty, NEVER), // Treatment Technique Notes
    (0x3010_007B, Empty, NEVER), // Prescription Notes
    (0x3010_007F, Empty, NEVER), // Fractionation Notes
    (0x3010_0081, Empty, NEVER), // Prescription Notes Sequence
    (0x3010_0085, Remove, DATES), // Intended Fraction Start Time
    (0x4000_0010, Remove, NEVER), // Arbitrary
    (0x4000_4000, Remove, NEVER), // Text Comments
    (0x4008_0040, Remove, NEVER), // Results ID
    (0x4008_0042, Remove, NEVER), // Results ID Issuer
    (0x4008_0100, Remove, DATES), // Interpretation Recorded Date
    (0x4008_0101, Remove, DATES), // Interpretation Recorded Time
    (0x4008_0102, Remove, NEVER), // Interpretation Recorder
    (0x4008_0108, Remove, DATES), // Interpretation Transcription Date
    (0x4008_0109, Remove, DATES), // Interpretation Transcription Time
    (0x4008_010A, Remove, NEVER), // Interpretation Transcriber
    (0x4008_010B, Remove, NEVER), // Interpretation Text
    (0x4008_010C, Remove, NEVER), // Interpretation Author
    (0x4008_0111, Remove, NEVER), // Interpretation Approver Sequence
    (0x4008_0112, Remove, DATES), // Interpretation Approval Date
    (0x4008_0113, Remove, DATES), // Interpretation Approval Time
    (0x4008_0114, Remove, NEVER), // Physician Approving Interpretation
    (0x4008_0115, Remove, NEVER), // Interpretation Diagnosis Description
    (0x4008_0118, Remove, NEVER), // Results Distribution List Sequence
    (0x4008_0119, Remove, NEVER), // Distribution Name
    (0x4008_011A, Remove, NEVER), // Distribution Address
    (0x4008_0200, Remove, NEVER), // Interpretation ID
    (0x4008_0202, Remove, NEVER), // Interpretation ID Issuer
    (0x4008_0300, Remove, NEVER), // Impressions
    (0x4008_4000, Remove, NEVER), // Results Comments
    (0xFFFA_FFFA, Remove, NEVER), // Digital Signatures Sequence
    (0xFFFC_FFFC, Remove, NEVER), // Data Set Trailing Padding
];
