//! Hilum beside Orthanc, or beside one that encrypts: the same work over loopback, in turns (A B, B A, …),
//! every answer checked, medians of the rounds in a table. See ../README.md.
//!
//! The load is closed-loop, and client and servers share the machine: a slow
//! server is asked less. Compare ratios, not absolute numbers.

mod data;
mod http;
mod pixels;
mod series;
mod servers;
mod works;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use clap::Parser;

use data::{Known, Made};
use http::Answer;
use servers::Server;
use works::{Load, Work};

/// Answers that are also served as files, and their bytes.
const PUBLISHED_MAX: usize = 500;
const PUBLISHED_BYTES_MAX: usize = 100 << 20;

/// Numbers of studies: the first ones are read, those from here on only stored.
const STORED_FROM: usize = 100_000_000;
const CT_STUDY: usize = 90_000_001;
const SLIDE_STUDY: usize = 90_000_002;
const ENHANCED_STUDY: usize = 90_000_003;

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
    /// Connections that read, several numbers by commas.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 16])]
    connections: Vec<usize>,
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
    /// One series of so many small slices, in place of the rest.
    #[arg(long)]
    series: Option<usize>,
    /// A second Hilum whose archive is encrypted, in place of Orthanc.
    #[arg(long)]
    encrypted: bool,
    /// Without Orthanc even where it is installed.
    #[arg(long)]
    alone: bool,
    /// Orthanc with what of its settings makes it faster, all flushes left on.
    #[arg(long)]
    tuned: bool,
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
        servers.extend(Server::orthanc(&options.folder, options.tuned)?);
    }
    let bench = Bench { options, servers, stored: AtomicUsize::new(STORED_FROM) };
    if bench.options.pixels {
        let filled = pixels::fill(&bench.servers)?;
        bench.measure_all(&pixels::works(&filled))
    } else if let Some(slices) = bench.options.series {
        let series = series::fill(&bench.servers, slices)?;
        bench.measure_all(&series::works(&series))
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
    /// Of 100 frames, 52 MB.
    enhanced: Known,
}

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
        let enhanced = data::enhanced(ENHANCED_STUDY);
        for server in self.servers.iter().filter(|server| !server.is_static()) {
            let begun = Instant::now();
            let mut client = server.client()?;
            let mut bytes = 0;
            let mut store = |made: &[Made]| -> anyhow::Result<()> {
                let files: Vec<&[u8]> = made.iter().map(|made| made.file.as_slice()).collect();
                bytes += files.iter().map(|file| file.len()).sum::<usize>();
                stored(&client.store(&format!("{}/studies", server.root), &files)?, made)
            };
            store(std::slice::from_ref(&slide))?;
            store(std::slice::from_ref(&enhanced))?;
            slices.chunks(20).try_for_each(&mut store)?;
            for first in (0..self.options.studies).step_by(50) {
                let last = (first + 50).min(self.options.studies);
                store(&(first..last).map(data::small).collect::<Vec<_>>())?;
            }
            eprintln!("{} is filled after {:.1} s", server.name, begun.elapsed().as_secs_f64());
            server.settle()?;
            eprintln!(
                "{} has it indexed after {:.1} s: {:.1} MB of files on {:.1} MB of disk",
                server.name,
                begun.elapsed().as_secs_f64(),
                bytes as f64 / 1e6,
                server.disk_bytes() as f64 / 1e6
            );
        }
        Ok(Filled {
            slices: slices.into_iter().map(|made| made.known).collect(),
            slide: slide.known,
            enhanced: enhanced.known,
        })
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
