//! What every handler shares.

use std::{net::IpAddr, sync::Arc};

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
    auth::{Authentication, Identity, Permit, RoleError, Roles, shares::Grant},
    config::Config,
};

/// Where the DICOMweb services stand under the server's root.
pub const SERVICE_ROOT: &str = super::base_url::SERVICE_PATH;

/// Bodies whose first kilobytes may be awaited at the same time.
const ARRIVING_MAX: usize = 2048;

pub struct State {
    pub archive: Arc<Archive>,
    pub auth: Arc<Authentication>,
    pub config: Config,
    pub metrics: PrometheusHandle,
    /// Store requests that may be served at the same time.
    pub uploads: Semaphore,
    /// Bodies whose beginning is awaited.
    pub arriving: Semaphore,
    /// From which the boundaries of multipart answers are made.
    pub boundary_key: [u8; 32],
    /// What each role grants.
    pub roles: Roles,
    /// Where it is recorded what is done; nowhere if it is switched off.
    pub audit: Option<Arc<Journal>>,
    pub(super) flood: Arc<Flood>,
    base_url: BaseUrl,
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
        let uploads = Semaphore::new(config.limits.uploads_max);
        let arriving = Semaphore::new(ARRIVING_MAX);
        let boundary_key = archive.key();
        let roles = Roles::new(&config.roles)?;
        let flood = Arc::new(Flood::new(&config.limits));
        let audit = None;
        Ok(Self {
            archive,
            auth,
            config,
            metrics,
            uploads,
            arriving,
            boundary_key,
            roles,
            audit,
            flood,
            base_url,
        })
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
            Some(grant) => self.roles.permit_of_link(&identity, &grant),
            None => self.roles.permit(&identity),
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

    /// The URL under which everything of this server stands, without a slash at
    /// its end.
    ///
    /// # Errors
    /// As [`State::base_url`].
    pub fn root(&self, request: &HttpRequest) -> Result<String, Problem> {
        let base = self.base_url(request)?;
        Ok(base.strip_suffix(SERVICE_ROOT).unwrap_or(&base).to_owned())
    }

    /// Whether the client reaches us over TLS, be it a proxy's.
    #[must_use]
    pub fn is_secure(&self, request: &HttpRequest) -> bool {
        self.base_url(request).is_ok_and(|url| url.starts_with("https:"))
    }

    /// The absolute URL of the DICOMweb services, as the client reaches them.
    ///
    /// # Errors
    /// When the Host header is missing or malformed.
    pub fn base_url(&self, request: &HttpRequest) -> Result<String, Problem> {
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
        // Who came by a link goes on by it.
        let extensions = request.extensions();
        let pass = extensions.get::<Pass>().filter(|_| extensions.get::<Arc<Grant>>().is_some());
        Ok(match (pass, base.strip_suffix(SERVICE_ROOT)) {
            (Some(Pass(pass)), Some(root)) => format!("{root}/shared/{pass}{SERVICE_ROOT}"),
            (_, _) => base,
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
