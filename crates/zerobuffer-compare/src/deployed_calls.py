"""One end of a duplex channel of the deployed package: server CORE NAME RING, or client CORE NAME BYTES MILLISECONDS.

The client's own buffer, for the answers, is as large as the package makes it: 256 MiB.
"""

import ctypes
import os
import signal
import sys
import time

from zerobuffer import BufferConfig
from zerobuffer.duplex.client import DuplexClient
from zerobuffer.duplex.server import ImmutableDuplexServer

role, core, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
os.sched_setaffinity(0, {core})
# PR_SET_PDEATHSIG: ends with who started it.
ctypes.CDLL(None).prctl(1, signal.SIGKILL)

if role == "server":
    server = ImmutableDuplexServer(name, BufferConfig(metadata_size=1024, payload_size=int(sys.argv[4])), timeout=60)
    server.start(lambda frame, response: response.write_frame(bytes(frame.data)))
    print("ready", flush=True)
    time.sleep(600)
else:
    size, seconds = int(sys.argv[4]), int(sys.argv[5]) / 1000
    client = DuplexClient(name)
    while not client.is_server_connected:
        time.sleep(0.001)
    request, rounds = bytes(size), []
    limit = time.perf_counter() + seconds
    while time.perf_counter() < limit or len(rounds) < 10:
        begun = time.perf_counter()
        sent = client.send_request(request)
        answer = client.receive_response(10000)
        assert answer.sequence == sent and len(bytes(answer.data)) == size
        answer._frame.dispose()
        rounds.append(time.perf_counter() - begun)
    rounds.sort()
    print(rounds[len(rounds) // 2] * 1e9, flush=True)
    client.close()
