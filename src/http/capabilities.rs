//! Capabilities (PS3.18 sections 8.9 and 10.2, Annex H): what this server
//! offers, as WADL or as its JSON mapping (Annex G). Made from what the handlers
//! say of themselves; see [`super::described`].

use std::{collections::BTreeMap, fmt::Write};

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};
use serde_json::{Map, Value, json};

use super::{
    Problem, State,
    described::{self, Method},
    negotiate::Accept,
    state::SERVICE_ROOT,
};

const WADL: &str = "application/vnd.sun.wadl+xml";
const JSON: &str = "application/json";

/// All that is sent as text is sent in it.
const CHARSET: &str = "utf-8";

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
    let tree = Node::root();
    let body = if chosen == 0 { wadl(&base_url, &tree) } else { as_json(&base_url, &tree).to_string() };
    Ok(HttpResponse::Ok()
        .content_type(offers[chosen])
        .insert_header((header::VARY, "Accept, Origin"))
        .insert_header((header::ALLOW, "GET, HEAD, OPTIONS"))
        .body(body))
}

/// A segment of a path with what lies below it, as Annex H draws it.
#[derive(Default)]
struct Node {
    methods: Vec<Method>,
    below: BTreeMap<String, Node>,
}

impl Node {
    /// The resources under the base URL.
    fn root() -> Self {
        let mut root = Self::default();
        for resource in described::resources() {
            let Some(path) = resource.path.strip_prefix(SERVICE_ROOT) else { continue };
            let mut node = &mut root;
            for segment in path.split('/').filter(|segment| !segment.is_empty()) {
                node = node.below.entry(segment.to_owned()).or_default();
            }
            node.methods = resource.methods;
        }
        root
    }
}

/// A parameter of a request.
struct Asked {
    name: String,
    style: &'static str,
    required: bool,
    /// The values it is known to take; none: any.
    options: Vec<String>,
}

/// The parameters of a method, and those that choose the representation.
fn params(method: &Method) -> Vec<Asked> {
    let media: Vec<String> = method.media().into_iter().map(str::to_owned).collect();
    let own = method.params.iter().filter(|param| param.name != "accept" && param.name != "charset");
    let own = own.map(|param| Asked {
        name: param.name.clone(),
        style: param.style,
        required: param.required,
        options: Vec::new(),
    });
    let chosen = |name: &str, style, options: &[String]| Asked {
        name: name.to_owned(),
        style,
        required: false,
        options: options.to_vec(),
    };
    let mut all: Vec<_> = own.collect();
    if !media.is_empty() {
        let charsets = [CHARSET.to_owned()];
        all.push(chosen("Accept", "header", &media));
        all.push(chosen("accept", "query", &media));
        all.push(chosen("Accept-Charset", "header", &charsets));
        all.push(chosen("charset", "query", &charsets));
    }
    all
}

fn wadl(base_url: &str, root: &Node) -> String {
    let mut out = String::with_capacity(64 * 1024);
    out.push_str("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    out.push_str("<application xmlns=\"http://wadl.dev.java.net/2009/02\">\n");
    // Writing to a String does not fail.
    let _ = writeln!(out, "  <resources base=\"{}\">", escape(base_url));
    if !root.methods.is_empty() {
        // The base itself; what lies below it follows on the same level.
        out.push_str("    <resource path=\"\">\n");
        root.methods.iter().for_each(|method| wadl_method(&mut out, method, 6));
        out.push_str("    </resource>\n");
    }
    for (segment, node) in &root.below {
        wadl_resource(&mut out, segment, node, 4);
    }
    out.push_str("  </resources>\n</application>\n");
    out
}

fn wadl_resource(out: &mut String, segment: &str, node: &Node, indent: usize) {
    let pad = " ".repeat(indent);
    let _ = writeln!(out, "{pad}<resource path=\"{}\">", escape(segment));
    for method in &node.methods {
        wadl_method(out, method, indent + 2);
    }
    for (segment, node) in &node.below {
        wadl_resource(out, segment, node, indent + 2);
    }
    let _ = writeln!(out, "{pad}</resource>");
}

fn wadl_method(out: &mut String, method: &Method, indent: usize) {
    let pad = " ".repeat(indent);
    let _ = writeln!(out, "{pad}<method name=\"{}\" id=\"{}\">", method.name, escape(&method.id));
    let _ = writeln!(out, "{pad}  <request>");
    for Asked { name, style, required, options } in params(method) {
        let required = if required { " required=\"true\"" } else { "" };
        let head = format!("<param name=\"{}\" style=\"{style}\"{required}", escape(&name));
        if options.is_empty() {
            let _ = writeln!(out, "{pad}    {head}/>");
            continue;
        }
        let _ = writeln!(out, "{pad}    {head}>");
        for option in options {
            let _ = writeln!(out, "{pad}      <option value=\"{}\"/>", escape(&option));
        }
        let _ = writeln!(out, "{pad}    </param>");
    }
    for media in &method.request {
        let _ = writeln!(out, "{pad}    <representation mediaType=\"{}\"/>", escape(media));
    }
    let _ = writeln!(out, "{pad}  </request>");
    for response in &method.responses {
        let _ = writeln!(out, "{pad}  <response status=\"{}\">", response.status);
        for media in &response.media {
            let _ = writeln!(out, "{pad}    <representation mediaType=\"{}\"/>", escape(media));
        }
        let _ = writeln!(out, "{pad}  </response>");
    }
    let _ = writeln!(out, "{pad}</method>");
}

fn as_json(base_url: &str, root: &Node) -> Value {
    let mut resources = Vec::new();
    if !root.methods.is_empty() {
        let methods: Vec<Value> = root.methods.iter().map(json_method).collect();
        resources.push(json!({ "@path": "", "method": methods }));
    }
    resources.extend(root.below.iter().map(|(segment, node)| json_resource(segment, node)));
    json!({ "application": { "resources": { "@base": base_url, "resource": resources } } })
}

fn json_resource(segment: &str, node: &Node) -> Value {
    let mut resource = Map::new();
    resource.insert("@path".to_owned(), segment.into());
    if !node.methods.is_empty() {
        resource.insert("method".to_owned(), node.methods.iter().map(json_method).collect());
    }
    if !node.below.is_empty() {
        let below = node.below.iter().map(|(segment, node)| json_resource(segment, node));
        resource.insert("resource".to_owned(), below.collect());
    }
    Value::Object(resource)
}

fn json_method(method: &Method) -> Value {
    let params: Vec<Value> = params(method)
        .into_iter()
        .map(|Asked { name, style, required, options }| {
            let mut param = json!({ "@name": name, "@style": style, "@required": required });
            if !options.is_empty() {
                let options = options.into_iter().map(|option| json!({ "@value": option }));
                param["option"] = options.collect();
            }
            param
        })
        .collect();
    let representations = |media: &[String]| -> Vec<Value> {
        media.iter().map(|media| json!({ "@mediaType": media })).collect()
    };
    let responses: Vec<Value> = method
        .responses
        .iter()
        .map(|response| {
            json!({ "@status": response.status, "representation": representations(&response.media) })
        })
        .collect();
    json!({
        "@name": method.name,
        "@id": method.id,
        "request": { "param": params, "representation": representations(&method.request) },
        "response": responses,
    })
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
