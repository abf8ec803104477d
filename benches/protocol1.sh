#!/usr/bin/env bash
# Protocol 1.0 against the deployed Python package, in one run, repetitions interleaved: frames a second from
# Python to Python, from ours to Python, from Python to ours, and from ours to ours.
#
#   benches/protocol1.sh [BYTES] [REPETITIONS]      bytes a frame, default 64; default 5 repetitions
#
# Installs the package if it is missing. Python ends are timed by themselves, ours by the command's own report.
set -euo pipefail
cd "$(dirname "$0")/.."
[[ -x target/python-peer/bin/python ]] || crates/zerobuffer/tests/python/setup.sh
cargo build --quiet --release --package zerobuffer-cli --bin zerobuffer
exec target/python-peer/bin/python benches/protocol1.py "${CARGO_TARGET_DIR:-target}/release/zerobuffer" "${1:-64}" "${2:-5}"
