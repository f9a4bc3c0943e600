"""Visits to a router."""

from typing import Any

from consumers import AsyncWebsocketConsumer
from consumers.types import ASGIApp, Message, Receive, Scope, Send

from .wire import connecting, websocket_scope

DENIAL: dict[str, Any] = {"websocket.http.response": {}}


class Recorder:
    """An ASGI application that keeps the scopes it was called with."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)

    @property
    def route(self) -> dict[str, Any]:
        url_route: dict[str, Any] = self.scopes[-1]["url_route"]
        return url_route


class Room(AsyncWebsocketConsumer): ...


async def never() -> Message:
    raise AssertionError("receive() was called")


async def dropped(message: Message) -> None:
    raise AssertionError(f"{message} was sent")


async def visit(router: ASGIApp, path: str | None, **fields: Any) -> None:
    """Call `router` for a path that it has a route for."""
    await router(websocket_scope(path=path, **fields), never, dropped)


async def refused(router: ASGIApp, path: str, **fields: Any) -> list[Message]:
    """Return what is sent for a path that the router has no route for."""
    async with connecting(router, path=path, **fields) as wire:
        await wire.end()
    assert wire.error is None
    return wire.sent
