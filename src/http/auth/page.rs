//! The login page: plain HTML with nothing from elsewhere, no script, and
//! usable by keyboard and screen reader. A failed login is this page again.

use actix_web::{
    HttpResponse, HttpResponseBuilder,
    http::{StatusCode, header},
};

use crate::auth::secret;

pub const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:24rem;margin:4rem auto;padding:0 1rem;color:#1b1b1f;\
background:#fff}h1{font-size:1.5rem}label{display:block;margin:1rem 0 .25rem}input{font:inherit;width:100%;\
box-sizing:border-box;padding:.5rem;border:1px solid #6b6b76;border-radius:4px}button,.issuer{font:inherit;display:block;\
width:100%;box-sizing:border-box;text-align:center;margin-top:1.25rem;padding:.6rem;border:0;border-radius:4px;\
background:#134a8e;color:#fff;text-decoration:none;cursor:pointer}:focus-visible{outline:3px solid #e08a00;\
outline-offset:2px}.wrong{border-left:4px solid #b3261e;padding:.5rem .75rem;background:#fdecea}\
@media(prefers-color-scheme:dark){body{color:#eee;background:#1b1b1f}.wrong{color:#1b1b1f}}";

/// What stands on the page.
pub struct Page<'a> {
    pub status: StatusCode,
    pub message: Option<&'a str>,
    /// The name that was typed.
    pub name: &'a str,
    pub next: &'a str,
    /// Local accounts can log in.
    pub accounts: bool,
    /// Label and URL of each issuer that can.
    pub issuers: Vec<(String, String)>,
}

impl Page<'_> {
    pub fn builder(&self) -> HttpResponseBuilder {
        HttpResponse::build(self.status)
    }

    pub fn finish(&self, mut response: HttpResponseBuilder) -> HttpResponse {
        let nonce = secret::random::<16>();
        // Chromium holds redirects of a form against form-action too; those
        // of ours stay here.
        let policy = format!(
            "default-src 'none'; style-src 'nonce-{nonce}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        );
        response
            .content_type("text/html; charset=utf-8")
            .insert_header((header::CONTENT_SECURITY_POLICY, policy))
            .insert_header((header::X_FRAME_OPTIONS, "DENY"))
            .insert_header((header::REFERRER_POLICY, "no-referrer"))
            .insert_header((header::CACHE_CONTROL, "no-store"))
            .body(self.html(&nonce))
    }

    fn html(&self, nonce: &str) -> String {
        let message =
            self.message.map(|text| format!("<p class=\"wrong\" role=\"alert\">{}</p>\n", escaped(text)));
        let form = if self.accounts {
            format!(
                "<form method=\"post\" action=\"login\">\n<label for=\"name\">Name</label>\n\
                 <input id=\"name\" name=\"name\" value=\"{}\" autocomplete=\"username\" autocapitalize=\"none\" \
                 spellcheck=\"false\" maxlength=\"64\" required autofocus>\n\
                 <label for=\"password\">Password</label>\n<input id=\"password\" name=\"password\" type=\"password\" \
                 autocomplete=\"current-password\" maxlength=\"1024\" required>\n\
                 <input type=\"hidden\" name=\"next\" value=\"{}\">\n<button>Log in</button>\n</form>\n",
                escaped(self.name),
                escaped(self.next)
            )
        } else {
            String::new()
        };
        let issuers: Vec<String> = self
            .issuers
            .iter()
            .map(|(label, url)| {
                format!("<a class=\"issuer\" href=\"{}\">Log in with {}</a>\n", escaped(url), escaped(label))
            })
            .collect();
        let issuers = issuers.concat();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n<title>Log in – Hilum</title>\n\
             <style nonce=\"{nonce}\">{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Log in to Hilum</h1>\n{}{form}{issuers}\
             </main>\n</body>\n</html>\n",
            message.unwrap_or_default(),
        )
    }
}

pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_typed_stays_text() {
        let page = Page {
            status: StatusCode::OK,
            message: Some("<b>"),
            name: "\"><script>",
            next: "/'\"<",
            accounts: true,
            issuers: vec![("<i>".to_owned(), "login?issuer=\"".to_owned())],
        };
        let html = page.html("n");
        assert!(!html.contains("<script") && !html.contains("<b>") && !html.contains("<i>"), "{html}");
        assert!(html.contains("value=\"&quot;&gt;&lt;script&gt;\""));
    }
}
