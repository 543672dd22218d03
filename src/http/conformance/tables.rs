//! The lists of the statement, each made from the table by which the server
//! works.

use std::collections::BTreeMap;

use super::super::{
    described::{Method, Resource},
    negotiate::table::{self, Media},
};
use crate::{
    config::Config,
    dicom::{
        Tag, attributes,
        query::Level,
        reasons::{self, Kind},
        transfer_syntax::{self, Pixels},
    },
    pixels,
};

type Rows = Vec<Vec<String>>;

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn codes<'t>(texts: impl IntoIterator<Item = &'t str>) -> String {
    texts.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

fn of_service<'r>(
    resources: &'r [Resource],
    service: &'r str,
) -> impl Iterator<Item = (&'r Resource, &'r Method)> {
    resources
        .iter()
        .flat_map(|resource| resource.methods.iter().map(move |method| (resource, method)))
        .filter(move |(_, method)| method.service == service)
}

/// Method, resource, what it does, media types of the request and the response.
pub(super) fn transactions(resources: &[Resource], service: &str) -> Rows {
    of_service(resources, service)
        .map(|(resource, method)| {
            vec![
                method.name.clone(),
                code(&resource.path),
                method.summary.clone(),
                codes(method.request.iter().map(String::as_str)),
                codes(method.media()),
            ]
        })
        .collect()
}

/// Query parameters and header fields of a service, with their meaning.
pub(super) fn parameters(resources: &[Resource], service: &str) -> Rows {
    let mut found: BTreeMap<&str, (&str, String)> = BTreeMap::new();
    for param in of_service(resources, service).flat_map(|(_, method)| &method.params) {
        if param.style != "template" {
            found.entry(&param.name).or_insert((param.style, param.description.replace('\n', " ")));
        }
    }
    found.into_iter().map(|(name, (style, text))| vec![code(name), style.to_owned(), text]).collect()
}

/// Statuses of a service. Where methods differ in the words, all of them.
pub(super) fn statuses(resources: &[Resource], service: &str) -> Rows {
    let mut found: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for response in of_service(resources, service).flat_map(|(_, method)| &method.responses) {
        let texts = found.entry(&response.status).or_default();
        if !texts.contains(&response.description.as_str()) {
            texts.push(&response.description);
        }
    }
    found.into_iter().map(|(status, texts)| vec![status.to_owned(), texts.join("; ")]).collect()
}

/// Every transfer syntax: stored, how its pixels go out, and whether they are
/// decoded and encoded.
pub(super) fn transfer_syntaxes() -> Rows {
    transfer_syntax::TABLE
        .iter()
        .map(|row| {
            let media = table::media_of(row.uid);
            let frames = if row.pixels == Pixels::Elsewhere {
                "-".to_owned()
            } else {
                codes(table::names(media).iter().copied())
            };
            let files = if row.is_barred_from_web() { "as Explicit VR Little Endian" } else { "as stored" };
            let made = match (pixels::can_decode(row.uid), pixels::can_encode(row.uid)) {
                _ if pixels::can_encode_lossy(row.uid) => "decoded, encoded with loss (`pixels.lossy`)",
                (true, true) => "decoded, encoded",
                (true, false) => "decoded",
                (false, _) => "-",
            };
            vec![code(row.uid), row.name.to_owned(), files.to_owned(), frames, made.to_owned()]
        })
        .collect()
}

/// Every media type of pixels with the transfer syntaxes it carries.
pub(super) fn media_types() -> Rows {
    let plain = vec![
        codes(table::names(Media::OctetStream).iter().copied()),
        code(table::default_transfer_syntax(Media::OctetStream)),
        "any, as stored, where `transfer-syntax=*` is asked for".to_owned(),
    ];
    let compressed = table::COMPRESSED.iter().map(|row| {
        vec![codes(row.names.iter().copied()), code(row.default), codes(row.others.iter().copied())]
    });
    std::iter::once(plain).chain(compressed).collect()
}

/// Attributes that a search knows at a level, and when it returns them.
pub(super) fn attributes_of(level: Level) -> Rows {
    let required = attributes::required(level);
    let row = |tag: &Tag, when: &str| {
        vec![
            format!("({:04X},{:04X})", tag.group(), tag.element()),
            attributes::keyword(*tag).unwrap_or_default().to_owned(),
            attributes::vr(*tag).to_string().to_owned(),
            when.to_owned(),
        ]
    };
    let unasked = attributes::default_return(level).iter().map(|tag| {
        row(tag, if required.contains(tag) { "always, empty when not known" } else { "when known" })
    });
    let asked = attributes::optional(level)
        .iter()
        .filter(|tag| !attributes::default_return(level).contains(tag))
        .map(|tag| row(tag, "when matched or asked for"));
    unasked.chain(asked).collect()
}

/// Failure and warning reasons.
pub(super) fn reasons() -> Rows {
    reasons::TABLE
        .iter()
        .map(|reason| {
            let kind = match reason.kind {
                Kind::Failure => "failure, (0008,1197)",
                Kind::Warning => "warning, (0008,1196)",
            };
            vec![
                format!("{:04X}H", reason.code),
                reason.code.to_string(),
                kind.to_owned(),
                reason.meaning.to_owned(),
            ]
        })
        .collect()
}

/// The limits of a server, by their keys in the configuration.
pub(super) fn limits(config: &Config) -> Rows {
    let toml = toml::Table::try_from(&config.limits).unwrap_or_default();
    let keys: BTreeMap<String, toml::Value> = toml.into_iter().collect();
    keys.into_iter()
        .map(|(key, value)| {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            vec![code(&format!("limits.{key}")), value]
        })
        .collect()
}
