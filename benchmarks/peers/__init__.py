"""One small adapter for each library that is compared.

An adapter offers some of these WebSocket endpoints, most of them the first four, written as the library's
documentation writes them:

- `echo` sends every text back;
- `room` is a member of one group and sends every text of its client to that group;
- `four` and `sixteen` are like `room`, but send every text so often, without a pause;
- `crowd` is a member of another group, to which nothing is sent;
- `json` is a member of a third group, to which objects are sent as JSON;
- `model` validates every message of its client as a pydantic model and answers with another model;
- `answer` does that for messages with an id, which the answer repeats;
- `models` is a member of a fourth group, to which models are sent.
"""

import importlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager, nullcontext
from importlib.metadata import version
from typing import Any, ClassVar

Message = MutableMapping[str, Any]
App = Callable[[MutableMapping[str, Any], Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Any]

COMPARED: Mapping[str, str] = {
    "bare": "bare ASGI",
    "starlette": "Starlette",
    "consumers": "consumers",
    "consumers_raw": "consumers, raw",
    "consumers_shared": "consumers, shared",
    "litestar": "Litestar",
    "socketio": "python-socketio",
    "fast_channels": "fast-channels",
    "channels": "Channels",
    "by_hand": "pydantic by hand",
    "typed": "consumers, typed",
    "chanx": "chanx",
}
"""The adapters' modules, and how the tables name them, in the tables' order."""

PEERS: Mapping[str, str] = {
    **COMPARED,
    "consumers_api": "consumers, OpenTelemetry's API",
    "consumers_sdk": "consumers, OpenTelemetry's SDK",
    "sketch": "sketch",
    "sketch_raw": "sketch, raw",
}
"""The same, with those that run only where they are asked for."""


OURS = "consumers.server:WebSocketProtocol"
"""This library's own WebSocket protocol for uvicorn."""


class Peer:
    """What the scenarios need of a library; each adapter's module has one subclass, named `Adapter`."""

    packages: ClassVar[tuple[str, ...]]
    """The distributions whose versions the results name."""
    endpoints: ClassVar[Collection[str]] = ("echo", "room", "crowd", "json")
    """What it offers; of the rest the tables say "n/a"."""
    hello: ClassVar[tuple[str, ...]] = ()
    """Frames that a client sends before it counts as connected."""
    opening: ClassVar[int] = 0
    """How many frames the server sends before a client counts as connected."""
    protocol: ClassVar[str] = "websockets-sansio"
    """The WebSocket protocol of uvicorn's that it is served by."""
    app: App

    def target(self, endpoint: str) -> str:
        """The path, with a query if there is one, of an endpoint."""
        return f"/{endpoint}"

    def frame(self, endpoint: str, text: str) -> str:
        """The frame that carries `text`: to the client, and to the server unless `question()` is another."""
        return text

    def question(self, endpoint: str, text: str) -> str:
        """The frame that carries `text` to the server."""
        return self.frame(endpoint, text)

    def content(self, frame: str) -> Any:
        """The object that a frame of the endpoint `json` carries."""
        return json.loads(frame)

    def running(self) -> AbstractAsyncContextManager[Any]:
        """What has to be open while the application runs."""
        return nullcontext()

    async def broadcast(self, text: str) -> None:
        """Send `text` to the members of `room`."""
        raise NotImplementedError

    async def broadcast_object(self, content: Any) -> None:
        """Send an object to the members of `json`."""
        raise NotImplementedError

    async def broadcast_model(self, text: str) -> None:
        """Send a model with this text in it to the members of `models`."""
        raise NotImplementedError

    @property
    def versions(self) -> str:
        return ", ".join(f"{package} {version(package)}" for package in self.packages)


def load(name: str) -> Peer:
    """Import one adapter; the others stay unimported, so that they cannot slow it down."""
    adapter: Peer = importlib.import_module(f"{__name__}.{name}").Adapter()
    return adapter


def by_path(endpoints: Mapping[str, App]) -> App:
    """An application that looks its endpoint up: the same, cheap, for every library that needs no router."""

    async def app(scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        await endpoints[scope["path"][1:]](scope, receive, send)

    return app
