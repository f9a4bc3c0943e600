"""Examples of the documentation: run, and connected to."""

from base64 import urlsafe_b64encode
from typing import Any

from websockets.typing import Subprotocol

from consumers.testing import WebsocketCommunicator


def run(code: str) -> dict[str, Any]:
    """Run an example as a module of its own; return what it defines."""
    namespace: dict[str, Any] = {"__name__": "example"}
    exec(code, namespace)
    return namespace


async def connect(application: Any, path: str) -> WebsocketCommunicator:
    """Return a client whose handshake was accepted."""
    client = WebsocketCommunicator(application, path)
    assert (await client.connect())[0]
    return client


def offered(token: str) -> list[Subprotocol]:
    """Return what the library's clients offer in the handshake, with a token."""
    encoded = urlsafe_b64encode(token.encode()).decode().rstrip("=")
    return [Subprotocol(name) for name in ("consumers.v1", "consumers.any", f"token.{encoded}")]
