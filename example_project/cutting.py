"""Lets the example cut a connection, which no ASGI application can, so that its visitors see what follows."""

from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from .consumers.breaking import CUT


class CuttableProtocol(AutoWebSocketsProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's WebSocket, with an extension that ends the TCP connection at once, without a close frame."""

    async def run_asgi(self) -> None:
        """Run the application."""
        self.scope.setdefault("extensions", {})[CUT] = self.transport.abort
        await super().run_asgi()
