//! What PS3.18 describes and this server does not do, each with the reason. A
//! straight table. The test of the requirements (`tests/rows.toml`) takes a
//! reason from here for every row that has no test.

/// What is not supported, and why.
pub(super) const UNSUPPORTED: &[(&str, &str)] = &[
    (
        "Volumetric rendering (`/renderedmpr`, `/rendered3d`)",
        "Volumetric rendering is optional, and not part of this version.",
    ),
    (
        "Rejection notes (IOCM) by `POST …/reject/{code}`",
        "Rejection is an extension that is not part of this version; instances are deleted.",
    ),
    (
        "Presentation states that blend images, subtract masks or draw volumes, in rendering",
        "Grayscale, color and pseudo-color softcopy presentation states are drawn; others are stored and given back.",
    ),
    ("Worklist (UPS-RS)", "The Worklist service is optional, and not part of this version."),
    ("Non-Patient Instances", "The Non-Patient Instance service is optional, and not part of this version."),
    (
        "Notifications (web sockets)",
        "Notifications belong to the Worklist service, which is not part of this version.",
    ),
];
