"""Clients of the ported chat."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

ASYNC, SYNC = "", "sync/"
"""What a room's path ends with, by the kind of the consumer."""


@contextlib.contextmanager
def enter(port: int, room: str, name: str, consumer: str = ASYNC) -> Iterator[ClientConnection]:
    """Connect as a page of the same server does, and read the greeting."""
    url = f"ws://127.0.0.1:{port}/ws/chat/{room}/{consumer}?name={name}"
    with connect(url, origin=Origin(f"http://127.0.0.1:{port}")) as client:
        assert read(client) == {"note": f"{name} joined."}
        yield client


def read(client: ClientConnection) -> Any:
    """Read one message."""
    return json.loads(client.recv(timeout=10))


def chat(port: int, first: str = ASYNC, second: str = SYNC) -> None:
    """Hold a conversation in a room, and a monologue in another.

    Args:
        port: the server's port on 127.0.0.1.
        first: the kind of the consumer of one client in the room.
        second: that of the others.
    """
    with enter(port, "lobby", "Ada", first) as ada, enter(port, "elsewhere", "Eve", second) as eve:
        with enter(port, "lobby", "Bob", second) as bob:
            assert read(ada) == {"note": "Bob joined."}
            for text in ("one", "two", "three"):
                ada.send(json.dumps({"text": text}))
            for client in (ada, bob):
                assert [read(client) for _ in range(3)] == [
                    {"name": "Ada", "text": text} for text in ("one", "two", "three")
                ]
        assert read(ada) == {"note": "Bob left."}
        eve.send('{"text": "Is there anybody?"}')
        assert read(eve) == {"name": "Eve", "text": "Is there anybody?"}
