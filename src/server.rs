//! Composes the server: the archives, the actix app with its middleware, the
//! listening socket, the graceful stop.

mod archives;

use std::{future::poll_fn, net::SocketAddr, pin::pin, sync::Arc, task::Poll, time::Duration};

use actix_web::{App, HttpServer, dev::ServerHandle, middleware::NormalizePath, web};
use anyhow::Context;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

pub use archives::{archive_options, options_of, tenants_on_disk};

use crate::{
    audit::{
        self, Journal,
        sender::{Receiver, TlsFiles},
    },
    auth::Authentication,
    config::{self, Config},
    control::Control,
    http::{self, State, Tenants},
    storage::audit::Folder,
    tls,
};
use archives::Archives;

/// How long the end of a server waits for its workers to let go, and how often
/// it looks.
const CLOSE_WAIT: Duration = Duration::from_secs(10);
const CLOSE_STEP: Duration = Duration::from_millis(5);
/// Requests whose records wait to be written.
const AUDIT_QUEUE_MAX: usize = 10_000;
/// A search reads a segment of the audit log into memory.
const AUDIT_SEGMENT_BYTES_MAX: u64 = 16 << 20;
/// How long a client may take to agree on TLS.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long one may still send what was refused before it was read to its end, and
/// is thrown away: cut off earlier, a client that writes before it reads loses the
/// answer.
const LINGER: Duration = Duration::from_secs(30);
/// Time between two foldings of the metrics.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// A server that listens and has yet to be run to its end.
pub struct Server {
    running: actix_web::dev::Server,
    /// Where it listens; the port is a real one even if 0 was asked for.
    pub address: SocketAddr,
    archives: Archives,
    /// Answer commands on this machine; dropped before the archives.
    controls: Vec<Control>,
    journal: Option<Arc<Journal>>,
    /// What goes on beside the requests for as long as it runs.
    tending: Vec<actix_web::rt::task::JoinHandle<()>>,
}

impl Server {
    /// Opens the archive and begins to listen. Needs an actix runtime.
    ///
    /// # Errors
    /// When the configuration must not run, the archive cannot be opened or
    /// the address is taken.
    pub fn start(config: &Config) -> anyhow::Result<Self> {
        config.check()?;
        let metrics = metrics_recorder();
        keep_up(metrics.clone());
        let archives = Archives::open(config)?;
        let journal = journal(config)?;
        let auth = Arc::new(Authentication::open(&config.data, &config.auth)?);
        let tls = config.tls.is_on().then(|| tls::start(&config.tls)).transpose()?;
        let listener = std::net::TcpListener::bind(config.listen)
            .with_context(|| format!("cannot listen on {}", config.listen))?;
        // Nothing that is served needs them.
        let controls = archives.controls(config);
        let address = listener.local_addr()?;
        let state = State::new(Arc::clone(&archives.root), auth, config.clone(), metrics)?
            .with_audit(journal.clone())
            .with_tenants(&archives.tenants);
        let tenants = web::Data::new(Tenants::new(&state, &archives.tenants));
        let state = web::Data::new(state);
        let workers = if config.workers == 0 { cores() } else { config.workers };
        let mut tending = vec![
            actix_web::rt::spawn(http::tend_uploads(state.clone())),
            actix_web::rt::spawn(http::tend_accounts(state.clone())),
            actix_web::rt::spawn(http::tend_findings(state.clone())),
            actix_web::rt::spawn(http::forget_the_quiet(state.clone())),
        ];
        let of_tenants = tenants.states().cloned();
        tending.extend(of_tenants.map(|state| actix_web::rt::spawn(http::tend_uploads(state))));
        // Without tenants no path is looked at for one.
        let tenants = Some(tenants).filter(|_| !archives.tenants.is_empty());
        let hsts = tls.is_some().then_some(config.tls.hsts_seconds).filter(|seconds| *seconds > 0);
        let server = HttpServer::new(move || {
            let app = match &tenants {
                Some(tenants) => App::new().app_data(tenants.clone()),
                None => App::new(),
            };
            app.app_data(state.clone())
                .wrap(actix_web::middleware::from_fn(http::authorise))
                .wrap(actix_web::middleware::from_fn(http::limit_callers))
                .wrap(actix_web::middleware::from_fn(http::authenticate))
                .wrap(actix_web::middleware::from_fn(http::audit))
                .wrap(actix_web::middleware::from_fn(http::limit_addresses))
                .wrap(actix_web::middleware::from_fn(http::observe))
                .wrap(http::cors(&state.config))
                .wrap(actix_web::middleware::from_fn(http::take_secret))
                .wrap(actix_web::middleware::from_fn(http::choose_tenant))
                .wrap(NormalizePath::trim())
                .wrap(http::strict_transport(hsts))
                .configure(http::routes)
        })
        .on_connect(http::client_certificate)
        .workers(workers)
        .backlog(4096)
        .max_connections(25_000)
        .keep_alive(Duration::from_secs(75))
        // Else the end of an answer waits for the client to acknowledge its
        // beginning, which clients put off for 40 ms.
        .tcp_nodelay(true)
        .client_request_timeout(Duration::from_secs(10))
        .client_disconnect_timeout(LINGER)
        .shutdown_timeout(config.stop_seconds_max)
        .tls_handshake_timeout(HANDSHAKE_MAX);
        let server = match tls {
            Some((tls, certificate)) => {
                tending.push(actix_web::rt::spawn(tls::renew(certificate)));
                server.listen_rustls_0_23(listener, tls)?
            }
            None => server.listen(listener)?,
        };
        let running = server.run();
        Ok(Self { running, address, archives, controls, journal, tending })
    }

    /// A handle that can stop it.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        self.running.handle()
    }

    /// Serves until SIGTERM or SIGINT; then no new requests, uploads in flight
    /// finish or are cut off, and the last commit is durable on return.
    ///
    /// # Errors
    /// When the runtime fails.
    pub async fn run(self) -> anyhow::Result<()> {
        let ended = self.running.await;
        self.tending.iter().for_each(actix_web::rt::task::JoinHandle::abort);
        drop(self.controls);
        ended?;
        tracing::info!("no request is in flight any more; closing the archives");
        // Workers let go of the archive a little after they report their end.
        // Closed by the last of them, it would be closed after the return.
        let mut waits = CLOSE_WAIT.as_millis() / CLOSE_STEP.as_millis();
        while self.archives.are_in_use() && waits > 0 {
            tokio::time::sleep(CLOSE_STEP).await;
            waits -= 1;
        }
        drop(self.archives);
        if let Some(journal) = self.journal {
            journal.close();
        }
        Ok(())
    }
}

/// Runs a server to its end in this thread. `ready` is told where it listens.
///
/// # Errors
/// As [`Server::start`] and [`Server::run`].
pub fn run(config: &Config, ready: impl FnOnce(SocketAddr)) -> anyhow::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let server = Server::start(config)?;
        let address = server.address;
        let mut running = pin!(server.run());
        // Signals are listened to from the first poll on, and whoever is told that
        // it is ready may send one at once.
        if let Poll::Ready(ended) = poll_fn(|context| Poll::Ready(running.as_mut().poll(context))).await {
            return ended;
        }
        ready(address);
        running.await
    })
}

/// The audit log, open for writing; `None` if it is switched off.
fn journal(config: &Config) -> anyhow::Result<Option<Arc<Journal>>> {
    if !config.audit.enabled {
        return Ok(None);
    }
    let settings = audit_settings(config);
    if let Some(receiver) = &settings.receiver {
        receiver.check().with_context(|| format!("audit.syslog_receiver {receiver}"))?;
    }
    Ok(Some(Journal::open(audit_folder(config), settings, audit::start(audit::own()))?))
}

/// Where the audit log is.
#[must_use]
pub fn audit_folder(config: &Config) -> Folder {
    let key_file = Some(&config.audit.key_file).filter(|path| !path.as_os_str().is_empty());
    audit::folder_of(&config.data, key_file.map(std::path::PathBuf::as_path))
}

/// How the audit log is kept, as the configuration has it.
#[must_use]
pub fn audit_settings(config: &Config) -> audit::Settings {
    let milliseconds = config.audit.flush_ms;
    audit::Settings {
        required: config.audit.required,
        flush: (milliseconds > 0).then(|| Duration::from_millis(milliseconds)),
        aggregate: Duration::from_secs(config.audit.interval_seconds),
        queue_max: AUDIT_QUEUE_MAX,
        segment_bytes_max: AUDIT_SEGMENT_BYTES_MAX,
        keep_days: config.audit.keep_days,
        source: audit::Source {
            id: config.audit.source.clone(),
            site: config.audit.site.clone(),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        },
        receiver: receiver(config),
    }
}

/// Where the audit log is sent.
fn receiver(config: &Config) -> Option<Receiver> {
    let own = config.audit.clone();
    let (host, port, tls) = match own.syslog_receiver.clone() {
        config::Receiver::None => return None,
        config::Receiver::Tcp(host, port) => (host, port, None),
        config::Receiver::Tls(host, port) => {
            let texts =
                move || own.pems().map(|(authorities, own)| audit::sender::TlsTexts { authorities, own });
            (host, port, Some(TlsFiles(Arc::new(texts))))
        }
    };
    Some(Receiver { host, port, tls })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(2, usize::from)
}

/// Folds what was recorded into the histograms from time to time: until then
/// every request's time is kept by itself, so a server that nobody asks for
/// its metrics would grow without end.
fn keep_up(metrics: PrometheusHandle) {
    actix_web::rt::spawn(async move {
        loop {
            actix_web::rt::time::sleep(UPKEEP_EVERY).await;
            metrics.run_upkeep();
        }
    });
}

/// The recorder of this process; a second server in it (tests) shares it.
fn metrics_recorder() -> PrometheusHandle {
    static HANDLE: std::sync::OnceLock<PrometheusHandle> = std::sync::OnceLock::new();
    HANDLE
        .get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            // Fails only if the process has a recorder of its own.
            let _ = metrics::set_global_recorder(recorder);
            handle
        })
        .clone()
}
