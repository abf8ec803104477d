#!/bin/sh
# Makes the virtual environment with the deployed Python peer that the protocol 1.0 tests talk to.
# Run once, from anywhere; the tests look for it in target/python-peer of this repository.
set -eu
root=$(cd "$(dirname "$0")/../../../.." && pwd)
peer="$root/target/python-peer"
python3 -m venv "$peer"
# The extra brings posix_ipc, without which the package cannot be imported on Linux.
"$peer/bin/pip" install --quiet 'zerobuffer-ipc[linux]==1.3.0'
"$peer/bin/python" -c 'import zerobuffer; print("ready:", zerobuffer.__file__)'
