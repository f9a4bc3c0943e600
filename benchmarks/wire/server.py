"""One peer behind uvicorn: `python -m benchmarks.wire.server PEER`, until its input ends, or its parent does.

The first line of its output says, as JSON, where it listens and how its clients talk.
"""

import asyncio
import ctypes
import json
import os
import signal
import socket
import sys

import uvicorn
import uvloop

from ..peers import load
from . import PLACEHOLDER

PR_SET_PDEATHSIG = 1
"""From Linux' prctl.h."""


def end_with_parent() -> None:
    """Have the system end this process with its parent, also while it stands still and sees no end of its input."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


async def main(name: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    peer = load(name)
    config = uvicorn.Config(
        peer.app,
        ws=peer.protocol,
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        lifespan="off",  # peer.running() does what there is to do
        log_level="warning",
    )
    server = uvicorn.Server(config)
    asyncio.get_running_loop().add_reader(sys.stdin, os._exit, 0)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        endpoints = [
            endpoint for endpoint in ("echo", "room", "four", "sixteen", "crowd") if endpoint in peer.endpoints
        ]
        hello = {
            "versions": peer.versions,
            "port": listener.getsockname()[1],
            "targets": {endpoint: peer.target(endpoint) for endpoint in endpoints},
            "frames": {endpoint: peer.frame(endpoint, PLACEHOLDER) for endpoint in endpoints},
            "hello": peer.hello,
            "opening": peer.opening,
        }
        async with peer.running():
            print(json.dumps(hello), file=answers)
            await server.serve(sockets=[listener])


if __name__ == "__main__":
    end_with_parent()
    uvloop.run(main(sys.argv[1]))
