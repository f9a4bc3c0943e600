"""Starlette's WebSocket as a `BaseWSEndpoint` has it: by the rules of `sender`, held to its limits, and observed."""

from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.websockets import WebSocket, WebSocketState

from .. import _observing
from .._observing import observed
from ..limits import Limits
from ..types import CloseCode, ConnectionObserver, Message, Receive, Scope, Send
from . import events
from .enforce import Enforcer, make_sender
from .sender import Owner, State

APPLICATION_STATES = {
    State.CONNECTING: WebSocketState.CONNECTING,
    State.OPEN: WebSocketState.CONNECTED,
    State.CLOSED: WebSocketState.DISCONNECTED,
}

MESSAGE_LIMITS = frozenset({CloseCode.POLICY_VIOLATION, CloseCode.MESSAGE_TOO_BIG})
"""The close codes of limits that one message goes beyond."""

Disconnect = Callable[[WebSocket, int], Awaitable[None]]


class Endpoint(Owner, Protocol):
    """What a client needs of its endpoint: with which code and reason that is ending, if it is."""

    _ending: tuple[int, str] | None


class ClientWebSocket(WebSocket):
    """A client.

    Args:
        scope: the ASGI scope.
        receive: the server's ASGI `receive`.
        send: the server's ASGI `send`.
        limits: its limits.
        enforcer: what holds it to its limits, if it has any that need it.
        owner: the endpoint; it is told when the client disconnects, too.
        close_timeout: seconds that a close frame has to leave.

    Attributes:
        observer: the connection's, if it has one.
    """

    def __init__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        limits: Limits,
        enforcer: Enforcer | None,
        owner: Endpoint,
        close_timeout: float,
    ) -> None:
        super().__init__(scope, receive, send)
        self._owner = owner
        self._enforcer = enforcer
        self.observer: ConnectionObserver | None = None
        if _observing.observer is not None:
            self.observer = _observing.observer.connection(type(owner), scope)
            self.observer.opened(int)  # none waits here: what is read has a task
        can_deny = events.can_deny(scope)
        self._sender = make_sender(send, enforcer, limits, owner, close_timeout, can_deny, self.observer)

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
        elif self.observer is not None and message["type"] == "websocket.receive":
            self.observer.received("client")
            if (ending := self._owner._ending) is not None:  # it is not handled then
                self.observer.dropped("limit" if ending[0] in MESSAGE_LIMITS else "ending")
        return message

    def last(self, on_disconnect: Disconnect) -> Disconnect:
        """Return an endpoint's `on_disconnect()`, the last that it does, as one whose end the observer sees as its."""
        observer = self.observer
        if observer is None:
            return on_disconnect
        seen = observed(observer, "on_disconnect", on_disconnect)

        async def on_last(websocket: WebSocket, code: int) -> None:
            try:
                await seen(websocket, code)
            finally:
                own = self._sender.close_code
                observer.closed(code if own is None else own, self._sender.is_rejected)

        on_last.__name__ = "on_disconnect"  # for the log
        return on_last

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
