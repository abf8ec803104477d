//! What the tests need beyond Rust, and Debian's package for each.

use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::steps::execute;

/// A program, how to see whether it is there, and the package that has it.
struct Need {
    what: &'static str,
    check: &'static [&'static str],
    package: &'static str,
}

/// Debian's own Python: the package's module belongs to it, not to another one that may come first in PATH.
const PYTHON: &str = "/usr/bin/python3";

const NEEDS: [Need; 11] = [
    Need { what: "a C linker", check: &["cc", "--version"], package: "gcc" },
    Need { what: "a C++ compiler, for libFuzzer", check: &["c++", "--version"], package: "g++" },
    Need { what: "ffmpeg", check: &["ffmpeg", "-version"], package: "ffmpeg" },
    Need { what: "strace", check: &["strace", "--version"], package: "strace" },
    Need { what: "valgrind", check: &["valgrind", "--version"], package: "valgrind" },
    // Without the symbols of the loader, valgrind does not start.
    Need {
        what: "the C library's symbols, for valgrind",
        check: &["valgrind", "--quiet", "--tool=none", "true"],
        package: "libc6-dbg",
    },
    Need { what: "unshare", check: &["unshare", "--version"], package: "util-linux" },
    Need { what: "setpriv", check: &["setpriv", "--version"], package: "util-linux" },
    Need {
        what: "Python's virtual environments, for the deployed peer",
        check: &["python3", "-c", "import ensurepip, venv"],
        package: "python3-venv",
    },
    Need {
        what: "a browser without a screen, for the comparison's report",
        check: &["chromium", "--version"],
        package: "chromium",
    },
    Need {
        what: "Python with yaml",
        check: &[PYTHON, "-c", "import yaml"],
        package: "python3-yaml",
    },
];

/// Only for who wants ZeroMQ in the comparison.
const ZEROMQ: [Need; 1] = [Need {
    what: "ZeroMQ's library, for the comparison",
    check: &["pkg-config", "--exists", "libzmq"],
    package: "libzmq3-dev",
}];

impl Need {
    fn is_there(&self) -> bool {
        Command::new(self.check[0])
            .args(&self.check[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }
}

/// Makes sure that everything is there, installing what is not.
pub(crate) fn provide(install: bool) -> anyhow::Result<()> {
    components()?;
    provide_all(&NEEDS, install)
}

/// Makes sure that ZeroMQ is there.
pub(crate) fn provide_zeromq() -> anyhow::Result<()> {
    provide_all(&ZEROMQ, true)
}

fn provide_all(needs: &'static [Need], install: bool) -> anyhow::Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !need.is_there()).collect();
    if missing.is_empty() {
        println!("everything is there");
        return Ok(());
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.dedup();
    let names: Vec<&str> = missing.iter().map(|need| need.what).collect();
    println!("missing: {}", names.join(", "));
    let by_hand =
        format!("install by hand what has them, on Debian: apt-get install {}", packages.join(" "));
    ensure!(install, "{by_hand}");
    ensure!(is_root(), "only root can install packages; {by_hand}");
    ensure!(has_apt(), "there is no apt-get here; {by_hand}");

    let apt = || {
        let mut apt = Command::new("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive").arg("-qq");
        apt
    };
    execute(apt().arg("update")).context(by_hand.clone())?;
    execute(apt().args(["install", "--yes", "--no-install-recommends"]).args(&packages))
        .context(by_hand.clone())?;
    for need in missing {
        ensure!(need.is_there(), "{} is still missing; {by_hand}", need.what);
    }
    Ok(())
}

/// Formatting and lints are parts of the toolchain that a minimal one lacks.
fn components() -> anyhow::Result<()> {
    for (command, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        let there = Command::new("cargo")
            .args([command, "--version"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !there {
            execute(Command::new("rustup").args(["component", "add", component]))
                .with_context(|| format!("the Rust toolchain lacks {component}"))?;
        }
    }
    Ok(())
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

fn has_apt() -> bool {
    Command::new("apt-get")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs one of the repository's Python scripts with Debian's Python.
pub(crate) fn python(script: &str) -> anyhow::Result<()> {
    execute(Command::new(PYTHON).arg(script))
}
