//! What the handlers say of themselves, as one list: every resource with its
//! methods, parameters, media types and statuses. The Capabilities and the
//! conformance statement are both made from it, and it is made from the OpenAPI
//! document, which tests hold against the route table: none of them can be
//! wrong by itself.

use std::collections::BTreeMap;

use serde_json::Value;
use utoipa::OpenApi;

use super::openapi::Document;

/// One path under the server's root, such as `/dicomweb/studies/{study}`.
pub(super) struct Resource {
    pub path: String,
    pub methods: Vec<Method>,
}

/// One method of a resource.
pub(super) struct Method {
    /// In upper case.
    pub name: String,
    pub id: String,
    pub summary: String,
    /// The service it belongs to.
    pub service: String,
    pub params: Vec<Param>,
    /// Media types of the body.
    pub request: Vec<String>,
    pub responses: Vec<Response>,
}

/// A parameter of the path, the query or a header.
pub(super) struct Param {
    pub name: String,
    /// As WADL has it: `template`, `query` or `header`.
    pub style: &'static str,
    pub required: bool,
    pub description: String,
}

/// What may come back.
pub(super) struct Response {
    pub status: String,
    pub description: String,
    pub media: Vec<String>,
}

impl Method {
    /// The media types of success.
    pub fn media(&self) -> Vec<&str> {
        let mut found = Vec::new();
        for media in self.responses.iter().filter(|r| r.status.starts_with('2')).flat_map(|r| &r.media) {
            if !found.contains(&media.as_str()) {
                found.push(media);
            }
        }
        found
    }
}

/// All resources, in the order of their paths.
pub(super) fn resources() -> Vec<Resource> {
    let document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    members(&document["paths"])
        .map(|(path, methods)| {
            let methods = members(methods).map(|(name, method)| read_method(name, method));
            Resource { path: path.to_owned(), methods: methods.collect() }
        })
        .collect()
}

/// The members of an object by their names. The order they come in depends on
/// how serde_json was built.
fn members(object: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let members = object.as_object().into_iter().flatten();
    members.map(|(name, value)| (name.as_str(), value)).collect::<BTreeMap<_, _>>().into_iter()
}

/// The names of the services with what they are, in the document's order.
pub(super) fn services() -> Vec<(String, String)> {
    let tags = Document::openapi().tags.unwrap_or_default();
    tags.into_iter().map(|tag| (tag.name, tag.description.unwrap_or_default())).collect()
}

fn read_method(name: &str, method: &Value) -> Method {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let params = method["parameters"].as_array().into_iter().flatten().map(|param| Param {
        name: text(&param["name"]),
        style: match param["in"].as_str() {
            Some("path") => "template",
            Some("header") => "header",
            _ => "query",
        },
        required: param["required"] == true,
        description: text(&param["description"]),
    });
    Method {
        name: name.to_ascii_uppercase(),
        id: text(&method["operationId"]),
        summary: text(&method["summary"]),
        service: text(&method["tags"][0]),
        params: params.collect(),
        request: media(&method["requestBody"]),
        responses: members(&method["responses"])
            .map(|(status, response)| Response {
                status: status.to_owned(),
                description: text(&response["description"]),
                media: media(response),
            })
            .collect(),
    }
}

fn media(value: &Value) -> Vec<String> {
    members(&value["content"]).map(|(name, _)| name.to_owned()).collect()
}
