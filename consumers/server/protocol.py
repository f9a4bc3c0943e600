"""uvicorn's WebSocket protocol, with frames that many clients share, and with writes that are joined.

For `uvicorn.run(app, ws=WebSocketProtocol)`. An application that knows nothing of it runs as before.
"""

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from .._connection.shared import EXTENSION
from .joined import JoinedTransport

_GOING = (State.CLOSING, State.CLOSED)


def encode(content: str | bytes) -> bytes:
    """Return the frame of a message, not compressed, which RFC 7692 allows on every connection.

    Raises:
        UnicodeEncodeError: the text has a lone surrogate, which UTF-8 has no bytes for.
    """
    if isinstance(content, str):
        return Frame(Opcode.TEXT, content.encode()).serialize(mask=False)
    return Frame(Opcode.BINARY, content).serialize(mask=False)


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol "websockets-sansio". It offers the ASGI extension `consumers.frame`.

    What is written within one step of the event loop leaves in one piece at its end. Frames that many clients share may
    wait for a few steps more: see `joined`.
    """

    async def run_asgi(self) -> None:
        """Serve the connection."""
        self.transport: Any = JoinedTransport(self.transport, self.loop, self.conn)
        extensions: dict[str, Any] = self.scope["extensions"]
        extensions[EXTENSION] = {"encode": encode, "connection": self.transport}
        try:
            await super().run_asgi()
        finally:
            extensions.pop(EXTENSION, None)  # it refers to this object

    def pause_writing(self) -> None:
        """Note that the client does not read fast enough."""
        super().pause_writing()
        self._block(True)
        self.writable.clear()  # which uvicorn does itself from 0.53 on

    def resume_writing(self) -> None:
        """Note that the client has read. Those who have waited for that write first."""
        super().resume_writing()
        self.writable.set()
        self.loop.call_soon(self._unblock)

    def shutdown(self) -> None:
        """End with the server; of what is being closed already uvicorn 0.35 would raise an error, and end nothing."""
        if self.conn.state in _GOING:
            self.transport.close()
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection has gone: nobody is to wait for a client that reads."""
        super().connection_lost(exc)
        self._block(True)
        self.writable.set()

    def _unblock(self) -> None:
        self._block(not self.writable.is_set() or self.transport.is_closing())

    def _block(self, is_blocked: bool) -> None:
        if isinstance(self.transport, JoinedTransport):  # else the application has not begun
            self.transport.set_blocked(is_blocked)
