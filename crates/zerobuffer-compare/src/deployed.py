"""One end of a stream through the deployed package: reader CORE NAME RING, or writer CORE NAME BYTES MILLISECONDS."""

import ctypes
import os
import signal
import sys
import time

from zerobuffer import BufferConfig, Reader, Writer

role, core, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.sched_setaffinity(0, {core})
# PR_SET_PDEATHSIG: ends with who started it.
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
END = b"\xff" * 8

if role == "reader":
    with Reader(name, BufferConfig(metadata_size=1024, payload_size=int(sys.argv[4]))) as reader:
        print("ready", flush=True)
        frames, begun = 0, None
        while True:
            with reader.read_frame(timeout=30) as frame:
                data = bytes(frame.data)
            if data[:8] == END:
                break
            frames += 1
            begun = begun or time.perf_counter()
        print((frames - 1) / (time.perf_counter() - begun), flush=True)
else:
    size, seconds = int(sys.argv[4]), int(sys.argv[5]) / 1000
    frame = bytes(size)
    with Writer(name) as writer:
        limit = time.perf_counter() + seconds
        written = 0
        while time.perf_counter() < limit or written < 10:
            writer.write_frame(frame)
            written += 1
        writer.write_frame(END + bytes(size - 8))
