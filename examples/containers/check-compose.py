#!/usr/bin/env python3
"""Checks compose.yaml for syntax and for what the example promises; starts nothing.

`docker compose config` does more where there is one; this needs Python and its yaml module alone.
"""

import pathlib
import sys

import yaml

path = pathlib.Path(__file__).with_name("compose.yaml")
document = yaml.safe_load(path.read_text())
problems = []


def expect(condition, otherwise):
    if not condition:
        problems.append(otherwise)


services = document.get("services", {})
expect(set(services) == {"reader", "writer"}, f"expected the services reader and writer, found {sorted(services)}")
users = [service.get("user", "").partition(":") for service in services.values()]
expect(len({user for user, _, _ in users}) == 2, "the two services must run as different users")
expect(len({group for _, _, group in users}) == 1, "the two services must share one group")
for name, service in services.items():
    for namespace in ("ipc", "pid", "network_mode"):
        expect(namespace not in service, f"{name} must not choose its `{namespace}` namespace")
    mounts = dict(volume.split(":")[:2] for volume in service.get("volumes", []))
    directory = service.get("environment", {}).get("ZEROBUFFER_DIR")
    expect(mounts.get("frames") == directory, f"{name} must have the volume at ZEROBUFFER_DIR ({directory})")
    dockerfile = path.parent / service["build"]["context"] / service["build"]["dockerfile"]
    expect(dockerfile.is_file(), f"{name} is built from {dockerfile}, which is not there")
options = document.get("volumes", {}).get("frames", {}).get("driver_opts", {})
expect(options.get("type") == "tmpfs", "the shared volume must be a tmpfs")
expect("size=" in options.get("o", ""), "the shared tmpfs needs a size")

for problem in problems:
    print(f"{path}: {problem}", file=sys.stderr)
if not problems:
    print(f"{path.name}: syntax and structure are right (checked only; no container was started)")
sys.exit(1 if problems else 0)
