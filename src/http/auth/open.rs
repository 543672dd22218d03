//! What is open to everybody while authentication is on: what the table of
//! [`access`] asks nothing for. Nothing there tells anything of what is stored.

use actix_web::{
    dev::ServiceRequest,
    http::{Method, header},
};

use crate::{
    config,
    http::access::{self, Needs},
};

/// Whether nobody needs to say who they are for this.
pub fn is_open(request: &ServiceRequest, config: &config::Auth) -> bool {
    // Browsers ask without credentials whether they may ask.
    let headers = request.headers();
    let is_preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let resource = request.match_pattern();
    is_preflight
        || resource.is_some_and(|resource| {
            access::needs(&resource, request.method().as_str()) == Some(Needs::Nothing)
                || (resource == "/metrics" && config.metrics_open)
        })
}
