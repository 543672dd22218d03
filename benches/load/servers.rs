//! The servers: started empty in a folder of their own, measured from outside,
//! stopped at the end.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::http::Client;

/// Ticks of a second in `/proc/PID/stat`.
const TICKS: f64 = 100.0;

pub struct Server {
    pub name: &'static str,
    pub address: String,
    /// The path of the DICOMweb services.
    pub root: &'static str,
    child: Child,
    folder: PathBuf,
}

impl Drop for Server {
    fn drop(&mut self) {
        // The master of nginx ends its workers, if it is asked and not killed.
        let id = self.child.id().to_string();
        let asked = Command::new("kill").arg(&id).status();
        if !self.is_static() || !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// What of Orthanc's settings makes it faster: memory for files it has read, attributes
/// kept in the database that it would read from files, no digests, metadata kept by the
/// plugin. Each is one that its documentation names.
const TUNING: &str = r#""StorageAccessOnFind":"Answers","MaximumStorageCacheSize":1024,
    "StoreMD5ForAttachments":false,"MetricsEnabled":false,"JobsHistorySize":1,"StableAge":2,
    "ExtraMainDicomTags":{"Instance":["Rows","Columns","BitsAllocated","SOPClassUID","NumberOfFrames",
    "SpecificCharacterSet"],"Series":["SpecificCharacterSet"],
    "Study":["SpecificCharacterSet","TimezoneOffsetFromUTC"],"Patient":[]},"#;
const TUNING_OF_PLUGIN: &str = r#""StudiesMetadata":"Full","SeriesMetadata":"Full",
    "EnableMetadataCache":true,"MetadataWorkerThreadsCount":2,"#;

impl Server {
    pub fn hilum(
        name: &'static str,
        binary: &Path,
        folder: &Path,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = fresh(folder, &name.to_lowercase())?;
        let address = free_address()?;
        let mut command = Command::new(binary);
        command.args(["serve", "--listen", &address, "--data"]).arg(folder.join("data"));
        command.envs(environment.iter().copied());
        Self::start(name, command, folder, address, "/dicomweb")
    }

    /// Orthanc with its DICOMweb plugin, as its package configures it or tuned; none
    /// where they are not installed.
    pub fn orthanc(folder: &Path, tuned: bool) -> anyhow::Result<Option<Self>> {
        let binary = ["/usr/sbin/Orthanc", "/usr/bin/Orthanc", "/usr/local/sbin/Orthanc"];
        let plugin = [
            "/usr/share/orthanc/plugins/libOrthancDicomWeb.so",
            "/usr/local/share/orthanc/plugins/libOrthancDicomWeb.so",
        ];
        let there = |paths: &[&'static str]| paths.iter().copied().find(|path| Path::new(path).exists());
        let (Some(binary), Some(plugin)) = (there(&binary), there(&plugin)) else { return Ok(None) };
        let folder = fresh(folder, "orthanc")?;
        let address = free_address()?;
        let port = address.rsplit(':').next().unwrap_or_default();
        let (tuning, of_plugin) = if tuned { (TUNING, TUNING_OF_PLUGIN) } else { ("", "") };
        let settings = format!(
            r#"{{{tuning}"Name":"bench","StorageDirectory":"{0}/storage","IndexDirectory":"{0}/index","Plugins":["{plugin}"],
            "HttpPort":{port},"RemoteAccessAllowed":false,"AuthenticationEnabled":false,"DicomServerEnabled":false,
            "DicomWeb":{{{of_plugin}"Enable":true,"Root":"/dicom-web/","EnableWado":false}}}}"#,
            folder.display()
        );
        let file = folder.join("orthanc.json");
        fs::write(&file, settings)?;
        let mut command = Command::new(binary);
        command.arg(file);
        Self::start("Orthanc", command, folder, address, "/dicom-web").map(Some)
    }

    /// nginx, which serves as files what [`Server::publish`] gives it: what the
    /// same bytes cost where nothing is looked up and nothing is checked.
    pub fn nginx(folder: &Path) -> anyhow::Result<Self> {
        let folder = fresh(folder, "nginx")?;
        let address = free_address()?;
        let own = folder.display();
        fs::create_dir(folder.join("files"))?;
        fs::write(folder.join("files/studies"), "[]")?;
        let settings = format!(
            "user root; daemon off; worker_processes auto; pid {own}/pid; error_log {own}/errors;\n\
             events {{ worker_connections 1024; }}\n\
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000000; etag on;\n\
             client_body_temp_path {own}/body; proxy_temp_path {own}/proxy; fastcgi_temp_path {own}/fastcgi;\n\
             uwsgi_temp_path {own}/uwsgi; scgi_temp_path {own}/scgi; open_file_cache max=1000;\n\
             server {{ listen {address}; root {own}/files; }} }}\n"
        );
        let file = folder.join("nginx.conf");
        fs::write(&file, settings)?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(file);
        Self::start("nginx", command, folder, address, "")
    }

    /// Whether it knows nothing but files.
    pub fn is_static(&self) -> bool {
        self.name == "nginx"
    }

    /// Makes a file of an answer, under `/name`.
    pub fn publish(&self, name: &str, answer: &[u8]) -> anyhow::Result<()> {
        Ok(fs::write(self.folder.join("files").join(name), answer)?)
    }

    fn start(
        name: &'static str,
        mut command: Command,
        folder: PathBuf,
        address: String,
        root: &'static str,
    ) -> anyhow::Result<Self> {
        let log = fs::File::create(folder.join("log"))?;
        let child = command.stdout(Stdio::null()).stderr(log).spawn().context(name)?;
        let server = Self { name, address, root, child, folder };
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(30) {
            let answer = Client::connect(&server.address).and_then(|mut client| {
                client.get(&format!("{root}/studies?limit=1"), "application/dicom+json")
            });
            if answer.is_ok_and(|answer| matches!(answer.status, 200 | 204)) {
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("{name} does not answer; its log: {}", fs::read_to_string(server.folder.join("log"))?)
    }

    pub fn client(&self) -> anyhow::Result<Client> {
        Client::connect(&self.address)
    }

    /// Waits until what was stored is indexed, where the server tells that: a
    /// search before then also looks through what is not.
    pub fn settle(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_mins(10) {
            let answer = self.client()?.get("/metrics", "text/plain")?;
            let text = String::from_utf8_lossy(&answer.body);
            let waiting = text.lines().find_map(|line| line.strip_prefix("hilum_overlay_studies "));
            if answer.status != 200 || waiting.is_none_or(|studies| studies.trim() == "0") {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        bail!("{} does not finish its index", self.name)
    }

    /// Seconds of processor time used so far.
    pub fn cpu_seconds(&self) -> f64 {
        self.processes().iter().map(|id| ticks(id)).sum::<f64>() / TICKS
    }

    /// Itself and those that it started.
    fn processes(&self) -> Vec<String> {
        let own = self.child.id().to_string();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        children.split_whitespace().map(str::to_owned).chain([own]).collect()
    }

    /// What its folder takes of the disk, without its log, in bytes.
    pub fn disk_bytes(&self) -> u64 {
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.blocks() * 512);
        within(&self.folder).saturating_sub(size(&self.folder.join("log")))
    }

    /// The most memory it ever had, in MiB.
    pub fn memory_mib(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    }
}

/// What the files below a folder take of the disk.
fn within(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => within(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Ticks of a process so far, in the system or not.
fn ticks(process: &str) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    // utime and stime, counted after the name.
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum()
}

fn fresh(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    let folder = folder.join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    Ok(fs::canonicalize(folder)?)
}

fn free_address() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
