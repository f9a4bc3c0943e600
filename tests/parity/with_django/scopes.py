"""Applications called by hand, event by event."""

import asyncio
from copy import deepcopy


def scope(kind="http", **cookies):
    """Return a scope, with these cookies in its header."""
    header = "; ".join(f"{name}={value}" for name, value in cookies.items()).encode()
    return {"type": kind, "path": "/", "headers": [(b"cookie", header)] if header else []}


async def call(application, scope, *events):
    """Call an application, which receives these events, and return what it sends."""
    sent, waiting = [], list(events)

    async def receive():
        return waiting.pop(0) if waiting else await asyncio.Future()

    async def send(event):
        sent.append(event)

    await application(scope, receive, send)
    return sent


class Answering:
    """An application that runs a function on its scope, then sends events.

    Attributes:
        scope: what it was called with.
    """

    def __init__(self, *events, before=None):
        self.events = events
        self.before = before
        self.scope = None

    async def __call__(self, scope, receive, send):
        self.scope = scope
        if self.before is not None:
            await self.before(scope)
        for event in self.events:
            await send(deepcopy(event))


OK = {"type": "http.response.start", "status": 200, "headers": []}
FAILED = {"type": "http.response.start", "status": 500, "headers": []}
ACCEPT = {"type": "websocket.accept"}
DENIED = {"type": "websocket.http.response.start", "status": 401, "headers": []}


def cookies(events):
    """Return the cookies that events set: name → the header's words."""
    headers = [value.decode() for event in events for name, value in event.get("headers", []) if name == b"Set-Cookie"]
    return {header.partition("=")[0]: header.split("; ") for header in headers}


def attributes(words):
    """Return a cookie's attributes, names in lower case."""
    return {word.partition("=")[0].lower(): word.partition("=")[2] for word in words[1:]}
