"""Starlette's WebSocket as a `BaseWSEndpoint` has it: with the sending rules of `sender`, and held to its limits."""

from starlette.websockets import WebSocket, WebSocketState

from ..limits import Limits
from ..types import CloseCode, Message, Receive, Scope, Send
from . import events
from .enforce import Enforcer, make_sender
from .sender import Owner, State

APPLICATION_STATES = {
    State.CONNECTING: WebSocketState.CONNECTING,
    State.OPEN: WebSocketState.CONNECTED,
    State.CLOSED: WebSocketState.DISCONNECTED,
}


class ClientWebSocket(WebSocket):
    """A client.

    Args:
        scope: the ASGI scope.
        receive: the server's ASGI `receive`.
        send: the server's ASGI `send`.
        limits: its limits.
        enforcer: what holds it to its limits, if it has any that need it.
        owner: as that of `Sender`; called when the client disconnects, too.
        close_timeout: seconds that a close frame has to leave.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: Limits,
        enforcer: Enforcer | None,
        owner: Owner,
        close_timeout: float,
    ) -> None:
        super().__init__(scope, receive, send)
        self._owner = owner
        self._enforcer = enforcer
        self._sender = make_sender(send, enforcer, limits, owner, close_timeout, events.can_deny(scope))

    async def receive(self) -> Message:
        """Return the client's next event; one beyond a limit ends the connection."""
        if self._enforcer is None:
            message = await super().receive()
        else:
            self._enforcer.resume()
            message = await super().receive()
            self._enforcer.pause()
            self._enforcer.refuses(message)
        if message["type"] == "websocket.disconnect":
            code = int(message.get("code") or CloseCode.NORMAL_CLOSURE)
            self._sender.lost(code)
            self._owner._on_sender_change(code)
        return message

    async def end(self, code: int, reason: str) -> None:
        """Close, or reject, this client; see `Sender.end()`."""
        try:
            await self._sender.end(code, reason)
        finally:
            self.application_state = APPLICATION_STATES[self._sender.state]

    async def send(self, message: Message) -> None:
        """Send an ASGI event; see `Sender.send()`."""
        try:
            await self._sender.send(message)
        finally:
            self.application_state = APPLICATION_STATES[self._sender.state]
