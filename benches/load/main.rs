//! Hilum beside Orthanc, or beside one that encrypts: the same work over loopback, in turns (A B, B A, …),
//! every answer checked, medians of the rounds in a table. See ../README.md.
//!
//! The load is closed-loop, and client and servers share the machine: a slow
//! server is asked less. Compare ratios, not absolute numbers.

mod data;
mod http;
mod pixels;
mod servers;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;

use data::{Known, Made};
use http::Answer;
use servers::Server;

const JSON: &str = "application/dicom+json";
const FILES: &str = "multipart/related; type=\"application/dicom\"; transfer-syntax=*";
const FRAMES: &str = "multipart/related; type=\"application/octet-stream\"; transfer-syntax=*";
const TILES: &str = "multipart/related; type=\"image/jpeg\"; transfer-syntax=1.2.840.10008.1.2.4.50";

/// Answers that are also served as files, and their bytes.
const PUBLISHED_MAX: usize = 500;
const PUBLISHED_BYTES_MAX: usize = 100 << 20;

/// Numbers of studies: the first ones are read, those from here on only stored.
const STORED_FROM: usize = 1_000_000;
const CT_STUDY: usize = 900_001;
const SLIDE_STUDY: usize = 900_002;

#[derive(Parser)]
#[command(about = "Load on Hilum and, where it is installed, on Orthanc")]
struct Options {
    /// Turns of each measurement; the median counts.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Seconds of each measurement of reads.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Slices of the CT series.
    #[arg(long, default_value_t = 200)]
    slices: usize,
    /// Studies that are searched.
    #[arg(long, default_value_t = 1000)]
    studies: usize,
    /// Tiles of the slide.
    #[arg(long, default_value_t = 1000)]
    tiles: usize,
    /// Only measurements with this in their name.
    #[arg(long, default_value = "")]
    only: String,
    /// The binary to measure, if not the one just built.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_hilum"))]
    hilum: PathBuf,
    /// Where the servers keep their data: on the disk that is to be measured.
    #[arg(long, default_value = concat!(env!("CARGO_TARGET_TMPDIR"), "/load"))]
    folder: PathBuf,
    /// Decoding and rendering, with caches switched off, in place of the rest.
    #[arg(long)]
    pixels: bool,
    /// A second Hilum whose archive is encrypted, in place of Orthanc.
    #[arg(long)]
    encrypted: bool,
    /// Without Orthanc even where it is installed.
    #[arg(long)]
    alone: bool,
    /// Reads only, beside nginx, which serves the same answers as files.
    #[arg(long)]
    nginx: bool,
    /// Given by `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let environment: &[(&str, &str)] = if options.pixels { &pixels::SETTINGS } else { &[] };
    let hilum = |name, environment: &[(&str, &str)]| {
        Server::hilum(name, &options.hilum, &options.folder, environment)
    };
    let mut servers = vec![hilum("Hilum", environment)?];
    if options.encrypted {
        let key = "0123456789abcdef".repeat(4);
        servers.push(hilum("Encrypted", &[environment, &[("HILUM_ENCRYPTION_KEY", key.as_str())]].concat())?);
    } else if options.nginx {
        servers.push(Server::nginx(&options.folder)?);
    } else if !options.alone {
        servers.extend(Server::orthanc(&options.folder)?);
    }
    let bench = Bench { options, servers, stored: AtomicUsize::new(STORED_FROM) };
    if bench.options.pixels {
        let filled = pixels::fill(&bench.servers)?;
        bench.measure_all(&pixels::works(&filled))
    } else {
        let filled = bench.fill()?;
        bench.measure_all(&bench.works(&filled))
    }
}

struct Bench {
    options: Options,
    servers: Vec<Server>,
    /// The next study to be stored.
    stored: AtomicUsize,
}

/// What was stored for the reads.
struct Filled {
    slices: Vec<Known>,
    slide: Known,
}

/// One measurement.
struct Work<'a> {
    name: String,
    connections: usize,
    load: Load<'a>,
}

impl Work<'_> {
    /// The name of an answer that is served as a file.
    fn file(&self, number: usize) -> String {
        let name = self.name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        format!("{name}-{}-{number}", self.connections)
    }
}

enum Load<'a> {
    /// Requests of so many files each, so often.
    Store { make: fn(usize) -> Made, files: usize, requests: usize },
    /// The path, what to accept, and the check of the answer to request `n`.
    Read { path: Box<dyn Fn(usize) -> String + Sync + 'a>, accept: &'static str, check: Check<'a> },
}

type Check<'a> = Box<dyn Fn(usize, &[u8]) -> bool + Sync + 'a>;

/// What one server made of one measurement.
struct Measured {
    per_second: f64,
    latency_ms: f64,
    cpu_ms: f64,
}

struct Row {
    name: String,
    /// One a server.
    medians: Vec<Measured>,
}

impl Bench {
    fn fill(&self) -> anyhow::Result<Filled> {
        let slide = data::slide(SLIDE_STUDY, self.options.tiles);
        let slices: Vec<Made> = (0..self.options.slices).map(|slice| data::ct(CT_STUDY, slice)).collect();
        for server in self.servers.iter().filter(|server| !server.is_static()) {
            let begun = Instant::now();
            let mut client = server.client()?;
            let mut store = |made: &[Made]| -> anyhow::Result<()> {
                let files: Vec<&[u8]> = made.iter().map(|made| made.file.as_slice()).collect();
                stored(&client.store(&format!("{}/studies", server.root), &files)?, made)
            };
            store(std::slice::from_ref(&slide))?;
            slices.chunks(20).try_for_each(&mut store)?;
            for first in (0..self.options.studies).step_by(50) {
                let last = (first + 50).min(self.options.studies);
                store(&(first..last).map(data::small).collect::<Vec<_>>())?;
            }
            eprintln!("{} is filled after {:.1} s", server.name, begun.elapsed().as_secs_f64());
            server.settle()?;
            eprintln!("{} has it indexed after {:.1} s", server.name, begun.elapsed().as_secs_f64());
        }
        Ok(Filled { slices: slices.into_iter().map(|made| made.known).collect(), slide: slide.known })
    }

    fn works<'a>(&'a self, filled: &'a Filled) -> Vec<Work<'a>> {
        let slices = &filled.slices;
        let studies = self.options.studies;
        let slice = move |n: usize| &slices[n * 7 % slices.len()];
        let tile = move |n: usize| n * 31 % filled.slide.frames.len();
        let mut works = Vec::new();
        let mut store = |name: &str, connections, make, files, requests| {
            works.push(Work {
                name: name.to_owned(),
                connections,
                load: Load::Store { make, files, requests },
            });
        };
        for connections in [1, 16] {
            store(
                "store: CT slice, one a request",
                connections,
                |n| data::ct(n, 0),
                1,
                10 * connections + 40,
            );
            store(
                "store: small instance, one a request",
                connections,
                data::small,
                1,
                25 * connections + 100,
            );
        }
        store("store: small instances, 50 a request", 4, data::small, 50, 16);
        let mut read =
            |name: &str, connections, accept, path: Box<dyn Fn(usize) -> String + Sync + 'a>, check| {
                let load = Load::Read { path, accept, check };
                works.push(Work { name: name.to_owned(), connections, load });
            };
        let holds = |bytes: &[u8], part: &[u8]| memchr::memmem::find(bytes, part).is_some();
        for connections in [1, 16] {
            read(
                "frame: tile of a slide",
                connections,
                TILES,
                Box::new(move |n| format!("{}/frames/{}", filled.slide.path(), tile(n) + 1)),
                Box::new(move |n, body| holds(body, &filled.slide.frames[tile(n)])),
            );
            read(
                "frame: CT slice",
                connections,
                FRAMES,
                Box::new(move |n| format!("{}/frames/1", slice(n).path())),
                Box::new(move |n, body| body.len() > 512 * 1024 && holds(body, &slice(n).frames[0])),
            );
            read(
                "instance: CT slice",
                connections,
                FILES,
                Box::new(move |n| slice(n).path()),
                Box::new(move |n, body| body.len() > 512 * 1024 && holds(body, &slice(n).frames[0])),
            );
            read(
                "search: Patient ID",
                connections,
                JSON,
                Box::new(move |n| format!("/studies?PatientID={}", data::patient(n * 17 % studies))),
                Box::new(move |n, body| holds(body, data::patient(n * 17 % studies).as_bytes())),
            );
            read(
                "search: name, 25 of many",
                connections,
                JSON,
                Box::new(|_| "/studies?PatientName=BENCH*&limit=25&includefield=StudyDescription".to_owned()),
                Box::new(|_, body| memchr::memmem::find_iter(body, b"Thorax").count() == 25),
            );
            read(
                "search: name contains",
                connections,
                JSON,
                Box::new(move |n| {
                    format!("/studies?PatientName=*{}*", data::patient(n * 17 % studies).to_lowercase())
                }),
                Box::new(move |n, body| holds(body, data::patient(n * 17 % studies).as_bytes())),
            );
            read(
                "search: dates, 25 of many",
                connections,
                JSON,
                Box::new(move |n| {
                    let to = data::date(n * 17 % studies);
                    format!("/studies?StudyDate={}01-{to}&limit=25", &to[..6])
                }),
                Box::new(move |n, body| holds(body, &data::date(n * 17 % studies).as_bytes()[..6])),
            );
            read(
                "search: modality, 25 of many",
                connections,
                JSON,
                Box::new(|n| format!("/studies?ModalitiesInStudy={}&limit=25", data::modality(n))),
                Box::new(|_, body| memchr::memmem::find_iter(body, b"\"00100020\"").count() == 25),
            );
            read(
                "search: everything, 25 of all",
                connections,
                JSON,
                Box::new(|_| "/studies?limit=25".to_owned()),
                Box::new(|_, body| memchr::memmem::find_iter(body, b"\"00100020\"").count() == 25),
            );
        }
        read(
            "metadata: the CT series",
            1,
            JSON,
            Box::new(|_| format!("{}/metadata", slices[0].series_path())),
            Box::new(|_, body| memchr::memmem::find_iter(body, b"\"00200032\"").count() == slices.len()),
        );
        read(
            "series: all its instances",
            1,
            FILES,
            Box::new(|_| slices[0].series_path()),
            Box::new(|_, body| body.len() > slices.len() * 512 * 1024),
        );
        works
    }

    fn measure_all(&self, works: &[Work<'_>]) -> anyhow::Result<()> {
        let is_possible = |work: &&Work<'_>| !self.options.nginx || matches!(work.load, Load::Read { .. });
        let wanted = works.iter().filter(|work| work.name.contains(&self.options.only)).filter(is_possible);
        let rows: anyhow::Result<Vec<Row>> = wanted.map(|work| self.measure(work)).collect();
        self.report(&rows?);
        Ok(())
    }

    /// All rounds of a measurement, the servers in turns.
    fn measure(&self, work: &Work<'_>) -> anyhow::Result<Row> {
        let mut rounds: Vec<Vec<Measured>> = self.servers.iter().map(|_| Vec::new()).collect();
        let published = self.publish(work)?;
        for round in 0..self.options.rounds {
            let mut order: Vec<usize> = (0..self.servers.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for index in order {
                let server = &self.servers[index];
                let measured = self.run(server, work, published);
                match measured.with_context(|| format!("{}: {}", server.name, work.name)) {
                    Ok(measured) => rounds[index].push(measured),
                    // There is work that only we can do.
                    Err(error) if index > 0 && self.options.pixels => eprintln!("{error:#}"),
                    Err(error) => return Err(error),
                }
            }
        }
        let row = Row {
            name: format!(
                "{}, {} connection{}",
                work.name,
                work.connections,
                if work.connections > 1 { "s" } else { "" }
            ),
            medians: rounds
                .iter()
                .map(|rounds| Measured {
                    per_second: median(rounds.iter().map(|one| one.per_second)),
                    latency_ms: median(rounds.iter().map(|one| one.latency_ms)),
                    cpu_ms: median(rounds.iter().map(|one| one.cpu_ms)),
                })
                .collect(),
        };
        let rates: Vec<String> = row.medians.iter().map(|one| format!("{:.1} /s", one.per_second)).collect();
        eprintln!("{}: {}", row.name, rates.join(" | "));
        Ok(row)
    }

    /// Gives the first answers to the server that only serves files; how many.
    fn publish(&self, work: &Work<'_>) -> anyhow::Result<usize> {
        let (Some(server), Load::Read { path, accept, .. }) =
            (self.servers.iter().find(|server| server.is_static()), &work.load)
        else {
            return Ok(0);
        };
        let mut client = self.servers[0].client()?;
        let mut count = 0;
        let mut bytes = 0;
        while count < PUBLISHED_MAX && bytes < PUBLISHED_BYTES_MAX {
            let answer = client.get(&format!("{}{}", self.servers[0].root, path(count)), accept)?;
            ensure!(answer.status == 200, "status {} for {}", answer.status, path(count));
            server.publish(&work.file(count), &answer.body)?;
            bytes += answer.body.len();
            count += 1;
        }
        Ok(count)
    }

    fn run(&self, server: &Server, work: &Work<'_>, published: usize) -> anyhow::Result<Measured> {
        let latencies = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        // Made before the clock starts.
        let requests = match &work.load {
            Load::Store { make, files, requests } => (0..*requests)
                .map(|_| {
                    let first = self.stored.fetch_add(*files, Ordering::Relaxed);
                    (first..first + files).map(make).collect::<Vec<_>>()
                })
                .collect(),
            Load::Read { .. } => Vec::new(),
        };
        let cpu = server.cpu_seconds();
        let begun = Instant::now();
        let until = begun + Duration::from_secs_f64(self.options.seconds);
        let worker = || -> anyhow::Result<()> {
            let mut client = server.client()?;
            let mut taken = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                let started;
                match &work.load {
                    Load::Store { .. } => {
                        let Some(made) = requests.get(n) else { break };
                        let files: Vec<&[u8]> = made.iter().map(|made| made.file.as_slice()).collect();
                        started = Instant::now();
                        stored(&client.store(&format!("{}/studies", server.root), &files)?, made)?;
                    }
                    Load::Read { path, accept, check } => {
                        let n = if server.is_static() { n % published } else { n };
                        let path = if server.is_static() {
                            format!("/{}", work.file(n))
                        } else {
                            format!("{}{}", server.root, path(n))
                        };
                        started = Instant::now();
                        if started > until {
                            break;
                        }
                        let answer = client.get(&path, accept)?;
                        taken.push(started.elapsed());
                        ensure!(answer.status == 200, "status {} for {path}", answer.status);
                        ensure!(check(n, &answer.body), "a wrong answer to {path}");
                        client.recycle(answer);
                        continue;
                    }
                }
                taken.push(started.elapsed());
            }
            latencies.lock().expect("no worker panics").extend(taken);
            Ok(())
        };
        std::thread::scope(|scope| {
            let workers: Vec<_> = (0..work.connections).map(|_| scope.spawn(worker)).collect();
            workers.into_iter().try_for_each(|worker| worker.join().expect("a worker does not panic"))
        })?;
        let seconds = begun.elapsed().as_secs_f64();
        let cpu = server.cpu_seconds() - cpu;
        let latencies = latencies.into_inner().expect("no worker panics");
        ensure!(!latencies.is_empty(), "no answer came in time");
        let items = match work.load {
            Load::Store { files, .. } => latencies.len() * files,
            Load::Read { .. } => latencies.len(),
        };
        Ok(Measured {
            per_second: items as f64 / seconds,
            latency_ms: median(latencies.iter().map(Duration::as_secs_f64)) * 1e3,
            cpu_ms: cpu * 1e3 / items as f64,
        })
    }

    fn report(&self, rows: &[Row]) {
        let names: Vec<&str> = self.servers.iter().map(|server| server.name).collect();
        let columns =
            |what: &str| names.iter().map(|name| format!(" {name} {what} |")).collect::<Vec<_>>().concat();
        println!("\n| |{}{}{} times as fast |", columns("/s"), columns("ms"), columns("CPU ms"));
        println!("|---|{}---|", "---|".repeat(3 * names.len()));
        for row in rows {
            let cells = |value: fn(&Measured) -> f64| {
                row.medians.iter().map(|one| format!(" {} |", short(value(one)))).collect::<Vec<_>>().concat()
            };
            let ratio = match row.medians.as_slice() {
                [ours, theirs] if theirs.per_second > 0.0 => short(ours.per_second / theirs.per_second),
                _ => String::new(),
            };
            let (rates, latencies) = (cells(|one| one.per_second), cells(|one| one.latency_ms));
            println!("| {} |{rates}{latencies}{} {ratio} |", row.name, cells(|one| one.cpu_ms));
        }
        for server in &self.servers {
            println!(
                "\n{}: at most {:.0} MiB of memory, {:.1} s of CPU in all.",
                server.name,
                server.memory_mib(),
                server.cpu_seconds()
            );
        }
    }
}

/// The answer says that every instance was stored.
fn stored(answer: &Answer, made: &[Made]) -> anyhow::Result<()> {
    let module: serde_json::Value = serde_json::from_slice(&answer.body)?;
    let missing = made.iter().find(|made| {
        let quoted = format!("\"{}\"", made.known.instance);
        memchr::memmem::find(&answer.body, quoted.as_bytes()).is_none()
    });
    // Some list the failed ones even when there are none.
    let failed = module["00081198"]["Value"].as_array().is_some_and(|failed| !failed.is_empty());
    if answer.status != 200 || missing.is_some() || failed {
        bail!("not stored: status {}, {}", answer.status, String::from_utf8_lossy(&answer.body));
    }
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        0.0 => "–".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}
