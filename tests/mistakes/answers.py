"""Makes a mistake, and returns its answer."""

import logging
from collections.abc import Iterator
from contextlib import suppress

import pytest
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from .records import Mistake


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
