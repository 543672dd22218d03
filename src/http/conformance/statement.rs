//! The statement itself, section by section in the order of PS3.2 Annex N.
//! Behaviour is written out here; lists come from [`super::tables`].

use super::{
    super::described::{self, Resource},
    page::Page,
    search::search,
    tables::{limits, media_types, parameters, reasons, statuses, transactions, transfer_syntaxes},
    unsupported::UNSUPPORTED,
};
use crate::config::{Config, DEFAULTS, Duplicates};

pub(super) const TITLE: &str = "Hilum: DICOM Conformance Statement";

/// Services with a section of their own below N.5.3; all others follow them.
const OWN_SECTION: [&str; 3] = ["Store", "Search", "Retrieve"];

pub(super) fn statement(config: &Config) -> Page {
    let resources = described::resources();
    let mut page = Page::default();
    overview(&mut page, &resources);
    introduction(&mut page);
    model(&mut page);
    page.heading(2, "N.5 Service and Interoperability Description");
    sop_classes(&mut page);
    page.heading(3, "N.5.3 DICOM Web Services");
    retrieve(&mut page, &resources);
    search(&mut page, &resources, config);
    store(&mut page, &resources, config);
    others(&mut page, &resources, config);
    negotiation(&mut page);
    unsupported(&mut page);
    network(&mut page);
    configuration(&mut page, config);
    character_sets(&mut page);
    security(&mut page, config);
    page
}

fn overview(page: &mut Page, resources: &[Resource]) {
    page.heading(1, TITLE);
    page.text(format!(
        "Product: Hilum, version {}. An imaging archive that speaks only DICOMweb. This statement follows the \
         template of PS3.2 Annex N. Its lists are made from the tables by which the server works, and a test keeps it \
         current; a running server gives it, with its own limits, at `/conformance`.",
        env!("CARGO_PKG_VERSION")
    ));
    page.heading(2, "N.1 Conformance Statement Overview");
    page.text(
        "Hilum stores DICOM instances of any SOP Class and in any Transfer Syntax, searches them by any attribute, \
         and gives them back as files, metadata, frames and bulk data. It is an origin server of PS3.18; it has no \
         DIMSE services, no user interface and no media interchange application.",
    );
    let rows = described::services().into_iter().filter_map(|(name, description)| {
        let count = resources
            .iter()
            .flat_map(|resource| &resource.methods)
            .filter(|method| method.service == name)
            .count();
        (count > 0).then(|| vec![name, description, "origin server".to_owned(), count.to_string()])
    });
    page.table(&["Service", "Description", "Role", "Transactions"], rows);
}

fn introduction(page: &mut Page) {
    page.heading(2, "N.3 Introduction");
    page.text(
        "For who connects a DICOMweb client (a viewer, a modality with STOW-RS, a script) to Hilum. The reader is \
         expected to know PS3.18. A statement of two products makes it likely that they work together; only a test \
         shows it.",
    );
    page.text(
        "Terms are those of PS3.3 and PS3.18. References are to the 2024e edition of the DICOM standard.",
    );
}

fn model(page: &mut Page) {
    page.heading(2, "N.4 Implementation Model");
    page.text(
        "One process serves HTTP and owns one archive. A store request becomes files in the archive, each of which \
         is answered for when it is durable and visible to every following request. A search reads the index and \
         what the index has yet to take up. A retrieval reads the file that was stored, or ranges of it.",
    );
    page.list([
        "The bytes of an instance stay as they came; nothing is coerced unless the configuration says so.",
        "What a store acknowledged, the next search and retrieval show.",
        "A deleted study, series or instance answers 410 from then on; one that was never there answers 404.",
        "A SOP Instance UID that comes again with the same bytes is a success and stored once; what happens to other \
         bytes is configured (`store.duplicates`).",
    ]);
}

fn sop_classes(page: &mut Page) {
    page.heading(3, "N.5.1 Supported SOP Classes");
    page.text(
        "Instances of every SOP Class, standard or private, are stored, searched and retrieved alike (level 2: all \
         attributes are kept, private ones included). Needed of an instance are Study Instance UID, Series Instance \
         UID, SOP Instance UID and SOP Class UID; everything else may be empty or absent.",
    );
    page.heading(3, "N.5.2 DIMSE Services");
    page.text("None.");
}

fn retrieve(page: &mut Page, resources: &[Resource]) {
    page.heading(3, "N.5.3.1 Retrieve (WADO-RS, WADO-URI)");
    page.table(
        &["Method", "Resource", "Transaction", "Request", "Response"],
        transactions(resources, "Retrieve"),
    );
    page.heading(4, "Parameters");
    page.table(&["Parameter", "In", "Meaning"], parameters(resources, "Retrieve"));
    page.heading(4, "Transfer Syntaxes");
    page.text(
        "All of these are stored. Implicit VR Little Endian and Explicit VR Big Endian never leave the server \
         (section 8.7.3): their data sets and pixels are converted to Explicit VR Little Endian. Where no transfer \
         syntax is named, compressed pixels are sent decoded; where one is named that is encoded here, they are sent \
         in that: with loss only if the configuration allows it (`pixels.lossy`, off by default) and the lossy \
         Transfer Syntax itself is named, an instance then being another one with a SOP Instance UID of its own.",
    );
    page.table(
        &["Transfer Syntax", "Name", "`application/dicom`", "Frames and pixel data", "Here"],
        transfer_syntaxes(),
    );
    page.heading(4, "Media types of frames, pixel data and bulk data");
    page.table(&["Media type", "Without a `transfer-syntax`", "With one"], media_types());
    page.list([
        "Compressed frames are sent without item delimiters, the fragments of a frame joined.",
        "An encapsulated document is sent as the type it was stored with, or as `application/octet-stream`.",
        "Every answer has an entity tag; `If-None-Match` saves the second transfer, and `Range` works on single parts \
         and on multipart bodies, whose boundaries and order are stable.",
        "Where only some instances have an acceptable form, these are sent with 206 and a `Warning`.",
    ]);
    page.heading(4, "Metadata");
    page.text(
        "DICOM JSON (Annex F) and, where the table says so, the Native DICOM Model (PS3.19). Group 0002 is left out; \
         AvailableTransferSyntaxUID (0008,3002) says how an instance is stored. Pixel data, overlays, waveforms, \
         encapsulated documents and large binary values are given as absolute BulkDataURIs, small binary values as \
         InlineBinary, and text and numbers always as values. A number that has no JSON form (NaN) is its name in a \
         string.",
    );
    page.heading(4, "Status codes");
    page.table(&["Status", "Meaning"], statuses(resources, "Retrieve"));
}

fn store(page: &mut Page, resources: &[Resource], config: &Config) {
    page.heading(3, "N.5.3.3 Store (STOW-RS)");
    page.table(
        &["Method", "Resource", "Transaction", "Request", "Response"],
        transactions(resources, "Store"),
    );
    page.text(format!(
        "A request may have {} parts; one file may have up to {} bytes. The parts of a request succeed and fail one by \
         one. An answer is given when every stored instance is durable and visible.",
        config.limits.request_parts_max, config.limits.part_bytes_max,
    ));
    page.list([
        "The answer is the Store Instances Response Module (Annex I), as `application/dicom+json` without a charset \
         parameter, or as `application/dicom+xml`.",
        "Metadata come as one JSON array or as an XML document a part, before their bulk data, which are parts whose \
         Content-Location is the BulkDataURI. A URI is a name: nothing is ever fetched. An instance whose reference \
         has no part fails; a part that nobody refers to is among the other failures.",
        "Compressed pixels are encapsulated as they come (one part a frame), PNG and GIF are decoded; what the \
         metadata leave out of the Image Pixel Description is read from the bit stream (Table 10.5.2-1).",
        "Files are taken without a preamble or meta information, in any transfer syntax, and with faults that do not \
         keep their attributes from being read; a warning names what departs from the standard.",
        "Conformance to the IOD is not checked beyond the four UIDs.",
        match config.store.duplicates {
            Duplicates::Reject => "A SOP Instance UID that is stored with other bytes is refused (0111H).",
            Duplicates::Replace => {
                "A SOP Instance UID that is stored with other bytes takes their place; these stay as a version."
            }
            Duplicates::Keep => {
                "A SOP Instance UID that is stored with other bytes is kept as a version beside these, with a warning."
            }
        },
    ]);
    page.heading(4, "Failure and warning reasons");
    page.table(&["Code", "Decimal", "Kind", "Meaning"], reasons());
    page.heading(4, "Status codes");
    page.table(&["Status", "Meaning"], statuses(resources, "Store"));
}

/// Whatever else there is.
fn others(page: &mut Page, resources: &[Resource], config: &Config) {
    page.heading(3, "N.5.3.4 Other services");
    for (name, description) in described::services() {
        let rows = transactions(resources, &name);
        if OWN_SECTION.contains(&name.as_str()) || rows.is_empty() {
            continue;
        }
        page.heading(4, format!("{name}: {description}"));
        page.table(&["Method", "Resource", "Transaction", "Request", "Response"], rows);
        let parameters = parameters(resources, &name);
        if !parameters.is_empty() {
            page.table(&["Parameter", "In", "Meaning"], parameters);
        }
        page.table(&["Status", "Meaning"], statuses(resources, &name));
    }
    page.heading(4, "Nature of a storage commitment");
    page.text(format!(
        "An instance is committed when its stored bytes were read back and have the digest they were stored with. It \
         stays until somebody with the right to do so deletes it; nothing is deleted by age. A result can be fetched \
         for {} days, after which it answers 410. One request may name {} instances.",
        config.commitment.result_days, config.commitment.references_max,
    ));
}

fn negotiation(page: &mut Page) {
    page.heading(3, "N.5.3.5 Content negotiation");
    page.list([
        "`Accept` in the header and `accept` in the query, by weight and by how specific a range is; the parameter \
         counts where the header allows its type. Wildcards in the parameter are refused with 400.",
        "A missing `Accept` is taken as `*/*` (RFC 9110), or refused with 406 if `strict.accept` is set.",
        "What is not acceptable is 406; the default type is not sent in its place.",
        "Members and parameters of `Accept` that cannot be understood are ignored.",
        "`type=` of multipart types may be quoted or not. Every part says its media type and its transfer syntax, \
         unquoted.",
        "Without a transfer-syntax parameter Explicit VR Little Endian is meant, with `*` what is stored.",
        "Who accepts `*/*` gets the default of the resource: DICOM files or bytes as multipart, DICOM JSON.",
    ]);
    page.heading(4, "Header fields");
    page.table(
        &["Field", "In", "Use"],
        [
            (
                "Accept, Accept-Charset",
                "requests",
                "as above; JSON, XML and text are UTF-8 whatever is asked for",
            ),
            ("Accept-Encoding", "requests", "`gzip` and `zstd` for JSON, XML and text"),
            ("If-None-Match", "requests", "with the entity tag of a retrieval: 304"),
            (
                "Range, If-Range",
                "requests",
                "one range of bytes of a retrieval: 206, or 416 if it lies outside",
            ),
            ("Content-Type, Content-Length, Transfer-Encoding", "requests", "of a body, in either framing"),
            ("Expect", "requests", "`100-continue`"),
            ("Forwarded, X-Forwarded-*", "requests", "from trusted proxies: the address of the server"),
            ("X-Request-Id", "both", "the id of a request in the log, given by the client or made up"),
            ("Content-Location", "responses", "the resource that a body or a part is"),
            ("Location", "responses", "what was created"),
            ("ETag, Vary", "responses", "of every retrieval"),
            ("Warning", "responses", "`299`, what the client should know: more results, ignored parameters"),
            ("X-Total-Count", "responses", "of a search: all matches"),
            ("Retry-After", "responses", "with 202 and 503, in seconds"),
            ("Allow", "responses", "with 405, and of `OPTIONS`"),
        ]
        .map(|row: (&str, &str, &str)| vec![row.0.to_owned(), row.1.to_owned(), row.2.to_owned()]),
    );
}

fn unsupported(page: &mut Page) {
    page.heading(3, "N.5.3.6 What is not supported");
    let rows = UNSUPPORTED.iter().map(|(what, why)| vec![(*what).to_owned(), (*why).to_owned()]);
    page.table(&["Part of PS3.18", "Reason"], rows);
}

fn network(page: &mut Page) {
    page.heading(2, "N.6 Network and Media Communication Details");
    page.list([
        "HTTP/1.1 with persistent connections; chunked and announced bodies in both directions.",
        "TLS 1.2 and 1.3 and HTTP/2 where a certificate is configured, else those of a reverse proxy in front of the server.",
        "JSON, XML and text are compressed with gzip or zstd for who accepts that; pixels and files never are.",
        "Cross-origin requests of the configured origins are answered, with preflights on every resource.",
        "URLs in answers are absolute: on the configured address, else on the one of a trusted proxy (`Forwarded`, \
         `X-Forwarded-*`), else on the request's `Host`.",
        "Errors are `application/problem+json` (RFC 9457) with a stable `code` and the id of the request.",
    ]);
}

fn configuration(page: &mut Page, config: &Config) {
    page.heading(2, "N.7 Configuration");
    page.text("Limits in force:");
    page.table(&["Key", "Value"], limits(config));
    page.text("All keys, with their defaults:");
    page.literal("toml", DEFAULTS);
}

fn character_sets(page: &mut Page) {
    page.heading(2, "N.8 Support of Character Sets");
    page.text(
        "Answers as JSON and XML are UTF-8; Specific Character Set (0008,0005) in them says `ISO_IR 192`. Values in \
         queries are percent-encoded UTF-8, where `+` is a space. Stored files keep the character set they came in. \
         Read are all of PS3.3 section C.12.1.1.2, single-byte, with code extensions (ISO 2022) and multi-byte:",
    );
    let terms = [
        "ISO_IR 6",
        "ISO_IR 100",
        "ISO_IR 101",
        "ISO_IR 109",
        "ISO_IR 110",
        "ISO_IR 144",
        "ISO_IR 127",
        "ISO_IR 126",
        "ISO_IR 138",
        "ISO_IR 148",
        "ISO_IR 203",
        "ISO_IR 13",
        "ISO_IR 166",
        "ISO 2022 IR 6",
        "ISO 2022 IR 100",
        "ISO 2022 IR 101",
        "ISO 2022 IR 109",
        "ISO 2022 IR 110",
        "ISO 2022 IR 144",
        "ISO 2022 IR 127",
        "ISO 2022 IR 126",
        "ISO 2022 IR 138",
        "ISO 2022 IR 148",
        "ISO 2022 IR 203",
        "ISO 2022 IR 13",
        "ISO 2022 IR 166",
        "ISO 2022 IR 87",
        "ISO 2022 IR 159",
        "ISO 2022 IR 149",
        "ISO 2022 IR 58",
        "ISO_IR 192",
        "GB18030",
        "GBK",
    ];
    page.text(terms.map(|term| format!("`{term}`")).join(", "));
    page.text(
        "A character that cannot be read becomes U+FFFD in answers, and the store says so with a warning. \
         A yen sign that is written as a backslash separates values, as the standard has it.",
    );
}

fn deidentification(page: &mut Page) {
    page.heading(3, "N.11.2.6 De-identification");
    page.text(
        "The Basic Application Level Confidentiality Profile (PS3.15 Annex E, edition 2026c; 113100) is applied where \
         it is asked for: copies of studies (`POST /dicomweb/studies/{study}/deidentified`), share links, and \
         `anonymize=yes` of the URI service.",
    );
    page.list([
        "Options on request, for copies and links: Retain Longitudinal Temporal Information with Full Dates (113106) or \
         Modified Dates (113107), Patient Characteristics (113108), Device Identity (113109), Institution Identity (113112); with \
         the columns of 2024, so what the table has got since is kept by none.",
        "Attributes are treated as in Table E.1-1, at every level. Where the table leaves the choice to the Type: values \
         of X/D, Z/D and X/Z/D become dummies, values of X/Z become empty, sequences of X/D and X/Z/D are removed.",
        "Removed besides: all private attributes, attributes that the standard does not have, groups 50xx and 60xx, \
         values of VR UN, texts of more than 64 KiB.",
        "UIDs are replaced by `2.25.` and a UUID from HMAC-SHA-256 with a secret of the archive: the same in all copies \
         with the same options. UIDs of the standard (classes, 1.2.840.10008.1) stay. Patient ID and Patient's Name become a pseudonym, the \
         same in all studies of a Patient ID and its issuer. Modified dates are earlier by 1 to 3650 days, the same \
         number for a patient.",
        "Inserted: Patient Identity Removed (0012,0062), De-identification Method (0012,0063) and its Code Sequence \
         (0012,0064), Longitudinal Temporal Information Modified (0028,0303). Preamble and file meta information are made anew.",
        "Pixels are not changed. Left out are instances that say Burned In Annotation or Recognizable Visual Features = \
         YES; secondary captures, ultrasound, visible light but whole slides, and what was digitized or captured from a \
         screen, unless they say Burned In Annotation = NO or the caller has looked at them; slide labels; overlays in \
         unused bits of pixels; structured \
         reports, presentation states, encapsulated documents, audio, raw data, and SOP Classes that are not of the standard.",
    ]);
}

fn security(page: &mut Page, config: &Config) {
    page.heading(2, "N.11 Security");
    page.list([
        "Callers say who they are by OAuth 2.0 bearer tokens (OpenID Connect issuers, personal tokens), local accounts or TLS \
         client certificates; while `auth.enabled` is false the server listens on the loopback interface only.",
        "Patients' values never stand in logs or in error messages.",
        if config.delete_enabled {
            "Deleting is possible; `delete_enabled = false` switches it off."
        } else {
            "Deleting is switched off."
        },
        "Audit messages (PS3.15 A.5) are kept in a log, and sent by syslog over TLS or TCP where a receiver is configured.",
    ]);
    deidentification(page);
}
