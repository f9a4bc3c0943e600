"""One server: `python -m tests.torture.server NAME REDIS_URL PORT FOLDER GROUPS RATE CLIENT BUG`.

What must outlive `kill -9` goes to a file, a line of JSON each time. A line on standard input ends the senders.
"""

import asyncio
import json
import logging
import os
import random
import socket
import sys
from pathlib import Path
from typing import Any

import uvicorn

from ..soak.limits import raise_limit_on_files
from .app import groups_of, make_app, make_layer
from .bugs import BUGS
from .senders import Sender
from .shapes import SHAPES

SENDERS = ("once", "surely")


async def main(name: str, url: str, port: int, folder: Path, groups: int, rate: float, client: str, bug: str) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    raise_limit_on_files()
    BUGS[bug]()
    logging.basicConfig(filename=folder / f"{name}.log", level=logging.WARNING, format="%(asctime)s %(message)s")
    with (folder / f"{name}.records").open("w", buffering=1) as records:

        def note(*what: Any) -> None:
            print(json.dumps(what), file=records)

        layer = make_layer(url)
        layer.on_refill = lambda: note("refilled")
        app = make_app(layer, lambda *what: note("confirmed", *what))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws_per_message_deflate=False))
        chance, loop = random.Random(name), asyncio.get_running_loop()
        commands = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        with socket.create_server(("127.0.0.1", port), backlog=2048) as listener:
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            print(json.dumps({"port": port}), file=answers)
            senders = [
                Sender(
                    f"{name} {how}",
                    layer,
                    groups_of(groups)[1:],
                    chance,
                    lambda *what: note("confirmed", *what),
                    SHAPES[client],
                )
                for how in SENDERS
            ]
            sending = [asyncio.create_task(each.run(how, rate)) for each, how in zip(senders, SENDERS, strict=True)]
            if await commands.readline():
                for task in sending:
                    task.cancel()
                await asyncio.gather(*sending, return_exceptions=True)
                print(json.dumps({}), file=answers)
                await commands.readline()
            server.should_exit = True
            await serving
            for task in sending:
                task.cancel()


if __name__ == "__main__":
    _, name, url, port, folder, groups, rate, client, bug = sys.argv
    asyncio.run(main(name, url, int(port), Path(folder), int(groups), float(rate), client, bug))
