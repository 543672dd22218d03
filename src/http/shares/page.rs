//! The pages of a link: plain HTML with nothing from elsewhere and no script.
//! Opening is a form, so that a program that only looks at links in a mail uses
//! none up.

use std::fmt::Write as _;

use actix_web::{
    HttpRequest, HttpResponse,
    http::{StatusCode, header},
};

use super::moment;
use crate::{
    auth::secret,
    http::auth::page::{STYLE, escaped},
    storage::shares::Share,
};

/// Whether it is a browser that asks.
pub fn is_wanted(request: &HttpRequest) -> bool {
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// The page that opens a link.
pub fn closed(share: &Share, status: StatusCode, message: Option<&str>) -> HttpResponse {
    let wrong = message
        .map(|text| format!("<p class=\"wrong\" role=\"alert\">{}</p>\n", escaped(text)))
        .unwrap_or_default();
    let password = if share.password.is_some() {
        "<label for=\"password\">Password</label>\n<input id=\"password\" name=\"password\" type=\"password\" \
         autocomplete=\"off\" maxlength=\"1024\" required autofocus>\n"
    } else {
        ""
    };
    let form =
        format!("{wrong}{}<form method=\"post\">\n{password}<button>Open</button>\n</form>\n", about(share));
    page(status, &form)
}

/// A link that opens nothing.
pub fn gone(status: StatusCode, message: &str) -> HttpResponse {
    page(status, &format!("<p class=\"wrong\" role=\"alert\">{}</p>\n", escaped(message)))
}

/// What a link opened.
pub fn opened(share: &Share, dicomweb: &str, viewer: Option<&str>) -> HttpResponse {
    let mut body = about(share);
    if let Some(viewer) = viewer {
        let _ =
            writeln!(body, "<p><a class=\"issuer\" href=\"{}\">Open in the viewer</a></p>", escaped(viewer));
    }
    for (index, study) in share.studies.iter().enumerate() {
        let number = index + 1;
        let place = escaped(&format!("{dicomweb}/studies/{study}"));
        let _ = writeln!(
            body,
            "<h2>Study {number}</h2>\n<p><img src=\"{place}/thumbnail\" alt=\"Study {number}\"></p>"
        );
        if share.download {
            let _ = writeln!(body, "<p><a href=\"{place}?accept=application/zip\">Download (zip)</a></p>");
        }
    }
    let _ = writeln!(body, "<p>For a DICOMweb viewer:</p>\n<p><code>{}</code></p>", escaped(dicomweb));
    page(StatusCode::OK, &body)
}

fn about(share: &Share) -> String {
    let label = share.label.as_ref().map(|label| format!("<p>{}</p>\n", escaped(label))).unwrap_or_default();
    let count = share.studies.len();
    let studies = if count == 1 { "1 study".to_owned() } else { format!("{count} studies") };
    format!("{label}<p>{studies}, until {}.</p>\n", escaped(&moment(share.expires)))
}

fn page(status: StatusCode, body: &str) -> HttpResponse {
    let nonce = secret::random::<16>();
    let policy = format!(
        "default-src 'none'; img-src 'self'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; \
         frame-ancestors 'none'"
    );
    HttpResponse::build(status)
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<meta name=\"robots\" content=\"noindex\">\n\
             <title>Shared studies – Hilum</title>\n<style nonce=\"{nonce}\">{STYLE}code{{overflow-wrap:anywhere}}\
             img{{max-width:100%}}</style>\n</head>\n<body>\n<main>\n<h1>Shared studies</h1>\n{body}</main>\n</body>\n</html>\n",
        ))
}
