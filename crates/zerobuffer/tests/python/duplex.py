"""The deployed Python package's duplex channel as the other end of a test. One line out for each thing waited for.

Request i has the bytes i (4, little-endian), then content; its answer is the request reversed.
"""

import sys
import threading
import time

from zerobuffer import BufferConfig
from zerobuffer import exceptions as zx
from zerobuffer.duplex.client import DuplexClient
from zerobuffer.duplex.server import ImmutableDuplexServer


def say(*words):
    print(*words, flush=True)


def hear():
    return sys.stdin.readline().strip()


def request(i):
    n = 1 + (i * 37) % 500
    return i.to_bytes(4, "little") + bytes((i + j) & 0xFF for j in range(n))


def cmd_serve(name):
    """Answers with the request reversed; fails on b"fail", sleeps on b"wait" until it is killed."""

    def handler(frame, response):
        data = bytes(frame.data)
        if data == b"fail":
            raise ValueError("as it was asked to")
        if data == b"wait":
            say("waits")
            time.sleep(1000)
        response.write_frame(data[::-1])

    server = ImmutableDuplexServer(name, BufferConfig(metadata_size=4096, payload_size=1 << 20), timeout=60)
    server.start(handler)
    say("started")
    hear()
    # `stop` waits two seconds for a thread that reads for 60: end without it, as programs do.
    server._running = False
    say("stopped")


def connect(name):
    while True:
        try:
            client = DuplexClient(name)
            break
        except zx.ZeroBufferException as e:
            # Its predecessor's buffer stays until the server has noticed that it died; and who looks for stale buffers
            # at that moment has the lock (L12).
            if not any(text in str(e) for text in ("not found", "already exists", "Failed to acquire lock")):
                raise
            time.sleep(0.01)
    while not client.is_server_connected:
        time.sleep(0.01)
    return client


def check(response, sequence, expected):
    if response.data is None or response.sequence != sequence or bytes(response.data) != expected:
        say("wrong", sequence, response.sequence, "got", None if response.data is None else bytes(response.data)[:20])
        sys.exit(1)
    response._frame.dispose()


def cmd_call(name, count, in_flight):
    """Calls, with so many requests under way; answers have to come in order, with the request's number."""
    client = connect(name)
    sent = received = 0
    sequences = []
    while received < int(count):
        while sent < int(count) and sent - received < int(in_flight):
            sequences.append(client.send_request(request(sent)))
            sent += 1
        check(client.receive_response(60000), sequences[received], request(received)[::-1])
        received += 1
    say("called", received)
    hear()
    client.close()


def cmd_send(name):
    """Sends one request and waits for its answer, which does not come."""
    client = connect(name)
    client.send_request(b"wait")
    say("sent")
    hear()


globals()["cmd_" + sys.argv[1]](*sys.argv[2:])
