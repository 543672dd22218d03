//! What is open to everybody while authentication is on: what the table of
//! [`access`] asks nothing for. Nothing there tells anything of what is stored.

use actix_web::{
    dev::ServiceRequest,
    http::{Method, header},
};

use crate::{
    auth::Tenant,
    http::{
        State,
        access::{self, Needs},
        routes::resource_of,
    },
};

/// A link to studies is itself what one needs.
const LINK: &str = "/shared/{link}";

/// Whether nobody needs to say who they are for this.
pub fn is_open(request: &ServiceRequest, state: &State) -> bool {
    // Browsers ask without credentials whether they may ask.
    let headers = request.headers();
    let is_preflight = request.method() == Method::OPTIONS
        && headers.contains_key(header::ORIGIN)
        && headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let resource = resource_of(request.request());
    is_preflight
        || resource.is_some_and(|resource| {
            let needs = access::needs(&resource, request.method().as_str());
            // That a tenant is there is told to nobody who may not enter it.
            (needs == Some(Needs::Nothing) && (state.tenant == Tenant::Root || &*resource == LINK))
                || (&*resource == "/metrics" && state.config.auth.metrics_open)
        })
}
