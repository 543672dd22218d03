//! The DICOM Conformance Statement (PS3.2 Annex N), served at `/conformance`
//! and committed as `openapi/conformance.md`. What is a list in it (resources,
//! media types, transfer syntaxes, attributes, limits, reasons) is made from
//! the tables by which the server works; only what is behaviour is written out.

mod page;
mod search;
mod statement;
mod tables;
mod unsupported;

use actix_web::{HttpRequest, HttpResponse, http::header, web::Data};

use super::{Problem, State, negotiate::Accept};
use crate::config::Config;

const MARKDOWN: &str = "text/markdown";
const HTML: &str = "text/html";

/// The statement as it is committed: with the limits of the defaults.
#[must_use]
pub fn text() -> String {
    statement::statement(&Config::default()).markdown()
}

#[utoipa::path(
    get, path = "/conformance", tag = "Capabilities", operation_id = "conformanceStatement",
    summary = "The DICOM Conformance Statement",
    responses(
        (status = 200, description = "The statement, with the limits of this server",
            content((String = "text/markdown"), (String = "text/html"))),
        (status = 406, description = "No acceptable representation", content_type = "application/problem+json",
            body = super::openapi::ProblemBody)
    )
)]
pub async fn document(state: Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let chosen = Accept::of(&request, state.config.strict.accept)?.one_of(&[MARKDOWN, HTML])?;
    let page = statement::statement(&state.config);
    let (kind, body) =
        if chosen == 0 { (MARKDOWN, page.markdown()) } else { (HTML, page.html(statement::TITLE)) };
    Ok(HttpResponse::Ok()
        .content_type(format!("{kind}; charset=utf-8"))
        .insert_header((header::VARY, "Accept, Origin"))
        .body(body))
}
