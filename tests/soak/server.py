"""One server: `python -m tests.soak.server INDEX LAYER REDIS_URL FOLDER PING`; answers commands in lines of JSON."""

import asyncio
import ctypes
import gc
import json
import logging
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import uvicorn

from consumers.server import WebSocketProtocol
from consumers.types import Message

from .app import GROUP, LogWatch, Watched, make
from .limits import raise_limit_on_files
from .records import Kind, Recorder

SEND_BUFFER = 32768
"""Bytes that the kernel keeps for a client that does not read: few, so that the server soon minds."""

MARK = 60000
"""The first of the rooms in which the servers mark that all has arrived."""

PATIENCE = 20.0
"""Seconds that a mark may take."""


class Station:
    """A server's side of the soak's commands.

    Args:
        index: which of the servers it is.
        app: the application.
        layer: its channel layer.
        record: where events are noted.
        log: what has been read in the log.
    """

    def __init__(self, index: int, app: Watched, layer: Any, record: Recorder, log: LogWatch) -> None:
        self._index = index
        self._app = app
        self._layer = layer
        self._record = record
        self._log = log
        self._marks = 0

    async def measure(self) -> dict[str, Any]:
        """Return what the process holds, after a collection of garbage."""
        for _ in range(3):
            gc.collect()
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)  # what is free is not to count
        return {
            "resident": resident(),
            "objects": len(gc.get_objects()),
            "tasks": len(asyncio.all_tasks()),
            "threads": threading.active_count(),
            "files": len(os.listdir("/proc/self/fd")),
            "receivers": len(self._layer._process.local.channels()),
            "groups": len(self._layer.groups),
        }

    async def look(self) -> dict[str, Any]:
        """Return what is counted all the time."""
        return {
            "open": self._app.open,
            "most": self._app.most,
            "shared": self._app.shared,
            "dropped": self._layer.dropped,
            "overfull": self._layer._overfull,
            "errors": self._log.errors,
            "cpu": sum(os.times()[:2]),
        }

    def watch(self, message: Message) -> int:
        """Take note of a gap, as a receiver."""
        if message["type"] == "layer.gap" and message["group"] is None:
            self._record(Kind.GAP)
        return 1

    async def mark(self) -> bool:
        """Send a message that this process itself gets after all that was sent before; write out the records."""
        arrived, room, conn = asyncio.Event(), MARK + self._index, (1 << 32) - 1 - self._index

        def deliver(message: Message) -> int:
            arrived.set()
            return 1

        name = self._layer.attach(deliver)
        try:
            async with asyncio.timeout(PATIENCE):
                await self._layer.group_add(f"{GROUP}{room}", name)
                self._marks += 1
                self._record(Kind.PUBLISH, conn, self._marks, room=room)
                await self._layer.group_send(f"{GROUP}{room}", {"type": "mark", "of": conn, "number": self._marks})
                self._record(Kind.PUBLISHED, conn, self._marks, room=room)
                await arrived.wait()
                await self._layer.group_discard(f"{GROUP}{room}", name)
        finally:
            self._layer.detach(name)
        self._record.flush()
        return True


def resident() -> int:
    """Return how many bytes of memory this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def main(index: int, kind: str, url: str, folder: Path, ping: float) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    raise_limit_on_files()
    record = Recorder(folder / f"server-{index}.records")
    logging.basicConfig(
        filename=folder / f"server-{index}.log", level=logging.WARNING, format="%(asctime)s %(message)s"
    )
    logging.getLogger().addHandler(log := LogWatch(record))
    app, layer = make(url, kind, record)
    config = uvicorn.Config(
        app,
        ws=WebSocketProtocol,
        log_config=None,
        ws_per_message_deflate=False,
        ws_ping_interval=ping,
        ws_ping_timeout=ping,
    )
    server = uvicorn.Server(config)
    station = Station(index, app, layer, record, log)
    commands = asyncio.StreamReader()
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        watcher = layer.attach(station.watch)
        print(json.dumps({"port": listener.getsockname()[1]}), file=answers)
        while line := await commands.readline():
            answer = await getattr(station, json.loads(line)["do"])()
            print(json.dumps(answer), file=answers)
        layer.detach(watcher)
        server.should_exit = True
        await serving


if __name__ == "__main__":
    factory = uvicorn.Config("", log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4]), float(sys.argv[5])))
