//! The cookies: of a session, and of a login that is under way at an issuer.
//! Never readable by scripts, never sent by other sites' forms, and over TLS
//! bound to this very host (`__Host-`).

use actix_web::{
    HttpRequest,
    cookie::{Cookie, SameSite, time::Duration},
};

/// What a cookie is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Session,
    Login,
}

impl Purpose {
    fn name(self, secure: bool) -> &'static str {
        match (self, secure) {
            (Self::Session, true) => "__Host-hilum",
            (Self::Session, false) => "hilum",
            (Self::Login, true) => "__Host-hilum-login",
            (Self::Login, false) => "hilum-login",
        }
    }

    /// The value that a client sent; `secure` says how it reaches us.
    pub fn of(self, request: &HttpRequest, secure: bool) -> Option<String> {
        let cookies = request.cookies().ok()?;
        let mut values = cookies.iter().filter(|cookie| cookie.name() == self.name(secure));
        let value = values.next()?.value().to_owned();
        // Of two with one name, one was put there by somebody else.
        values.next().is_none().then_some(value)
    }

    pub fn set(self, value: String, secure: bool) -> Cookie<'static> {
        let cookie = Cookie::build(self.name(secure), value).path("/").http_only(true).secure(secure);
        // Lax: a link in a mail leads into the session, and an issuer leads back.
        let cookie = cookie.same_site(SameSite::Lax);
        match self {
            // Until the browser is closed; the server ends it by its own clock.
            Self::Session => cookie.finish(),
            Self::Login => cookie.max_age(Duration::seconds(super::oidc::FLOW_SECONDS)).finish(),
        }
    }

    pub fn clear(self, secure: bool) -> Cookie<'static> {
        let mut cookie = self.set(String::new(), secure);
        cookie.set_max_age(Duration::ZERO);
        cookie
    }
}
