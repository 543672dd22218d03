//! What every handler shares.

use std::{collections::BTreeMap, net::IpAddr, sync::Arc};

use actix_web::{HttpMessage, HttpRequest};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use super::{
    Problem, access,
    base_url::{Asked, BaseUrl, ConfiguredError},
    flood::Flood,
    negotiate::{Accept, NegotiateError},
    shares::shared::Pass,
};
use crate::{
    archive::Archive,
    audit::{Journal, Trail},
    auth::{Authentication, Identity, Permit, RoleError, Roles, Tenant, shares::Grant},
    config::Config,
};

/// Where the DICOMweb services stand under the server's root.
pub const SERVICE_ROOT: &str = super::base_url::SERVICE_PATH;

/// Bodies whose first kilobytes may be awaited at the same time.
const ARRIVING_MAX: usize = 2048;

/// What the handlers of one archive share. Those of a tenant have a state of
/// their own, and no way from it to another archive; what is the server's is
/// common to all.
pub struct State {
    pub archive: Arc<Archive>,
    /// Whose archive it is.
    pub tenant: Tenant,
    pub auth: Arc<Authentication>,
    pub config: Arc<Config>,
    pub metrics: PrometheusHandle,
    /// Store requests that may be served at the same time.
    pub uploads: Arc<Semaphore>,
    /// Bodies whose beginning is awaited.
    pub arriving: Arc<Semaphore>,
    /// From which the boundaries of multipart answers are made.
    pub boundary_key: [u8; 32],
    /// What each role grants.
    pub roles: Arc<Roles>,
    /// Where it is recorded what is done; nowhere if it is switched off.
    pub audit: Option<Arc<Journal>>,
    pub(super) flood: Arc<Flood>,
    base_url: BaseUrl,
    /// Of the root archive only, for what is about the whole server.
    tenants: BTreeMap<String, Arc<Archive>>,
}

/// A configuration that no server can have.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error(transparent)]
    Url(#[from] ConfiguredError),
    #[error(transparent)]
    Role(#[from] RoleError),
}

impl State {
    /// # Errors
    /// When `public_url` of the configuration is malformed or a role makes no
    /// sense.
    pub fn new(
        archive: Arc<Archive>,
        auth: Arc<Authentication>,
        config: Config,
        metrics: PrometheusHandle,
    ) -> Result<Self, StateError> {
        let base_url = BaseUrl::new(config.public_url.as_deref(), config.trusted_proxies.clone())?;
        let uploads = Arc::new(Semaphore::new(config.limits.uploads_max));
        let arriving = Arc::new(Semaphore::new(ARRIVING_MAX));
        let boundary_key = archive.key();
        let roles = Arc::new(Roles::new(&config.roles)?);
        let flood = Arc::new(Flood::new(&config.limits));
        let audit = None;
        Ok(Self {
            archive,
            tenant: Tenant::Root,
            auth,
            config: Arc::new(config),
            metrics,
            uploads,
            arriving,
            boundary_key,
            roles,
            audit,
            flood,
            base_url,
            tenants: BTreeMap::new(),
        })
    }

    /// The state of a tenant of the same server.
    pub(super) fn of_tenant(&self, tenant: Tenant, archive: Arc<Archive>) -> Self {
        Self {
            boundary_key: archive.key(),
            archive,
            tenant,
            auth: Arc::clone(&self.auth),
            config: Arc::clone(&self.config),
            metrics: self.metrics.clone(),
            uploads: Arc::clone(&self.uploads),
            arriving: Arc::clone(&self.arriving),
            roles: Arc::clone(&self.roles),
            audit: self.audit.clone(),
            flood: Arc::clone(&self.flood),
            base_url: self.base_url.clone(),
            tenants: BTreeMap::new(),
        }
    }

    /// The same, of a server with these tenants.
    #[must_use]
    pub fn with_tenants(self, tenants: &BTreeMap<String, Arc<Archive>>) -> Self {
        Self { tenants: tenants.clone(), ..self }
    }

    /// All archives of the server, that of the root first, for what is about the
    /// server as a whole.
    pub(super) fn all_archives(&self) -> impl Iterator<Item = (Option<&str>, &Arc<Archive>)> {
        let tenants = self.tenants.iter().map(|(name, archive)| (Some(name.as_str()), archive));
        std::iter::once((None, &self.archive)).chain(tenants)
    }

    /// What the caller may do in each archive of the server.
    pub(super) fn all_permits(&self, request: &HttpRequest) -> Vec<(Tenant, Permit)> {
        let identity = identity(request);
        let named = |name: &String| Tenant::Named(name.as_str().into());
        let tenants = std::iter::once(Tenant::Root).chain(self.tenants.keys().map(named));
        tenants
            .map(|tenant| {
                let permit = self.roles.permit_in(&identity, &tenant);
                (tenant, permit)
            })
            .collect()
    }

    /// The same, recording what is done.
    #[must_use]
    pub fn with_audit(self, audit: Option<Arc<Journal>>) -> Self {
        Self { audit, ..self }
    }

    /// What the caller may do: the identity that [`super::authenticate`] put
    /// into the request, as a permit. While authentication is off everybody who
    /// reaches the loopback interface may do everything.
    #[must_use]
    pub fn permit(&self, request: &HttpRequest) -> Permit {
        let trail = request.extensions().get::<Trail>().cloned();
        let grant = request.extensions().get::<Arc<Grant>>().cloned();
        let identity = identity(request);
        let permit = match grant {
            Some(grant) => self.roles.permit_of_link(&identity, &grant, &self.tenant),
            None => self.roles.permit_in(&identity, &self.tenant),
        };
        permit.to(access::action(request)).on_trail(trail)
    }

    /// The address of the client: the other end of the connection, or what a
    /// trusted proxy says.
    #[must_use]
    pub fn peer(&self, request: &HttpRequest) -> Option<IpAddr> {
        let peer = request.peer_addr().map(|address| address.ip().to_canonical());
        let header = |name: &str| -> Vec<&str> {
            request.headers().get_all(name).filter_map(|value| value.to_str().ok()).collect()
        };
        self.base_url.client(peer, &header)
    }

    /// The URL under which everything of this archive stands, without a slash at
    /// its end.
    ///
    /// # Errors
    /// As [`State::base_url`].
    pub fn home(&self, request: &HttpRequest) -> Result<String, Problem> {
        Ok(self.root(request)? + &self.tenant.prefix())
    }

    /// Whether the client reaches us over TLS, be it a proxy's.
    #[must_use]
    pub fn is_secure(&self, request: &HttpRequest) -> bool {
        self.root(request).is_ok_and(|url| url.starts_with("https:"))
    }

    /// The URL under which everything of this server stands, without a slash at
    /// its end.
    ///
    /// # Errors
    /// When the Host header is missing or malformed.
    pub fn root(&self, request: &HttpRequest) -> Result<String, Problem> {
        let header = |name: &str| -> Vec<&str> {
            let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
            // HTTP/2 has no Host header but an :authority.
            let authority = (name == "host").then(|| request.uri().authority()).flatten();
            values.chain(authority.map(actix_web::http::uri::Authority::as_str)).collect()
        };
        let asked = Asked {
            peer: request.peer_addr().map(|address| address.ip()),
            listen: request.app_config().local_addr(),
            tls: request.app_config().secure(),
            header: &header,
        };
        let base = self.base_url.of(&asked).map_err(|_| Problem::bad_host())?;
        Ok(base.strip_suffix(SERVICE_ROOT).unwrap_or(&base).to_owned())
    }

    /// The absolute URL of the DICOMweb services of this archive, as the client
    /// reaches them.
    ///
    /// # Errors
    /// As [`State::root`].
    pub fn base_url(&self, request: &HttpRequest) -> Result<String, Problem> {
        let home = self.home(request)?;
        // Who came by a link goes on by it.
        let extensions = request.extensions();
        let pass = extensions.get::<Pass>().filter(|_| extensions.get::<Arc<Grant>>().is_some());
        Ok(match pass {
            Some(Pass(pass)) => format!("{home}/shared/{pass}{SERVICE_ROOT}"),
            None => format!("{home}{SERVICE_ROOT}"),
        })
    }
}

/// Who asks, as [`super::authenticate`] found it; nobody where it did not run.
pub fn identity(request: &HttpRequest) -> Arc<Identity> {
    let known = request.extensions().get::<Arc<Identity>>().cloned();
    known.unwrap_or_else(|| Arc::new(Identity::anonymous()))
}

impl Accept {
    /// What the client of this request can take.
    ///
    /// # Errors
    /// As [`Accept::read`].
    pub fn of(request: &HttpRequest, strict: bool) -> Result<Self, NegotiateError> {
        let headers = super::body::values(request, &actix_web::http::header::ACCEPT);
        let params: Vec<String> = super::params::query_values(request, "accept");
        Self::read(headers, params.iter().map(String::as_str), strict)
    }
}
