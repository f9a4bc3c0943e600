"""Making a mistake, and hearing what the answer to it is."""

import ast
import inspect
import logging
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from consumers.testing import WebsocketCommunicator
from consumers.types import ASGIApp

from .records import Mistake


def last_line(error: BaseException) -> str:
    """Return the last line of an exception's traceback, without its notes."""
    return traceback.format_exception_only(type(error), error.with_traceback(None))[0].rstrip("\n")


def log_lines(records: Iterable[logging.LogRecord]) -> list[str]:
    """Return each record's level, logger and text."""
    return [f"{record.levelname} {record.name}: {record.getMessage()}" for record in records]


async def make(code: str, **given: Any) -> str | None:
    """Execute a program, and let a client connect to its `app` if it has one.

    Args:
        code: the program, which may await.
        given: names that it has.

    Returns:
        The last line of the traceback, or None if nothing was raised.
    """
    names: dict[str, Any] = {"__name__": "mistake", **given}
    try:
        running = eval(compile(code, "mistake.py", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
        if inspect.isawaitable(running):
            await running
        if "app" in names:
            await visit(names["app"])
    except Exception as error:
        return last_line(error)
    return None


async def visit(app: ASGIApp) -> None:
    """Connect, send an empty JSON object, and leave."""
    client = WebsocketCommunicator(app, "/ws", subprotocols=["chat.v1"])
    accepted, _ = await client.connect()
    if accepted:
        await client.send_to(text_data="{}")
        await anyio.wait_all_tasks_blocked()  # what a handler sends to itself must come before the disconnect
    await client.disconnect()


def answer(mistake: Mistake, caplog: pytest.LogCaptureFixture) -> str:
    """Make a mistake and, if it says so, let a client open a WebSocket.

    Returns:
        str: what was raised or logged, in the form of `Mistake.answer`.
    """
    caplog.set_level(logging.WARNING)
    try:
        made = mistake.make()
        if mistake.opens:
            with suppress(WebSocketDisconnect), TestClient(made["app"]).websocket_connect(mistake.opens):
                pass
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "\n".join(logged(caplog))


def logged(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Yield what this package has logged."""
    for record in caplog.records:
        if record.name.startswith(("consumers", "compat")):
            yield f"{record.levelname}: {record.getMessage()}"
