"""Consumers and endpoints with limits, and what is seen of them."""

import logging
from typing import Any

import pytest
from starlette.websockets import WebSocket

from consumers import AsyncWebsocketConsumer, BaseWSEndpoint

from .wire import Wire

CLIENT = ("192.0.2.1", 5)
DENIAL: dict[str, Any] = {"extensions": {"websocket.http.response": {}}}


class Counter(AsyncWebsocketConsumer):
    """Echoes, and notes the codes of its endings."""

    codes: list[int]

    def __init_subclass__(cls) -> None:
        cls.codes = []

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)

    async def disconnect(self, code: int) -> None:
        self.codes.append(code)


class Endpoint(BaseWSEndpoint):
    """Echoes, and notes the codes of its endings."""

    codes: list[int]

    def __init_subclass__(cls) -> None:
        cls.codes = []

    async def on_connect(self, websocket: WebSocket) -> None:
        await websocket.accept()

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        await (websocket.send_text(data) if isinstance(data, str) else websocket.send_bytes(data))

    async def on_disconnect(self, websocket: WebSocket, close_code: int) -> None:
        self.codes.append(close_code)


class Lines:
    """What the library has logged."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def only(self) -> str:
        """Return the one line, which is a warning without a traceback."""
        records = [record for record in self._caplog.records if record.name.startswith("consumers")]
        assert len(records) == 1, records
        assert records[0].levelno == logging.WARNING
        assert not records[0].exc_info
        return records[0].getMessage()


def limited(kind: type, **values: Any) -> Any:
    """Return a class with these limits, and its application."""
    made = type("Limited", (kind,), values)
    return made, made if issubclass(made, BaseWSEndpoint) else made.as_asgi()  # type: ignore[attr-defined]


async def closed(wire: Wire) -> tuple[int, str]:
    """Wait for the end, and return the close code and the reason that the client saw last."""
    await wire.end()
    assert wire.error is None
    event = wire.sent[-1]
    assert event["type"] == "websocket.close"
    return event["code"], event["reason"]


kinds = pytest.mark.parametrize("kind", [Counter, Endpoint])
