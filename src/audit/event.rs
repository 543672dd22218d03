//! A table of the events that are recorded, with their codes of PS3.15 section
//! A.5.3 and PS3.16, and the record of one. A record names people and patients
//! by identifiers only, never by values of an image.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::trail::Patient;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    #[serde(rename = "C")]
    Create,
    #[serde(rename = "R")]
    Read,
    #[serde(rename = "U")]
    Update,
    #[serde(rename = "D")]
    Delete,
    #[serde(rename = "E")]
    Execute,
}

impl Action {
    #[must_use]
    pub fn letter(self) -> &'static str {
        match self {
            Self::Create => "C",
            Self::Read => "R",
            Self::Update => "U",
            Self::Delete => "D",
            Self::Execute => "E",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    Success,
    /// It was refused, or there was no such thing.
    MinorFailure,
    /// The server could not.
    SeriousFailure,
    /// The server is not available any more.
    MajorFailure,
}

impl Outcome {
    /// The `EventOutcomeIndicator`.
    #[must_use]
    pub fn indicator(self) -> &'static str {
        match self {
            Self::Success => "0",
            Self::MinorFailure => "4",
            Self::SeriousFailure => "8",
            Self::MajorFailure => "12",
        }
    }

    /// By its name here or its indicator.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "success" | "0" => Self::Success,
            "minor-failure" | "4" => Self::MinorFailure,
            "serious-failure" | "8" => Self::SeriousFailure,
            "major-failure" | "12" => Self::MajorFailure,
            _ => return None,
        })
    }
}

/// A code of the DICOM Controlled Terminology, with its meaning.
pub type Code = (&'static str, &'static str);

macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident $name:literal $code:literal $meaning:literal $kind:expr;)*) => {
        /// The kinds of events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum Event { $($(#[$doc])* #[serde(rename = $name)] $variant,)* }

        impl Event {
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Its name in JSON and in a search.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The `EventID`.
            #[must_use]
            pub fn code(self) -> Code {
                match self { $(Self::$variant => ($code, $meaning),)* }
            }

            /// The `EventTypeCode`.
            #[must_use]
            pub fn kind(self) -> Option<Code> {
                match self { $(Self::$variant => $kind,)* }
            }
        }
    };
}

const ACTIVITY: &str = "Application Activity";

events! {
    /// The server or a command has begun.
    Start "application-start" "110100" "Application Activity" Some(("110120", "Application Start"));
    Stop "application-stop" "110100" "Application Activity" Some(("110121", "Application Stop"));
    /// Somebody has read this log.
    AuditLogUsed "audit-log-used" "110101" "Audit Log Used" None;
    /// Instances have arrived (STOW-RS, uploads).
    Store "store" "110104" "DICOM Instances Transferred" None;
    /// Whole files have left (WADO-RS, WADO-URI).
    Retrieve "retrieve" "110104" "DICOM Instances Transferred" None;
    /// Metadata, frames or pictures were looked at.
    View "view" "110103" "DICOM Instances Accessed" None;
    /// Instances or series were deleted.
    Delete "delete" "110103" "DICOM Instances Accessed" None;
    StudyDeleted "study-deleted" "110105" "DICOM Study Deleted" None;
    /// Instances were copied without what tells of their patient.
    Deidentify "deidentify" "110103" "DICOM Instances Accessed" None;
    /// Zip files, media, shares: what leaves for somebody else.
    Export "export" "110106" "Export" None;
    Import "import" "110107" "Import" None;
    Query "query" "110112" "Query" None;
    Login "login" "110114" "User Authentication" Some(("110122", "Login"));
    Logout "logout" "110114" "User Authentication" Some(("110123", "Logout"));
    /// Credentials, a token or a certificate that does not count.
    AccessRefused "access-refused" "110113" "Security Alert" Some(("110126", "Node Authentication"));
    Alert "security-alert" "110113" "Security Alert" None;
    /// What only some may do was done or tried.
    RestrictedFunction "restricted-function" "110113" "Security Alert" Some(("110132", "Use of Restricted Function"));
    RecordingStarted "recording-started" "110113" "Security Alert" Some(("110134", "Audit Recording Started"));
    RecordingStopped "recording-stopped" "110113" "Security Alert" Some(("110133", "Audit Recording Stopped"));
    /// Who may see an object: shares, rights of a study.
    ObjectSecurity "object-security-changed" "110113" "Security Alert" Some(("110135", "Object Security Attributes Changed"));
    RolesChanged "roles-changed" "110113" "Security Alert" Some(("110136", "Security Roles Changed"));
    /// Accounts and tokens.
    UserChanged "user-changed" "110113" "Security Alert" Some(("110137", "User security Attributes Changed"));
    /// Workitems of a worklist.
    Procedure "procedure" "110111" "Procedure Record" None;
}

impl Event {
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.name() == text || event.code().0 == text)
    }

    /// Whether the caller sends data here, else it is given some.
    #[must_use]
    pub fn is_inward(self) -> bool {
        matches!(self, Self::Store | Self::Import)
    }

    #[must_use]
    pub fn is_activity(self) -> bool {
        self.code().1 == ACTIVITY
    }
}

/// Who did it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The account, the subject of a token, or `anonymous`.
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How it was shown who it is: `session`, `token`, `oidc`, `certificate`, `local` …
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// A study and what of it an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Study {
    pub uid: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub accession: String,
    /// SOP Class UID → instances.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub instances: BTreeMap<String, u64>,
}

/// Something that is not of a patient: an account, a token, a log, a URL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    pub kind: String,
    pub id: String,
}

/// What is kept of one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// When it was written; rising along the log.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    pub event: Event,
    pub action: Action,
    pub outcome: Outcome,
    /// Why it was refused: the code of the problem.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub actor: Actor,
    /// The tenant in whose archive; none: in that of the root, or the server's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patient: Option<Patient>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub studies: Vec<Study>,
    /// Method and URL of a search, in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
    /// The data left without what identifies the patient.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub anonymized: bool,
    /// Of requests that were put together: when the first came, and how many more.
    #[serde(default, with = "time::serde::rfc3339::option", skip_serializing_if = "Option::is_none")]
    pub since: Option<OffsetDateTime>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub requests: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Record {
    /// A record of now, with nothing but what every one has.
    #[must_use]
    pub fn new(event: Event, action: Action, outcome: Outcome, actor: Actor) -> Self {
        Self {
            at: OffsetDateTime::now_utc(),
            event,
            action,
            outcome,
            reason: None,
            actor,
            tenant: None,
            request_id: None,
            patient: None,
            studies: Vec::new(),
            query: None,
            object: None,
            anonymized: false,
            since: None,
            requests: 0,
        }
    }

    /// The same, about an object.
    #[must_use]
    pub fn about(self, kind: &str, id: impl Into<String>) -> Self {
        Self { object: Some(Object { kind: kind.to_owned(), id: id.into() }), ..self }
    }

    /// The same, in the archive of a tenant.
    #[must_use]
    pub fn of_tenant(self, tenant: Option<&str>) -> Self {
        Self { tenant: tenant.map(str::to_owned), ..self }
    }

    /// The same, with why it was refused or what happened.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: Some(reason.into()), ..self }
    }
}
