//! Who asks: a request becomes a request with an [`Identity`] in its
//! extensions. What somebody may do is decided elsewhere, from that identity
//! ([`super::State::permit`]).

mod told;

use std::sync::Arc;

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};

use super::State;
pub use told::tell;

use crate::auth::Identity;

/// Wraps every request, inside of what logs it.
///
/// # Errors
/// Those of the services, none of its own.
pub async fn authenticate(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let peer = request.app_data::<Data<State>>().and_then(|state| state.peer(request.request()));
    request.extensions_mut().insert(Arc::new(Identity::local().from_peer(peer)));
    next.call(request).await
}
