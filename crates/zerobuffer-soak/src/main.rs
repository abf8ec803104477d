//! Soak: sixteen processes with every kind of writer and reader, for as long as asked, watched from outside.
//!
//! What must not grow is watched: private memory, descriptors, mappings, threads, files, latency. Every frame is
//! checked by who reads it. One process comes and goes all the time, one fills the memory until it is refused.

#![deny(clippy::print_stdout, clippy::print_stderr)]

#[macro_use]
#[path = "../../../xtask/src/messages.rs"]
mod messages;

mod cast;
mod drift;
mod ends;
mod graph;
mod soak;
mod told;
mod verdict;
mod watch;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(name = "zerobuffer-soak", about)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    soak: SoakArgs,
}

#[derive(Debug, Args)]
struct SoakArgs {
    /// How long, such as 30s or 1h
    #[arg(long, default_value = "60s")]
    duration: humantime::Duration,
    /// Where samples.csv and soak.svg go
    #[arg(long, default_value = "target/soak")]
    out: PathBuf,
    /// Directory of the buffers [default: a small memory of its own, so that it can be filled]
    #[arg(long)]
    dir: Option<PathBuf>,
}

/// What a child process is.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    End(ends::EndArgs),
}

/// Where a memory of our own is mounted, in a mount namespace of our own.
const OWN_MEMORY: &str = "/dev/shm";
const OWN_MEMORY_SIZE: &str = "size=256m";
/// Set for the program that runs there.
const INSIDE: &str = "ZEROBUFFER_SOAK_INSIDE";

fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = match cli.role {
        Some(Role::End(args)) => ends::play(&args).map(|()| true),
        None => soak(&cli.soak),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs and judges; false if anything was wrong.
fn soak(args: &SoakArgs) -> anyhow::Result<bool> {
    let dir = match &args.dir {
        Some(dir) => dir.clone(),
        None => own_memory()?,
    };
    println!("soak: {} in {}", args.duration, dir.display());
    let seen = soak::run(&dir, args.duration.into())?;
    std::fs::create_dir_all(&args.out).with_context(|| format!("create {}", args.out.display()))?;
    table(&seen, &args.out.join("samples.csv")).context("write samples.csv")?;
    graph::draw(&seen, &args.out.join("soak.svg")).context("draw soak.svg")?;
    let verdict = verdict::Verdict::of(&seen);
    println!("{verdict}\nsamples.csv and soak.svg are in {}", args.out.display());
    Ok(verdict.is_clean())
}

/// A memory that can be filled without hurting anybody: this program runs again in namespaces where it is mounted.
fn own_memory() -> anyhow::Result<PathBuf> {
    if std::env::var_os(INSIDE).is_some() {
        let mount = ["-t", "tmpfs", "-o", OWN_MEMORY_SIZE, "tmpfs", OWN_MEMORY];
        let status = Command::new("mount").args(mount).status().context("run `mount`")?;
        if !status.success() {
            eprintln!("soak: no memory of its own; it will be asked for more than there is");
        }
        return Ok(OWN_MEMORY.into());
    }
    let may =
        Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    if !may.is_ok_and(|status| status.success()) {
        eprintln!(
            "soak: no namespaces here, so the memory cannot be filled: it will be asked for more than there is"
        );
        return Ok(OWN_MEMORY.into());
    }
    let program = std::env::current_exe().context("find this program to start it again")?;
    let error = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount"])
        .arg(program)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .exec();
    Err(error).context("run `unshare`")
}

/// Every sample, for those who want to look closer.
fn table(seen: &soak::Seen, path: &Path) -> anyhow::Result<()> {
    let mut text =
        String::from("second,process,memory_kib,descriptors,mappings,threads,p50_us,p99_us\n");
    for (name, samples) in &seen.rows {
        for sample in samples {
            let watch::Taken { memory_kib, descriptors, mappings, threads } = sample.taken;
            let show =
                |value: Option<f64>| value.map(|value| format!("{value:.1}")).unwrap_or_default();
            let (second, p50, p99) = (sample.second, show(sample.p50_us), show(sample.p99_us));
            text += &format!(
                "{second:.1},{name},{memory_kib},{descriptors},{mappings},{threads},{p50},{p99}\n"
            );
        }
    }
    std::fs::write(path, text)?;
    Ok(())
}
