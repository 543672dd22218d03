//! One issuer: where its keys come from, and how long they are believed.
//!
//! Fetches only from URLs of the configuration and of the issuer's own discovery
//! document, with a limit on time and bytes, and follows no redirect. Invariant:
//! a client cannot make us fetch more often than [`RETRY`], whatever it sends.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::sync::Mutex;

use super::keys::{self, Key};
use crate::config;

/// Keys are fetched anew after this, in the background.
const FRESH: Duration = Duration::from_mins(10);
/// The most often that keys are fetched.
const RETRY: Duration = Duration::from_secs(10);
/// How long keys count while the issuer is away.
const STALE_MAX: Duration = Duration::from_hours(24);
const TIME_MAX: Duration = Duration::from_secs(5);
const BYTES_MAX: usize = 512 * 1024;

/// An issuer as it runs.
pub struct Issuer {
    pub config: config::Issuer,
    http: reqwest::Client,
    /// Keys of the configuration, which are never fetched.
    fixed: bool,
    keys: RwLock<Arc<Keys>>,
    tried: Mutex<Option<Instant>>,
    discovered: RwLock<Option<(Instant, Arc<Discovery>)>>,
    /// When it last could not be discovered, and why. Held by who asks.
    undiscovered: Mutex<Option<(Instant, String)>>,
}

#[derive(Default)]
struct Keys {
    keys: Vec<Key>,
    fetched: Option<Instant>,
}

/// What an issuer says of itself (OpenID Connect Discovery 1.0).
#[derive(Debug, Clone, Deserialize)]
pub struct Discovery {
    pub issuer: String,
    pub jwks_uri: String,
    pub authorization_endpoint: Option<String>,
    pub token_endpoint: Option<String>,
    pub userinfo_endpoint: Option<String>,
    pub end_session_endpoint: Option<String>,
    pub registration_endpoint: Option<String>,
    pub introspection_endpoint: Option<String>,
    pub revocation_endpoint: Option<String>,
    #[serde(default)]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(default)]
    pub grant_types_supported: Vec<String>,
    #[serde(default)]
    pub response_types_supported: Vec<String>,
    #[serde(default)]
    pub code_challenge_methods_supported: Vec<String>,
}

/// Why an issuer could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{url}: {why}")]
    Failed { url: String, why: String },
    #[error("{0} is not https (http is accepted of this machine only)")]
    Unsafe(String),
    #[error("the discovery document of {asked} is of {found}")]
    OtherIssuer { asked: String, found: String },
    #[error("{0} (a moment ago)")]
    Lately(String),
}

impl Issuer {
    /// # Errors
    /// When a file that the configuration names cannot be used.
    pub fn new(config: &config::Issuer) -> Result<Self, String> {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let mut http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIME_MAX)
            .pool_max_idle_per_host(0)
            .user_agent(concat!("hilum/", env!("CARGO_PKG_VERSION")));
        if let Some(path) = &config.ca_file {
            let pem = config::read_file(path).map_err(|error| error.to_string())?;
            let certificates = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                .map_err(|error| format!("{}: {error}", path.display()))?;
            http = certificates.into_iter().fold(http, reqwest::ClientBuilder::add_root_certificate);
        }
        let http = http.build().map_err(|error| error.to_string())?;
        let fixed = match &config.keys_file {
            Some(path) => {
                let text = config::read_file(path).map_err(|error| error.to_string())?;
                keys::from_file(&text).map_err(|why| format!("{}: {why}", path.display()))?
            }
            None => Vec::new(),
        };
        Ok(Self {
            config: config.clone(),
            http,
            fixed: config.keys_file.is_some(),
            keys: RwLock::new(Arc::new(Keys { keys: fixed, fetched: None })),
            tried: Mutex::default(),
            discovered: RwLock::default(),
            undiscovered: Mutex::default(),
        })
    }

    /// The keys that may have signed a token with this `kid`; none if the issuer
    /// has no such key. `None` if it cannot be known.
    pub async fn keys_for(self: &Arc<Self>, kid: Option<&str>) -> Option<Vec<Key>> {
        let fits = |keys: &Keys| -> Vec<Key> {
            let named = |key: &&Key| match (kid, key.id.as_deref()) {
                (Some(asked), Some(id)) => asked == id,
                // Keys of a PEM file have no name, and tokens need not name one.
                (None, _) | (_, None) => true,
            };
            keys.keys.iter().filter(named).cloned().collect()
        };
        let known = self.known();
        let found = fits(&known);
        if self.fixed {
            return Some(found);
        }
        let age = known.fetched.map(|fetched| fetched.elapsed());
        if found.is_empty() || age.is_none_or(|age| age > STALE_MAX) {
            // A new key, or a made-up one: asked for, but not each time.
            self.refresh().await;
        } else if age.is_some_and(|age| age > FRESH) {
            let issuer = Arc::clone(self);
            tokio::spawn(async move { issuer.refresh().await });
        }
        let known = self.known();
        let believed = known.fetched.is_some_and(|fetched| fetched.elapsed() <= STALE_MAX);
        believed.then(|| fits(&known))
    }

    fn known(&self) -> Arc<Keys> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Fetches the keys, unless that was tried just now. One at a time: those
    /// who come meanwhile wait for it, and find what it found.
    async fn refresh(&self) {
        let mut tried = self.tried.lock().await;
        if tried.is_some_and(|tried| tried.elapsed() < RETRY) {
            return;
        }
        match self.fetch_keys().await {
            Ok(keys) => {
                let fresh = Keys { keys, fetched: Some(Instant::now()) };
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
            }
            Err(error) => {
                tracing::warn!(issuer = %self.config.issuer, %error, "the keys of an issuer cannot be fetched");
            }
        }
        *tried = Some(Instant::now());
    }

    async fn fetch_keys(&self) -> Result<Vec<Key>, FetchError> {
        let url = match &self.config.jwks_uri {
            Some(url) => url.clone(),
            None => self.discover().await?.jwks_uri.clone(),
        };
        let text = self.fetch(self.http.get(&url), &url).await?;
        keys::from_json(&text).map_err(|why| FetchError::Failed { url, why })
    }

    /// What the issuer says of itself. Everybody may ask for that, and so it is asked
    /// once for all who come meanwhile, and not each time while it does not say.
    ///
    /// # Errors
    /// When it cannot be asked, or speaks of another.
    pub async fn discover(&self) -> Result<Arc<Discovery>, FetchError> {
        if let Some(discovery) = self.discovered() {
            return Ok(discovery);
        }
        let mut undiscovered = self.undiscovered.lock().await;
        if let Some(discovery) = self.discovered() {
            return Ok(discovery);
        }
        if let Some((_, why)) = undiscovered.as_ref().filter(|(failed, _)| failed.elapsed() < RETRY) {
            return Err(FetchError::Lately(why.clone()));
        }
        let fetched = self.fetch_discovery().await;
        *undiscovered = fetched.as_ref().err().map(|error| (Instant::now(), error.to_string()));
        fetched
    }

    fn discovered(&self) -> Option<Arc<Discovery>> {
        let known = self.discovered.read().unwrap_or_else(PoisonError::into_inner).clone();
        known.filter(|(fetched, _)| fetched.elapsed() < FRESH).map(|(_, discovery)| discovery)
    }

    async fn fetch_discovery(&self) -> Result<Arc<Discovery>, FetchError> {
        let own = &self.config.issuer;
        let url = format!("{}/.well-known/openid-configuration", own.trim_end_matches('/'));
        let text = self.fetch(self.http.get(&url), &url).await?;
        let discovery: Discovery = serde_json::from_str(&text)
            .map_err(|error| FetchError::Failed { url, why: format!("no discovery document: {error}") })?;
        // Else one issuer could speak for another (RFC 9700, mix-up).
        if discovery.issuer != *own {
            return Err(FetchError::OtherIssuer { asked: own.clone(), found: discovery.issuer });
        }
        let endpoints =
            [&discovery.authorization_endpoint, &discovery.token_endpoint, &discovery.userinfo_endpoint];
        let urls = endpoints.into_iter().flatten().chain([&discovery.jwks_uri]);
        for url in urls {
            if !config::is_safe_url(url) {
                return Err(FetchError::Unsafe(url.clone()));
            }
        }
        let discovery = Arc::new(discovery);
        let kept = Some((Instant::now(), Arc::clone(&discovery)));
        *self.discovered.write().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(discovery)
    }

    /// The client for requests to this issuer.
    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// Sends a request to the issuer; the text of a successful answer.
    ///
    /// # Errors
    /// When it fails, takes too long or is too large.
    pub async fn fetch(&self, request: reqwest::RequestBuilder, url: &str) -> Result<String, FetchError> {
        let failed = |why: String| FetchError::Failed { url: url.to_owned(), why };
        let sent = request.header("accept", "application/json").send().await;
        // The error of reqwest has the URL, which may hold more than it should.
        let mut response =
            sent.map_err(|error| failed(format!("{:#}", anyhow::Error::new(error.without_url()))))?;
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| failed(format!("{:#}", anyhow::Error::new(error.without_url()))))?
        {
            if body.len() + chunk.len() > BYTES_MAX {
                return Err(failed(format!("more than {BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        if !response.status().is_success() {
            // OAuth errors have a word for it (RFC 6749 section 5.2).
            let body: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
            let word = body.as_ref().and_then(|body| body["error"].as_str()).unwrap_or_default();
            let word: String = word.chars().filter(char::is_ascii_graphic).take(64).collect();
            return Err(failed(format!("{} {word}", response.status())));
        }
        String::from_utf8(body).map_err(|_| failed("no UTF-8".to_owned()))
    }
}
