"""Examples of the documentation: run, and connected to."""

from typing import Any

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
