"""Frames a second over protocol 1.0, Python and ours on either side. Run by protocol1.sh."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

RING = 1 << 20
PYTHON_FRAMES = 40_000
OUR_FRAMES = 1_000_000


def python_reader(name, frames):
    """Frames a second, from the first to the last."""
    from zerobuffer import BufferConfig, Reader

    with Reader(name, BufferConfig(metadata_size=1024, payload_size=RING)) as reader:
        print("ready", flush=True)
        begun = None
        for _ in range(frames):
            with reader.read_frame(timeout=30) as frame:
                bytes(frame.data)
            begun = begun or time.perf_counter()
        print((frames - 1) / (time.perf_counter() - begun))


def python_writer(name, frames, size):
    from zerobuffer import Writer

    frame = bytes(size)
    with Writer(name) as writer:
        begun = time.perf_counter()
        for _ in range(frames):
            writer.write_frame(frame)
        print(frames / (time.perf_counter() - begun))


def start(*words):
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def rate_of(process):
    """What an end found out: a number, or the command's report."""
    text = process.communicate(timeout=120)[0].strip().removeprefix("ready").strip()
    if text.startswith("{"):
        report = json.loads(text)
        return report.get("frames_written", report.get("frames_read")) / report["duration_seconds"]
    return float(text)


def stream(program, size, reader, writer):
    """Frames a second of one stream, as its Python end says, or else our writer."""
    name = f"zerobuffer-bench-v1-{os.getpid()}-{time.monotonic_ns()}"
    frames = OUR_FRAMES if (reader, writer) == ("ours", "ours") else PYTHON_FRAMES
    if reader == "ours":
        reading = start(program, "read", name, "--protocol", "1", "--buffer-size", str(RING),
                        "-n", str(frames), "--json-output")
        while not os.path.exists(f"/dev/shm/{name}"):
            time.sleep(0.001)
    else:
        reading = start(sys.executable, __file__, "reader", name, str(frames))
        reading.stdout.readline()
    if writer == "ours":
        writing = start(program, "write", name, "-n", str(frames), "-s", str(size), "--json-output")
    else:
        writing = start(sys.executable, __file__, "writer", name, str(frames), str(size))
    rates = rate_of(writing), rate_of(reading)
    # The package's reader leaves its semaphores behind.
    for side in "rw":
        Path(f"/dev/shm/sem.sem-{side}-{name}").unlink(missing_ok=True)
    # An end that waits for the other is timed with its wait; the Python end is the slower one.
    return rates[1] if reader == "python" else rates[0]


def main(program, size, repetitions):
    cases = [(writer, reader) for reader in ("python", "ours") for writer in ("python", "ours")]
    found = {case: [] for case in cases}
    for _ in range(repetitions):
        for writer, reader in cases:
            found[writer, reader].append(stream(program, size, reader, writer))
    theirs = statistics.median(found["python", "python"])
    print(f"frames of {size} bytes over protocol 1.0, ring of {RING} bytes, median of {repetitions}")
    print(f"{'writer':<8}{'reader':<8}{'frames/s':>12}{'least':>12}{'most':>12}{'÷ theirs':>10}")
    for (writer, reader), rates in found.items():
        median = statistics.median(rates)
        print(f"{writer:<8}{reader:<8}{median:>12.0f}{min(rates):>12.0f}{max(rates):>12.0f}"
              f"{median / theirs:>10.1f}")


if sys.argv[1] == "reader":
    python_reader(sys.argv[2], int(sys.argv[3]))
elif sys.argv[1] == "writer":
    python_writer(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
else:
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
