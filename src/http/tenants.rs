//! From a path to the archive that it is of. `/NAME/dicomweb/…` becomes
//! `/dicomweb/…` with the state of that tenant in place of the root's, before
//! anything else sees the request: what comes after knows one archive only, and
//! it has no way to another.
//!
//! Invariant: a tenant that is not there is answered as one that the caller may
//! not enter ([`super::access`]), from the path on: both go the same way.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use actix_web::{
    Error, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Extensions, ServiceRequest, ServiceResponse},
    middleware::Next,
    web::Data,
};

use super::{State, middleware::put_path};
use crate::{archive::Archive, auth::Tenant, config};

/// With what the paths begin that are of an archive. All others are the server's.
pub const OF_AN_ARCHIVE: [&str; 6] = ["dicomweb", "wado", "uploads", "audit", "shares", "shared"];

/// The states of all tenants.
pub struct Tenants {
    named: BTreeMap<String, Data<State>>,
    /// Of all that are not there.
    unknown: Data<State>,
}

/// The name that stood in the path, of a tenant or of none.
#[derive(Clone)]
pub struct AskedTenant(pub String);

impl Tenants {
    #[must_use]
    pub fn new(root: &State, archives: &BTreeMap<String, Arc<Archive>>) -> Self {
        let state = |(name, archive): (&String, &Arc<Archive>)| {
            let tenant = Tenant::Named(name.as_str().into());
            (name.clone(), Data::new(root.of_tenant(tenant, Arc::clone(archive))))
        };
        let unknown = root.of_tenant(Tenant::Unknown, Arc::clone(&root.archive));
        Self { named: archives.iter().map(state).collect(), unknown: Data::new(unknown) }
    }

    /// The states of those that are there.
    pub fn states(&self) -> impl Iterator<Item = &Data<State>> {
        self.named.values()
    }

    /// What a path names: a tenant, and the path within it.
    fn of<'p>(&self, path: &'p str) -> Option<(&'p str, &'p str, &Data<State>)> {
        let (name, below) = path.strip_prefix('/')?.split_once('/')?;
        let first = below.split('/').next().unwrap_or_default();
        if !config::is_name(name) || !OF_AN_ARCHIVE.contains(&first) {
            return None;
        }
        Some((name, &path[1 + name.len()..], self.named.get(name).unwrap_or(&self.unknown)))
    }
}

/// Wraps every request, outside of all that looks at its path.
///
/// # Errors
/// Those of the services, none of its own.
pub async fn choose_tenant(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let tenants = request.app_data::<Data<Tenants>>().cloned();
    let found = tenants.as_ref().and_then(|tenants| {
        let (name, path, state) = tenants.of(request.path())?;
        Some((name.to_owned(), path.to_owned(), state.clone()))
    });
    if let Some((name, path, state)) = found {
        // The last that was put there is what a handler gets.
        let mut container = Extensions::new();
        container.insert(state);
        request.add_data_container(Rc::new(container));
        request.extensions_mut().insert(AskedTenant(name));
        put_path(&mut request, &path);
    }
    next.call(request).await
}

/// The name of a tenant in the path of a request, whether it is one or not.
pub fn asked(request: &HttpRequest) -> Option<String> {
    request.extensions().get::<AskedTenant>().map(|asked| asked.0.clone())
}
