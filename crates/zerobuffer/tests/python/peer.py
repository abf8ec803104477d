"""The deployed Python package as the other end of a test. One line out for each thing the test waits for.

Frames are numbered 1.. by index; length and content follow from the index, here and in the tests.
"""

import os
import sys
import time
from datetime import timedelta

from zerobuffer import BufferConfig, Reader, Writer
from zerobuffer import exceptions as zx

BASE = bytes((j ^ (j >> 8)) & 0xFF for j in range(1 << 16))


def length(index, most):
    n = ((index * 2654435761) >> 7) % most + 1
    # With such a bound, frames end on multiples of 16 and often exactly at the end of the ring.
    return (n + 15) // 16 * 16 if most % 16 == 0 else n


def content(index, n):
    key = (index * 31) & 0xFF
    return BASE[:n].translate(bytes(b ^ key for b in range(256)))


def say(*words):
    print(*words, flush=True)


def hear():
    return sys.stdin.readline().strip()


def config(payload):
    return BufferConfig(metadata_size=256, payload_size=int(payload))


def wait_writer(name):
    while True:
        try:
            return Writer(name)
        except zx.ZeroBufferException as e:
            # Not there yet, or being made.
            if "not found" not in str(e) and "No reader PID" not in str(e):
                raise
            time.sleep(0.01)


def read_checked(reader, first, count, most, slow_every=0):
    for index in range(first, first + count):
        frame = reader.read_frame(timeout=30)
        if frame is None:
            say("missing", index)
            sys.exit(1)
        with frame:
            n = length(index, most)
            if frame.sequence != index or bytes(frame.data) != content(index, n):
                say("wrong", index, frame.sequence, frame.size, n)
                sys.exit(1)
        if slow_every and index % slow_every == 0:
            time.sleep(0.002)


def cmd_read(name, payload, count, most, slow_every):
    reader = Reader(name, config(payload))
    say("ready")
    read_checked(reader, 1, int(count), int(most), int(slow_every))
    metadata = reader.get_metadata()
    say("metadata", "none" if metadata is None else bytes(metadata).decode())
    if metadata is not None:
        metadata.release()
    # Nobody posts when a writer leaves: only a wait that times out looks for it (L21).
    try:
        while reader.read_frame(timeout=0.1) is None:
            pass
        say("one frame too many")
    except zx.WriterDeadException:
        say("writer-dead")
    reader.close()


def cmd_write(name, count, most, slow_every):
    count, most, slow_every = int(count), int(most), int(slow_every)
    writer = wait_writer(name)
    writer.set_metadata(b"from python")
    index = 1
    while index <= count:
        while slow_every < 0 and writer._oieb.payload_free_bytes != writer._oieb.payload_size:
            # In step: the reader has read and released everything.
            time.sleep(0)
        try:
            writer.write_frame(content(index, length(index, most)))
        except ValueError as e:
            # L5: at the very end of the ring with the reader at its start, the package writes past the end, now
            # and at every later write. Only a new buffer helps.
            if "Invalid write range" not in str(e):
                raise
            writer.close()
            say("stuck", index)
            assert hear() == "go"
            writer = wait_writer(name)
            continue
        if slow_every > 0 and index % slow_every == 0:
            time.sleep(0.002)
        index += 1
    say("written")
    hear()
    writer.close()
    say("closed")


def cmd_relay(name_in, name_out, payload, count, most):
    reader = Reader(name_in, config(payload))
    say("ready")
    writer = wait_writer(name_out)
    for index in range(1, int(count) + 1):
        frame = reader.read_frame(timeout=30)
        if frame is None:
            say("missing", index)
            sys.exit(1)
        with frame:
            n = length(index, int(most))
            if frame.sequence != index or bytes(frame.data) != content(index, n):
                say("wrong", index, frame.sequence, frame.size, n)
                sys.exit(1)
            try:
                writer.write_frame(bytes(frame.data))
            except ValueError as e:
                if "Invalid write range" not in str(e):
                    raise
                # L5, see cmd_write. The frame is written again into the new buffer.
                writer.close()
                say("stuck", index)
                assert hear() == "go"
                writer = wait_writer(name_out)
                writer.write_frame(bytes(frame.data))
    say("relayed")
    hear()
    writer.close()
    reader.close()


def cmd_fill(name):
    """Writes until it may not; says why."""
    writer = wait_writer(name)
    writer.write_timeout = timedelta(milliseconds=300)
    count = 0
    try:
        while True:
            writer.write_frame(content(count + 1, 100))
            count += 1
    except (zx.BufferFullException, zx.ReaderDeadException) as e:
        say(type(e).__name__, count)
    hear()
    writer.close()


def cmd_hold(name, payload):
    """A reader that reads nothing."""
    reader = Reader(name, config(payload))
    say("ready")
    hear()
    reader.close()
    say("closed")


# ---- known defects of the package, each shown with nothing but the package ------------------------------------


def cmd_defect_l1(name):
    reader = Reader(name, config(1024))
    os.unlink(f"/dev/shm/sem.sem-r-{name}")
    for _ in range(2):
        try:
            Writer(name)
        except zx.WriterAlreadyConnectedException:
            say("already-connected")
        except zx.ZeroBufferException as e:
            say("failed", "sem-r" in str(e))
    reader.close()


def cmd_defect_l4(name):
    Reader(name, config(1024)).close()
    say("left", *sorted(f for f in os.listdir("/dev/shm") if f.endswith(name)))


def cmd_defect_l5_reader(name):
    reader, writer = Reader(name, config(256)), Writer(name)
    # 128 + 120 bytes leave 8, too few for a header.
    for n in (112, 104, 10):
        writer.write_frame(bytes(n))
        try:
            with reader.read_frame(timeout=1) as frame:
                say("read", frame.size)
        except ValueError as e:
            say("range-error", "Invalid read range" in str(e))
    writer.close()
    reader.close()


def cmd_defect_l5_writer(name):
    reader, writer = Reader(name, config(256)), Writer(name)
    for n in (112, 112, 10, 10):
        try:
            writer.write_frame(bytes(n))
            reader.read_frame(timeout=1).dispose()
            say("passed", n)
        except ValueError as e:
            say("range-error", "Invalid write range" in str(e))
    writer.close()
    reader.close()


def cmd_defect_l20(name):
    reader, writer = Reader(name, config(1024)), Writer(name)
    writer.write_frame(bytes(100))
    writer.write_frame(bytes(50))
    first, second = reader.read_frame(timeout=1), reader.read_frame(timeout=1)
    first.dispose()
    second.dispose()
    say("free", reader._oieb.payload_free_bytes, "of", 1024)
    writer.close()
    reader.close()


# ---- golden files -------------------------------------------------------------------------------------------


def cmd_golden(directory):
    """Segments as this package lays them out, at three moments; the pids replaced by 1111 and 2222."""
    name = f"zb-golden-{os.getpid()}"

    def dump(which, writer_pid):
        with open(f"/dev/shm/{name}", "rb") as f:
            data = bytearray(f.read())
        data[0x50:0x58] = writer_pid.to_bytes(8, "little")
        data[0x58:0x60] = (1111).to_bytes(8, "little")
        with open(os.path.join(directory, f"python-{which}.bin"), "wb") as f:
            f.write(data)

    reader = Reader(name, BufferConfig(metadata_size=100, payload_size=1000))
    dump("fresh", 0)
    writer = Writer(name)
    writer.set_metadata(b'{"width":64}')
    for index, n in enumerate((100, 1, 200), 1):
        writer.write_frame(content(index, n))
    dump("frames", 2222)
    for _ in range(3):
        reader.read_frame(timeout=1).dispose()
    writer.write_frame(content(4, 400))
    reader.read_frame(timeout=1).dispose()
    writer.write_frame(content(5, 300))
    dump("wrapped", 2222)
    writer.close()
    reader.close()
    for which in "wr":
        os.unlink(f"/dev/shm/sem.sem-{which}-{name}")


globals()["cmd_" + sys.argv[1]](*sys.argv[2:])
