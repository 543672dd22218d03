//! What resources answer, as the OpenAPI document says it: groups of responses
//! that many resources share, each a table of status, meaning and content.

use std::collections::BTreeMap;

use utoipa::{
    IntoResponses,
    openapi::{
        ArrayBuilder, ContentBuilder, KnownFormat, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder,
        Schema, SchemaFormat, Type,
    },
};

/// What a response carries.
enum Body {
    /// An RFC 9457 problem.
    Problem,
    /// One data set as DICOM JSON.
    DataSet,
    /// An array of them.
    DataSets,
    /// How many there are.
    Count,
    /// Bytes of this media type.
    Bytes(&'static str),
}

impl Body {
    fn media_type(&self) -> &'static str {
        match self {
            Self::Problem => "application/problem+json",
            Self::DataSet | Self::DataSets => "application/dicom+json",
            Self::Count => "application/json",
            Self::Bytes(media_type) => media_type,
        }
    }

    fn schema(&self) -> RefOr<Schema> {
        let data_set = || RefOr::Ref(Ref::from_schema_name("DicomDataSet"));
        match self {
            Self::Problem => RefOr::Ref(Ref::from_schema_name("ProblemBody")),
            Self::DataSet => data_set(),
            Self::Count => RefOr::Ref(Ref::from_schema_name("Count")),
            Self::DataSets => RefOr::T(ArrayBuilder::new().items(data_set()).build().into()),
            Self::Bytes(_) => {
                let binary = SchemaFormat::KnownFormat(KnownFormat::Binary);
                RefOr::T(ObjectBuilder::new().schema_type(Type::String).format(Some(binary)).build().into())
            }
        }
    }
}

/// One row of a table of responses: status, description, what it carries.
type Row = (&'static str, &'static str, &'static [Body]);

const PROBLEM: &[Body] = &[Body::Problem];
const FILES: &[Body] = &[
    Body::Bytes("multipart/related; type=\"application/dicom\""),
    Body::Bytes("application/dicom"),
    Body::Bytes("application/zip"),
];
const URI_MEDIA: &[Body] = &[
    Body::Bytes("application/dicom"),
    Body::Bytes("application/pdf"),
    Body::Bytes("text/xml"),
    Body::Bytes("video/mp4"),
];
const ZIP: &[Body] = &[Body::Bytes("application/zip")];
const DATA_SETS: &[Body] =
    &[Body::DataSets, Body::Bytes("multipart/related; type=\"application/dicom+xml\"")];
const VALUES: &[Body] = &[
    Body::Bytes("multipart/related; type=\"application/octet-stream\""),
    Body::Bytes("application/octet-stream"),
];
const PIXELS: &[Body] = &[
    Body::Bytes("multipart/related; type=\"application/octet-stream\""),
    Body::Bytes("multipart/related; type=\"image/*\""),
    Body::Bytes("application/octet-stream"),
    Body::Bytes("video/mp4"),
    Body::Bytes("video/mpeg"),
    Body::Bytes("video/h265"),
];
const RENDERED: &[Body] = &[
    Body::Bytes("image/jpeg"),
    Body::Bytes("image/png"),
    Body::Bytes("image/gif"),
    Body::Bytes("image/jxl"),
    Body::Bytes("image/tiff"),
    Body::Bytes("multipart/related; type=\"image/jpeg\""),
    Body::Bytes("multipart/related; type=\"image/png\""),
    Body::Bytes("video/mp4"),
    Body::Bytes("video/mpeg"),
    Body::Bytes("video/h265"),
    Body::Bytes("application/pdf"),
    Body::Bytes("text/xml"),
    Body::Bytes("model/stl"),
    Body::Bytes("model/obj"),
    Body::Bytes("model/mtl"),
];
const TUS_VERSION: Row = ("412", "Tus-Resumable is missing or another version", PROBLEM);
const UPLOAD_TOO_LARGE: Row = ("413", "More bytes than announced, or than the configured limit", PROBLEM);
const LOCKED: Row = ("423", "Another request writes it, or it is being stored", PROBLEM);
const CHECKSUM: Row = ("460", "The bytes have another checksum", PROBLEM);
const NO_ROOM: Row = ("507", "The disk or the quota of the archive is full", PROBLEM);
const COMMITMENT: &[Body] = &[
    Body::DataSet,
    Body::Bytes("application/dicom+xml"),
    Body::Bytes("multipart/related; type=\"application/dicom+xml\""),
];
const BAD_REQUEST: Row = ("400", "A parameter, a UID or the body cannot be understood", PROBLEM);
const NOT_FOUND: Row = ("404", "Never seen here", PROBLEM);
const GONE: Row = ("410", "Deleted", PROBLEM);
const NOT_ACCEPTABLE: Row = ("406", "No acceptable representation", PROBLEM);
const NOT_MODIFIED: Row = ("304", "What the client has is still right", &[]);
const RANGE: Row = ("416", "The range lies outside", &[]);
const INTERNAL: Row = ("500", "The server failed, or stored bytes are damaged", PROBLEM);
const TOO_BROAD: Row = ("413", "It would have to look at more, or for longer, than it may", PROBLEM);
/// What every resource may answer, before it is asked at all.
const EVERYWHERE: &[Row] = &[
    ("401", "Nobody said who they are", PROBLEM),
    ("403", "The caller may not do that", PROBLEM),
    ("429", "The caller asks too often; try again after Retry-After seconds", PROBLEM),
];
const BUSY: Row = ("503", "Busy, or the disk takes nothing; try again after Retry-After seconds", PROBLEM);

fn table(rows: &[Row]) -> BTreeMap<String, RefOr<Response>> {
    EVERYWHERE
        .iter()
        .chain(rows)
        .map(|(status, description, bodies)| {
            let response = ResponseBuilder::new().description(*description);
            let response = bodies.iter().fold(response, |response, body| {
                let content = ContentBuilder::new().schema(Some(body.schema())).build();
                response.content(body.media_type(), content)
            });
            ((*status).to_owned(), RefOr::T(response.build()))
        })
        .collect()
}

macro_rules! responses {
    ($($(#[$doc:meta])* $name:ident: [$($row:expr),* $(,)?];)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                table(&[$($row),*])
            }
        }
    )*};
}

responses! {
    /// What a search answers.
    SearchResponses: [
        ("200", "The results; Warning says when there are more, X-Total-Count how many in all", DATA_SETS),
        ("204", "No result, when the server is configured so or XML is asked for", &[]),
        BAD_REQUEST, NOT_ACCEPTABLE, TOO_BROAD, INTERNAL, BUSY,
    ];
    /// What a count answers.
    CountResponses: [
        ("200", "The number of results of such a search", &[Body::Count]),
        BAD_REQUEST, NOT_ACCEPTABLE, TOO_BROAD, INTERNAL, BUSY,
    ];
    /// What a store answers: the Store Instances Response Module (Annex I).
    StoreResponses: [
        ("200", "All instances are stored", &[Body::DataSet]),
        ("202", "Some are not stored, or stored with warnings", &[Body::DataSet]),
        ("409", "None is stored; the body says why", &[Body::DataSet]),
        BAD_REQUEST, NOT_ACCEPTABLE,
        ("408", "The body came too slowly", PROBLEM),
        ("413", "Larger than the configured limit", PROBLEM),
        ("415", "The body is of a type that cannot be stored", PROBLEM),
        INTERNAL, BUSY, NO_ROOM,
    ];
    /// What the retrieval of whole files answers.
    FileResponses: [
        ("200", "The files", FILES),
        ("206", "A range, or what of it has an acceptable form", FILES),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, RANGE, INTERNAL, BUSY,
    ];
    /// What the retrieval of metadata answers.
    MetadataResponses: [
        ("200", "One data set for each instance", DATA_SETS),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, INTERNAL, BUSY,
    ];
    /// What the retrieval of frames and bulk data answers.
    BulkResponses: [
        ("200", "The bytes", VALUES),
        ("206", "A range, or what of it has an acceptable form", VALUES),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, RANGE, INTERNAL, BUSY,
    ];
    /// What the retrieval of pixel data answers.
    PixelResponses: [
        ("200", "The pixel data", PIXELS),
        ("206", "A range, or what of it has an acceptable form", PIXELS),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, RANGE, INTERNAL, BUSY,
    ];
    /// What a rendered resource answers: pictures, or a video or a document as
    /// it is.
    RenderedResponses: [
        ("200", "The picture, the pictures, or the video or document", RENDERED),
        ("206", "A range of it, or those that can be rendered", RENDERED),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, RANGE, INTERNAL, BUSY,
    ];
    /// What a request for storage commitment answers.
    CommitmentRequestResponses: [
        ("200", "The result, which may have failures", COMMITMENT),
        ("202", "It is being checked; ask for the result after Retry-After seconds", &[]),
        BAD_REQUEST, NOT_ACCEPTABLE,
        ("409", "The Transaction UID was used before", PROBLEM),
        ("413", "It names more instances than the configured limit", PROBLEM),
        ("415", "The body is of a type that is no data set", PROBLEM),
        INTERNAL, BUSY,
        ("507", "The disk is full", PROBLEM),
    ];
    /// What is known of a storage commitment.
    CommitmentResponses: [
        ("200", "The result, which may have failures", COMMITMENT),
        ("202", "It is being checked; ask again after Retry-After seconds", &[]),
        BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE,
        ("410", "The result has expired", PROBLEM),
        INTERNAL, BUSY,
    ];
    /// What the beginning of an upload answers.
    UploadBeginResponses: [
        ("201", "It is begun; Location says where it is", &[]),
        BAD_REQUEST, TUS_VERSION, UPLOAD_TOO_LARGE,
        ("415", "The filetype cannot be stored", PROBLEM),
        CHECKSUM, INTERNAL, BUSY, NO_ROOM,
    ];
    /// How much of an upload is there.
    UploadOffsetResponses: [
        ("200", "Upload-Offset bytes of Upload-Length are flushed", &[]),
        NOT_FOUND, TUS_VERSION, INTERNAL, BUSY,
    ];
    /// What the next bytes of an upload are answered with.
    UploadPatchResponses: [
        ("204", "They are flushed; with the last of them the upload is stored", &[]),
        BAD_REQUEST, NOT_FOUND,
        ("409", "The offset is another one", PROBLEM),
        TUS_VERSION, UPLOAD_TOO_LARGE,
        ("415", "The body is not application/offset+octet-stream", PROBLEM),
        LOCKED, CHECKSUM, INTERNAL, BUSY, NO_ROOM,
    ];
    /// What a POST that names another method is answered with.
    UploadOverrideResponses: [
        ("204", "As for the method named", &[]),
        BAD_REQUEST, NOT_FOUND,
        ("405", "X-HTTP-Method-Override names neither PATCH nor DELETE", PROBLEM),
        ("409", "The offset is another one", PROBLEM),
        TUS_VERSION, UPLOAD_TOO_LARGE,
        ("415", "The body is not application/offset+octet-stream", PROBLEM),
        LOCKED, CHECKSUM, INTERNAL, BUSY, NO_ROOM,
    ];
    /// What an upload that is given up is answered with.
    UploadEndResponses: [
        ("204", "It is forgotten", &[]),
        NOT_FOUND, TUS_VERSION, LOCKED, INTERNAL, BUSY,
    ];
    /// What became of an upload: what the store request would have answered.
    UploadResultResponses: [
        ("200", "All instances are stored", &[Body::DataSet]),
        ("202", "With Retry-After: it is not stored yet. Else: some instances are not stored, or with warnings", &[Body::DataSet]),
        ("400", "The bytes are no store request", PROBLEM),
        NOT_FOUND,
        ("409", "No instance is stored; the body says why", &[Body::DataSet]),
        INTERNAL, BUSY,
    ];
    /// What the retrieval of a version answers.
    VersionResponses: [
        ("200", "The file", &[Body::Bytes("application/dicom")]),
        ("206", "A range of it", &[Body::Bytes("application/dicom")]),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, RANGE, INTERNAL, BUSY,
    ];
    /// What a resource answers that is not there or cannot be given.
    ProblemResponses: [BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, INTERNAL, BUSY];
    /// What the URI service answers.
    UriResponses: [
        ("200", "The file, or a video or a document as what it is", URI_MEDIA),
        ("206", "A range of it", URI_MEDIA),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE, RANGE, INTERNAL, BUSY,
    ];
    /// What a zip file of a list answers.
    ZipResponses: [
        ("200", "The zip file", ZIP),
        ("206", "A range, or what of the list is there and can be given", ZIP),
        NOT_MODIFIED, BAD_REQUEST, NOT_FOUND, NOT_ACCEPTABLE, GONE,
        ("413", "The list or the zip file is larger than the configured limit", PROBLEM),
        RANGE, INTERNAL, BUSY,
    ];
    /// What a deletion answers.
    DeleteResponses: [
        ("204", "Deleted", &[]),
        BAD_REQUEST, NOT_FOUND,
        ("405", "Deleting is switched off", PROBLEM),
        GONE, INTERNAL, BUSY,
    ];
}
