//! What the tests need beyond Rust, and Debian's package for each.

use std::path::{Path, PathBuf};
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

const NEEDS: [Need; 12] = [
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
        what: "debugfs, and mkfs for file systems in a file",
        check: &["debugfs", "-V"],
        package: "e2fsprogs",
    },
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
const ZEROMQ: [Need; 2] = [
    Need {
        what: "pkg-config, to find ZeroMQ",
        check: &["pkg-config", "--version"],
        package: "pkg-config",
    },
    Need {
        what: "ZeroMQ's library, for the comparison",
        check: &["pkg-config", "--exists", "libzmq"],
        package: "libzmq3-dev",
    },
];

/// Only for who wants Aeron in the comparison, beside CMake.
const AERON: [Need; 4] = [
    // Its headers too: the bindings are made from Aeron's own.
    Need {
        what: "clang's library, for Aeron's bindings",
        check: &[
            "sh",
            "-c",
            "ls /usr/lib/llvm-*/lib/clang/*/include/stddef.h /usr/lib/llvm-*/lib/libclang.so",
        ],
        package: "libclang-dev",
    },
    Need {
        what: "libbsd, for Aeron",
        check: &["test", "-e", "/usr/include/bsd/string.h"],
        package: "libbsd-dev",
    },
    Need {
        what: "libuuid, for Aeron",
        check: &["test", "-e", "/usr/include/uuid/uuid.h"],
        package: "uuid-dev",
    },
    Need { what: "make, for Aeron", check: &["make", "--version"], package: "make" },
];
/// Of CMake, which Aeron is built with; Debian 12 has an older one.
const CMAKE: (u32, u32) = (3, 30);
/// Where a newer one is installed.
const CMAKE_ENVIRONMENT: &str = "target/cmake";

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

/// Makes sure that everything is there that Aeron is built with; the CMake that it takes.
pub(crate) fn provide_aeron() -> anyhow::Result<PathBuf> {
    provide_all(&AERON, true)?;
    let own = std::env::current_dir()?.join(CMAKE_ENVIRONMENT).join("bin/cmake");
    for cmake in [PathBuf::from("cmake"), own.clone()] {
        if cmake_version(&cmake).is_some_and(|version| version >= CMAKE) {
            return Ok(cmake);
        }
    }
    execute(Command::new("python3").args(["-m", "venv", CMAKE_ENVIRONMENT]))?;
    let (major, minor) = CMAKE;
    // Aeron's files are not made for what CMake 4 leaves out.
    let wanted = format!("cmake>={major}.{minor},<4");
    let pip = Path::new(CMAKE_ENVIRONMENT).join("bin/pip");
    execute(Command::new(pip).args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        &wanted,
    ]))?;
    ensure!(cmake_version(&own).is_some(), "{} does not start", own.display());
    Ok(own)
}

/// Major and minor.
fn cmake_version(cmake: &Path) -> Option<(u32, u32)> {
    let output = Command::new(cmake).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = text.split_whitespace().nth(2)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
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
