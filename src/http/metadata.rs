//! Retrieve Metadata: PS3.18 section 10.4.1.1.2. What ingest wrote, instance
//! by instance, as one JSON array or as XML documents in the parts of a
//! multipart body; whole, or what `includefield` names of it.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{
    Problem, State, body,
    multipart::{self, PartHead},
    negotiate::{Accept, DataSetMedia},
};
use crate::{
    archive::{ArchiveError, Assembly, Scope},
    dicom::{
        DataSet, json,
        query::{Options, Selection},
        xml,
    },
};

/// Answers a request for the metadata of everything in `scope`.
pub async fn metadata(
    state: &Data<State>,
    request: &HttpRequest,
    scope: Scope,
) -> Result<HttpResponse, Problem> {
    let offers: &[DataSetMedia] = match scope {
        // One item may be a single part (PS3.18 Table 10.4.4-1).
        Scope::Instance(_) => &[DataSetMedia::Json, DataSetMedia::XmlParts, DataSetMedia::Xml],
        Scope::Study(_) | Scope::Series(_) => &[DataSetMedia::Json, DataSetMedia::XmlParts],
    };
    let media = Accept::of(request, state.config.strict.accept)?.data_set(offers)?;
    let selection = Selection::parse(request.query_string(), &Options::default())?;
    let base_url = state.base_url(request)?;
    // No line of a document begins with it: every line end of a value is written as a reference.
    let boundary = multipart::boundary(&state.boundary_key, &request.uri().to_string());
    let content_type = match media {
        DataSetMedia::Json => body::DICOM_JSON.to_owned(),
        DataSetMedia::Xml => media.name().to_owned(),
        DataSetMedia::XmlParts => multipart::content_type(media.name(), &boundary),
    };
    let assembly: Box<dyn Assembly> = match media {
        DataSetMedia::Json => Box::new(JsonArray { selection, begun: false }),
        DataSetMedia::Xml => Box::new(XmlDocument { selection }),
        DataSetMedia::XmlParts => Box::new(XmlParts { selection, boundary, begun: false }),
    };
    let permit = state.permit(request);
    let metadata = state.archive.metadata(&permit, scope, base_url.clone(), assembly).await?;
    body::metadata(state, request, metadata, content_type, &base_url).await
}

/// What is wanted of the JSON of an instance, with its bulk values under `url`.
fn selected(selection: &Selection, url: &str, stored: &[u8]) -> Result<DataSet, ArchiveError> {
    let mut set = json::read(stored, json::Limits::OWN)
        .map_err(|error| ArchiveError::Damaged(format!("the metadata of an instance: {error}")))?;
    json::link(&mut set, url);
    Ok(selection.apply(set))
}

/// `[{…},{…}]`
struct JsonArray {
    selection: Selection,
    begun: bool,
}

impl Assembly for JsonArray {
    fn put(&mut self, url: &str, stored: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        out.push(if self.begun { b',' } else { b'[' });
        self.begun = true;
        if self.selection.is_everything() {
            json::fill(stored, url, out);
        } else {
            json::write(&selected(&self.selection, url, stored)?, out);
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self.begun { b"]" } else { b"[]" });
    }
}

/// The one document of a single instance.
struct XmlDocument {
    selection: Selection,
}

impl Assembly for XmlDocument {
    fn put(&mut self, url: &str, stored: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        xml::write(&selected(&self.selection, url, stored)?, out);
        Ok(())
    }

    fn end(&mut self, _out: &mut Vec<u8>) {}
}

/// A part for each instance.
struct XmlParts {
    selection: Selection,
    boundary: String,
    begun: bool,
}

impl Assembly for XmlParts {
    fn put(&mut self, url: &str, stored: &[u8], out: &mut Vec<u8>) -> Result<(), ArchiveError> {
        let mut document = Vec::with_capacity(stored.len() * 4);
        xml::write(&selected(&self.selection, url, stored)?, &mut document);
        let location = format!("{url}/metadata");
        let part = PartHead {
            content_type: DataSetMedia::XmlParts.name(),
            content_location: Some(&location),
            length: document.len() as u64,
        };
        out.extend_from_slice(&multipart::head(&self.boundary, !self.begun, &part));
        out.extend_from_slice(&document);
        self.begun = true;
        Ok(())
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(&multipart::tail(&self.boundary, !self.begun));
    }
}
