//! Whether a request comes from a page of this server (CSRF). Browsers say so
//! themselves; where one does not, the page must show what only it can know.

use actix_web::{HttpRequest, http::header};

use crate::{auth::secret, http::State};

/// What a request says of where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    Own,
    Other,
    /// It does not say: an old browser, or no browser.
    Unsaid,
}

pub fn of(state: &State, request: &HttpRequest) -> Origin {
    let said =
        |name: header::HeaderName| request.headers().get(name).map(|value| value.to_str().unwrap_or(""));
    let site = request.headers().get("sec-fetch-site").map(|value| value.to_str().unwrap_or(""));
    match site {
        // `none`: typed, or from a bookmark.
        Some("same-origin" | "none") => return Origin::Own,
        Some(_) => return Origin::Other,
        None => {}
    }
    let own = state.root(request).ok();
    let is_own = |origin: &str| {
        own.as_ref().is_some_and(|root| {
            let rest = root.strip_prefix(origin);
            !origin.is_empty() && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    };
    match said(header::ORIGIN) {
        Some(origin) if is_own(&origin.to_ascii_lowercase()) => Origin::Own,
        Some(_) => Origin::Other,
        None => Origin::Unsaid,
    }
}

/// Whether a session may change something by this request.
pub fn may_change(state: &State, request: &HttpRequest, csrf: &str) -> bool {
    let shown = request.headers().get("x-csrf-token").and_then(|value| value.to_str().ok());
    match of(state, request) {
        Origin::Own => true,
        Origin::Other => false,
        Origin::Unsaid => shown.is_some_and(|shown| secret::same(shown, csrf)),
    }
}
