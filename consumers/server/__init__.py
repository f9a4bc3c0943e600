"""What servers need of this library."""

from .protocol import WebSocketProtocol as WebSocketProtocol

__all__ = ["WebSocketProtocol"]
