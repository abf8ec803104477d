#!/usr/bin/env python3
"""Makes the conformance vectors of protocol 2.0: segments, byte by byte, and what a reader must answer to each.

Written from the tables of docs/protocol/2.0.md alone, with Python's standard library. `make.py DIR` writes them into DIR;
without DIR they are written beside this file.
"""

import hashlib
import json
import pathlib
import struct
import sys

OIEB = 4096
PAGE = 4096
CAPACITY = 4096
THRESHOLD = 1024
MASK = (1 << 64) - 1
SKIP, REFERENCE, ATTRIBUTES = 1 << 32, 1 << 33, 1 << 35
TIMESTAMPS, SHARING, HAS_ATTRIBUTES = 1, 2, 4
BROADCAST, GROUP, LOSSY, EXPORT, MEMBER = range(5)


def up(value, step):
    return (value + step - 1) // step * step


class Segment:
    """A segment as its creator leaves it, with one durable slot, `main`, that waits for its first reader."""

    def __init__(self, features=0, start=0, slots=2, groups=0, entries=0, metadata=0, segment_id=0x1122334455667788):
        self.header = 16 if features & TIMESTAMPS else 8
        self.start, self.slots, self.groups, self.entries = start, slots, groups, entries
        self.metadata_bytes = up(metadata, 8)
        self.registry = OIEB
        registry = 512 + 256 * slots + groups * (128 + 8 * entries)
        self.metadata = self.registry + up(registry, PAGE)
        copies = 2 * (16 + self.metadata_bytes) if metadata else 0
        self.payload = self.metadata + up(copies, PAGE)
        self.bytes = bytearray(self.payload + CAPACITY)
        self.tail, self.number, self.payload_total, self.skipped = start, 1, 0, 0
        self.id = segment_id
        self.u32(0x000, OIEB)
        self.bytes[0x004:0x008] = bytes([2, 0, 0, 0])
        self.bytes[0x008:0x010] = b"ZEROBUF2"
        self.u64(0x018, features)
        self.u64(0x028, segment_id)
        self.u64(0x030, len(self.bytes))
        self.u32(0x038, PAGE)
        self.u32(0x03C, self.header)
        self.u64(0x040, self.registry)
        self.u32(0x048, slots)
        self.u32(0x04C, 256)
        self.u64(0x050, self.metadata)
        self.u64(0x058, self.metadata_bytes)
        self.u64(0x060, self.payload)
        self.u64(0x068, CAPACITY)
        self.u64(0x070, THRESHOLD)
        self.u64(0x078, start)
        self.u32(0x0A0, groups)
        self.u32(0x0A4, entries)
        for word in (0x100, 0x110, 0x180, 0x200):
            self.u64(word, start)
        self.u32(0x400, 1)
        self.slot(0, name="main", cursor=start, flags=1)

    def u32(self, at, value):
        struct.pack_into("<I", self.bytes, at, value)

    def u64(self, at, value):
        struct.pack_into("<Q", self.bytes, at, value & MASK)

    def slot(self, index, name="", cursor=0, kind=BROADCAST, flags=0, owner=0, generation=0, pid=0, group=0,
             read_position=None, read_sequence=0, exported=0):
        at = self.registry + 512 + 256 * index
        self.u64(at + 0x00, cursor)
        self.u64(at + 0x08, cursor if read_position is None else read_position)
        self.u64(at + 0x10, read_sequence)
        self.u64(at + 0x58, exported)
        self.u32(at + 0x80, 2)
        self.u32(at + 0x84, kind)
        self.u32(at + 0x8C, flags)
        self.u64(at + 0x90, generation)
        self.u32(at + 0x98, pid)
        self.u32(at + 0x9C, owner)
        self.u64(at + 0xB8, group)
        encoded = name.encode()
        self.bytes[at + 0xC0:at + 0xE0] = encoded + bytes(32 - len(encoded))
        if kind in (BROADCAST, GROUP, EXPORT):
            active = self.registry + 0x100
            (bits,) = struct.unpack_from("<Q", self.bytes, active)
            self.u64(active, bits | 1 << index)

    def word(self, position, value):
        self.u64(self.payload + (position & MASK) % CAPACITY, value)

    def extent(self, position, length):
        start = position + self.header
        if length >= THRESHOLD:
            start = up(start, 64)
        return start, up(start + length, 8)

    def commit_word(self, length, flags=0, number=None):
        number = self.number if number is None else number
        return length | flags | (number & 0xFFFFFFF) << 36

    def frame(self, body, flags=0, stamp=0, visible=True, block=0):
        """Lays a frame down at the tail; `block` of its bytes are attributes."""
        at = self.tail
        start, end = self.extent(at, len(body))
        for index, byte in enumerate(body):
            self.bytes[self.payload + ((start + index) & MASK) % CAPACITY] = byte
        self.word(end, 0)
        if self.header == 16:
            self.word(at + 8, stamp)
        word = self.commit_word(len(body), flags)
        if visible:
            self.word(at, word)
        self.newest = at
        self.tail = end
        self.number += 1
        self.payload_total += len(body) - block
        return at, word

    def skip(self, to):
        """A skip at the tail to the position `to`, where the next frame goes."""
        self.word(self.tail, self.commit_word(to - self.tail, SKIP))
        self.skipped += to - self.tail
        self.tail = to

    def publish(self, state=2):
        """What the Writer tells behind its commits; `state`: 1 attached (and dead by now), 2 closed."""
        self.u64(0x100, self.tail)
        self.u64(0x108, self.number - 1)
        self.u64(0x110, getattr(self, "newest", self.start))
        self.u64(0x118, self.payload_total)
        self.u64(0x180, self.tail + 8)
        self.u64(0x328, self.skipped)
        self.writer(state)

    def writer(self, state):
        self.u32(0x280, state)
        self.u64(0x288, 1)
        self.u32(0x290, 4_000_000)
        for gap in range(3):
            if not struct.unpack_from("<Q", self.bytes, 0x330 + 8 * gap)[0]:
                self.u64(0x330 + 8 * gap, self.tail)

    def set_metadata(self, generation, text):
        at = self.metadata + (generation & 1) * (16 + self.metadata_bytes)
        self.u64(at, len(text))
        self.u64(at + 8, generation)
        self.bytes[at + 16:at + 16 + len(text)] = text
        self.u64(0x380, generation)


def body(number, length):
    return bytes((number * 31 + index) & 0xFF for index in range(length))


def block(records, payload_len, header=8):
    """An attribute block for these records in front of so many bytes."""
    raw = b"".join(bytes([kind, len(value)]) + value for kind, value in records)
    size = up(4 + len(raw), 8)
    if size + payload_len >= THRESHOLD:
        size = up(4 + len(raw), 64)
    return struct.pack("<HH", size, len(raw)) + raw + bytes(size - 4 - len(raw))


CASES = []


def case(name, about, segments, reads, then, reader="main", **more):
    """`reads`: numbers and payloads in order; `then`: what comes behind them.

    then: none (nothing yet), end (its writer closed), died, damaged; or of opening: damaged, wrong-version,
    unknown-features."""
    frames = [
        dict(sequence=number, length=len(data), md5=hashlib.md5(data).hexdigest(), **extra)
        for number, data, extra in ((r + ({},))[:3] for r in reads)
    ]
    files = {}
    for file, segment in segments.items():
        files[file] = f"{name}.{file}.zb2" if len(segments) > 1 else f"{name}.zb2"
        DATA[files[file]] = bytes(segment.bytes if isinstance(segment, Segment) else segment)
    CASES.append(dict(name=name, about=about, files=files, reader=reader, frames=frames, then=then, **more))


DATA = {}


def written(lengths, **options):
    segment = Segment(**options)
    frames = []
    for length in lengths:
        data = body(segment.number, length)
        frames.append((segment.number, data))
        segment.frame(data)
    return segment, frames


def good():
    fresh = Segment()
    case("fresh", "as its creator leaves it: no writer has come", {"b": fresh}, [], "none")

    segment, frames = written([1, 8, 7, 64, 0x3FF, 0x400, 100])
    segment.publish()
    case("mid-lap", "frames of many lengths; from 1,024 bytes on payloads start on a cache line; the writer closed",
         {"b": segment}, frames, "end")
    case("mid-lap-observed", "the same, by an observer, from the oldest frame", {"b": segment}, frames, "end",
         reader="observer")

    segment, frames = written([100])
    segment.publish(state=1)
    case("writer-died", "the writer says that it is attached, and nobody holds its lock", {"b": segment}, frames, "died")

    segment = Segment()
    frames = []
    for length in (1000, 1000, 1000):
        frames.append((segment.number, body(segment.number, length)))
        segment.frame(frames[-1][1])
    # Released: the first two. The next one does not fit before the end of the ring.
    cursor = 2 * 1008
    segment.skip(CAPACITY)
    frames.append((segment.number, body(segment.number, 1500)))
    segment.frame(frames[-1][1])
    segment.u64(0x200, cursor)
    segment.slot(0, name="main", cursor=cursor, flags=1, owner=2, generation=1, read_sequence=2)
    segment.u64(0x330, 3 * 1008)
    segment.publish()
    case("skip-at-the-end", "a skip over the end of the ring; the reader had released two frames and left",
         {"b": segment}, frames[2:], "end")

    for name, start in (("wrapped", -2048 & MASK), ("far", 1 << 63)):
        segment, frames = written([600, 600, 600, 600, 600], start=start)
        segment.publish()
        case(name, f"positions from {start:#x} on", {"b": segment}, frames, "end")

    segment, frames = written([10, 20])
    head, number, newest, total = segment.tail, segment.number, segment.newest, segment.payload_total
    segment.publish(state=1)
    data = body(segment.number, 30)
    segment.frame(data)
    segment.u64(0x180, segment.tail + 8)
    case("committed-not-published", "the writer died between a commit and telling of it: the frame is there",
         {"b": segment}, frames + [(3, data)], "died", next_sequence=4)

    segment, frames = written([10, 20])
    segment.publish(state=1)
    segment.frame(body(3, 30), visible=False)
    segment.frame(body(4, 40))
    segment.u64(0x180, segment.tail + 8)
    case("staged", "the writer died within a batch: its first word is 0, and nothing of the batch is there",
         {"b": segment}, frames, "died", next_sequence=3)

    segment, frames = written([10, 20, 30])
    segment.publish()
    end_of_first, end_of_second = 24, 24 + 32
    segment.slot(0, name="main", cursor=end_of_first, flags=1, owner=1, generation=1, pid=4_000_001,
                 read_position=end_of_second, read_sequence=2)
    segment.u64(0x200, end_of_first)
    case("redelivered", "a reader released the first frame, received the second, and died", {"b": segment},
         [frames[1] + ({"redelivered": True},), frames[2]], "end")

    segment = Segment(features=TIMESTAMPS)
    frames = []
    for length in (5, 2000):
        frames.append((segment.number, body(segment.number, length)))
        segment.frame(frames[-1][1], stamp=1_000_000_000)
    segment.publish()
    case("timestamps", "headers of 16 bytes", {"b": segment}, frames, "end")

    segment = Segment(metadata=100)
    segment.set_metadata(2, b"the second one, which is longer")
    segment.set_metadata(3, b"the third one")
    data = body(1, 10)
    segment.frame(data)
    segment.publish()
    case("metadata", "replaced twice: the newest is in copy 1", {"b": segment}, [(1, data)], "end",
         metadata={"generation": 3, "text": "the third one"})

    segment = Segment(features=HAS_ATTRIBUTES)
    frames = []
    for records, length in (
        ([(9, struct.pack("<Q", 77))], 10),
        ([], 0),
        ([(1, struct.pack("<QB", 40, 0)), (200, b"mine")], 0),
        ([(128, bytes(255)), (129, b"")], 1200),
    ):
        head = block(records, length)
        data = body(segment.number, length)
        attributes = {str(kind): value.hex() for kind, value in records}
        frames.append((segment.number, data, {"attributes": attributes}))
        segment.frame(head + data, flags=ATTRIBUTES, block=len(head))
    data = body(segment.number, 12)
    frames.append((segment.number, data, {"attributes": {}}))
    segment.frame(data)
    segment.publish()
    case("attributes", "blocks before payloads, some of which are empty; the last frame has none", {"b": segment}, frames, "end")

    # Frame 1 is held by a member that died, frame 2 is done.
    segment = Segment(slots=3, groups=1, entries=4)
    frames = []
    for length in (10, 20, 30):
        frames.append((segment.number, body(segment.number, length)))
        segment.frame(frames[-1][1])
    segment.slot(0, name="crew", cursor=0, kind=GROUP, flags=1, owner=1, generation=0, group=0)
    segment.slot(1, kind=MEMBER, owner=1, generation=1, pid=4_000_001, group=0)
    table = segment.registry + 512 + 3 * 256
    for entry in range(4):
        segment.u64(table + 128 + 8 * entry, (-(1 << 32) & 0xFFFFFFFFFF) << 24)
    held = 1 | 1 << 1 | 1 << 7 | 1 << 24
    segment.u64(table + 128 + 8 * 1, held)
    segment.u64(table + 128 + 8 * 2, 2 << 24)
    segment.publish()
    case("group", "the first frame is held by a member that died, the second one is done", {"b": segment},
         [frames[0] + ({"redelivered": True},), frames[2]], "end", reader="member crew")

    origin = Segment(features=SHARING, segment_id=0xA)
    data = body(1, 1500)
    at, _ = origin.frame(data)
    start, end = origin.extent(at, len(data))
    origin.publish()
    origin.slot(0, name="main", cursor=end, flags=1, owner=2, generation=1, read_sequence=1)
    origin.slot(1, name="target", cursor=0, kind=EXPORT, owner=1, generation=5, group=0xB, exported=end)
    target = Segment(features=SHARING, segment_id=0xB)
    reference = struct.pack("<8Q", 0xA, 5, at, start, end, len(data), 1, len("origin")) + b"origin"
    target.frame(reference, flags=REFERENCE)
    plain = body(2, 50)
    target.frame(plain)
    target.publish()
    case("reference", "the first frame lies in another buffer", {"target": target, "origin": origin},
         [(1, data), (2, plain)], "end")


def bad():
    def patched(name, about, at, data, then, **more):
        segment, frames = written([10, 20])
        segment.publish()
        segment.bytes[at:at + len(data)] = data
        case(name, about, {"b": segment}, more.pop("reads", lambda f: [])(frames), then, **more)

    patched("magic", "another magic", 0x008, b"ZEROBUFX", "open: damaged")
    patched("version", "another major version", 0x004, bytes([3]), "open: wrong-version")
    patched("oieb-size", "an OIEB of another size", 0x000, struct.pack("<I", 4104), "open: damaged")
    patched("required-feature", "a required feature that nobody knows", 0x010, bytes([1]), "open: unknown-features")
    patched("payload-offset", "regions that overlap", 0x060, struct.pack("<Q", 4096), "open: damaged")
    patched("capacity", "a ring that is no power of two", 0x068, struct.pack("<Q", 4097), "open: damaged")
    patched("slot-count", "more slots than there can be", 0x048, struct.pack("<I", 65), "open: damaged")

    segment, frames = written([10, 20])
    segment.publish()
    case("cut-short", "a file that lacks its last byte", {"b": segment.bytes[:-1]}, [], "open: damaged")

    def words(name, about, change, reads, **options):
        segment, frames = written([10, 20, 30], **options)
        segment.publish()
        change(segment)
        case(name, about, {"b": segment}, frames[:reads], "damaged")

    words("wrong-number", "the second frame has the number of the third", lambda s: s.word(24, s.commit_word(20, number=3)), 1)
    words("too-long", "the second frame is longer than the ring", lambda s: s.word(24, s.commit_word(CAPACITY, number=2)), 1)
    words("wiped-out", "the second frame's commit word is 0, below the head", lambda s: s.word(24, 0), 1)
    words("crooked-skip", "a skip of 12 bytes", lambda s: s.word(24, s.commit_word(12, SKIP, number=2)), 1)
    words("unknown-flag", "a flag that nobody knows", lambda s: s.word(24, s.commit_word(20, 1 << 34, number=2)), 1)
    words("attributes-without-feature", "attributes in a buffer that has none",
          lambda s: s.word(24, s.commit_word(20, ATTRIBUTES, number=2)), 1)

    def long_block(segment):
        segment.word(24, segment.commit_word(20, ATTRIBUTES, number=2))
        segment.word(32, 48)

    words("long-block", "an attribute block that is longer than its frame", long_block, 1, features=HAS_ATTRIBUTES)


def main():
    good()
    bad()
    where = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent
    where.mkdir(parents=True, exist_ok=True)
    for file, data in DATA.items():
        (where / file).write_bytes(data)
    index = dict(format="zerobuffer-conformance/1", protocol="2.0", cases=CASES)
    (where / "index.json").write_text(json.dumps(index, indent=1) + "\n")


if __name__ == "__main__":
    main()
