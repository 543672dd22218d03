//! Capabilities (PS3.18 sections 8.9 and 10.2, Annex H): what this server
//! offers, as WADL or as its JSON mapping (Annex G), made from the OpenAPI
//! document, which is made from the handlers: it cannot be wrong by itself.

use std::{collections::BTreeMap, fmt::Write};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use serde_json::{Value, json};
use utoipa::OpenApi;

use super::{Problem, State, negotiate::Accept, openapi::Document, state::SERVICE_ROOT};

const WADL: &str = "application/vnd.sun.wadl+xml";
const JSON: &str = "application/json";

/// The search keys of PS3.18 table 10.6.1-5 that every search resource takes;
/// any other attribute is taken too.
const CHARSETS: &str = "UTF-8";

#[utoipa::path(
    method(options, get), path = "/dicomweb", tag = "Capabilities", operation_id = "capabilities",
    summary = "What the server offers",
    responses(
        (status = 200, description = "The resources with their methods, parameters and media types",
            content((String = "application/vnd.sun.wadl+xml"), (String = "application/json"))),
        (status = 406, description = "No acceptable representation", content_type = "application/problem+json",
            body = super::openapi::ProblemBody)
    )
)]
pub async fn describe(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let offers = [WADL, JSON];
    let chosen = Accept::of(&request, state.config.strict.accept)?.one_of(&offers)?;
    let base_url = state.base_url(&request)?;
    let resources = resources();
    let body =
        if chosen == 0 { wadl(&base_url, &resources) } else { as_json(&base_url, &resources).to_string() };
    Ok(HttpResponse::Ok()
        .content_type(offers[chosen])
        .insert_header((header::VARY, "Accept, Origin"))
        .insert_header((header::ALLOW, "GET, HEAD, OPTIONS"))
        .body(body))
}

/// One method of a resource.
struct Method {
    name: String,
    id: String,
    /// Name and style (`query` or `template`).
    params: Vec<(String, &'static str)>,
    request: Vec<String>,
    /// Media types by status.
    responses: BTreeMap<String, Vec<String>>,
}

/// The DICOMweb resources by their path under the base URL.
fn resources() -> BTreeMap<String, Vec<Method>> {
    let document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    let paths = document["paths"].as_object().cloned().unwrap_or_default();
    paths
        .iter()
        .filter_map(|(path, methods)| {
            let path = path.strip_prefix(SERVICE_ROOT)?.trim_start_matches('/').to_owned();
            let methods =
                methods.as_object()?.iter().map(|(name, method)| read_method(name, method)).collect();
            Some((path, methods))
        })
        .collect()
}

fn read_method(name: &str, method: &Value) -> Method {
    let media = |value: &Value| -> Vec<String> {
        value["content"].as_object().map(|content| content.keys().cloned().collect()).unwrap_or_default()
    };
    let params = method["parameters"].as_array().into_iter().flatten().filter_map(|param| {
        let style = if param["in"] == "path" { "template" } else { "query" };
        Some((param["name"].as_str()?.to_owned(), style))
    });
    let responses = method["responses"].as_object().into_iter().flatten();
    Method {
        name: name.to_ascii_uppercase(),
        id: method["operationId"].as_str().unwrap_or_default().to_owned(),
        params: params.collect(),
        request: media(&method["requestBody"]),
        responses: responses.map(|(status, response)| (status.clone(), media(response))).collect(),
    }
}

fn wadl(base_url: &str, resources: &BTreeMap<String, Vec<Method>>) -> String {
    let mut out = String::with_capacity(16 * 1024);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str("<application xmlns=\"http://wadl.dev.java.net/2009/02\">\n");
    // Writing to a String does not fail.
    let _ = writeln!(out, "  <resources base=\"{}\">", escape(base_url));
    for (path, methods) in resources {
        let _ = writeln!(out, "    <resource path=\"{}\">", escape(path));
        for method in methods {
            wadl_method(&mut out, method);
        }
        out.push_str("    </resource>\n");
    }
    out.push_str("  </resources>\n</application>\n");
    out
}

fn wadl_method(out: &mut String, method: &Method) {
    let _ = writeln!(out, "      <method name=\"{}\" id=\"{}\">", method.name, escape(&method.id));
    out.push_str("        <request>\n");
    for (name, style) in &method.params {
        let _ = writeln!(out, "          <param name=\"{}\" style=\"{style}\"/>", escape(name));
    }
    out.push_str("          <param name=\"Accept\" style=\"header\"/>\n");
    for media in &method.request {
        let _ = writeln!(out, "          <representation mediaType=\"{}\"/>", escape(media));
    }
    out.push_str("        </request>\n");
    for (status, media) in &method.responses {
        let _ = writeln!(out, "        <response status=\"{status}\">");
        for media in media {
            let _ = writeln!(out, "          <representation mediaType=\"{}\"/>", escape(media));
        }
        out.push_str("        </response>\n");
    }
    out.push_str("      </method>\n");
}

fn as_json(base_url: &str, resources: &BTreeMap<String, Vec<Method>>) -> Value {
    let resources: Vec<Value> = resources
        .iter()
        .map(|(path, methods)| {
            let methods: Vec<Value> = methods
                .iter()
                .map(|method| {
                    let params: Vec<Value> = method
                        .params
                        .iter()
                        .map(|(name, style)| json!({ "@name": name, "@style": style }))
                        .collect();
                    let representations = |media: &[String]| -> Vec<Value> {
                        media.iter().map(|media| json!({ "@mediaType": media })).collect()
                    };
                    let responses: Vec<Value> = method
                        .responses
                        .iter()
                        .map(|(status, media)| json!({ "@status": status, "representation": representations(media) }))
                        .collect();
                    json!({
                        "@name": method.name,
                        "@id": method.id,
                        "request": { "param": params, "representation": representations(&method.request) },
                        "response": responses,
                    })
                })
                .collect();
            json!({ "@path": path, "method": methods })
        })
        .collect();
    json!({ "application": { "charset": CHARSETS, "resources": { "@base": base_url, "resource": resources } } })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
