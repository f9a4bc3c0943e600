"""The sending side of a connection: what may be sent in which state, and what a client that has gone looks like."""

import enum
from typing import Protocol

import anyio
from starlette.websockets import WebSocketDisconnect

from ..exceptions import RequestAborted
from ..types import CloseCode, ConnectionObserver, Message, Send, check_close_code, private_code
from . import events
from .retry import retry_after

# How servers and test clients say that the peer has gone: ASGI asks for an OSError (2.4, "send"), the memory
# streams of Starlette's and httpx-ws' test clients raise anyio's own.
GONE = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)

# uvicorn says it so after it has closed a socket itself: for a frame that is none, or a ping without an answer.
CLOSED_BY_SERVER = "after sending 'websocket.close'"

# Daphne takes no code but 1000 and those of 3000 and above. An open socket would be left behind.
REFUSED_BY_DAPHNE = "invalid close code"

FAILURES = (*GONE, RuntimeError)

LATER = (CloseCode.SERVICE_RESTART, CloseCode.TRY_AGAIN_LATER)
"""The close codes of a server that serves the client another time."""

CLOSE_TIMEOUT = 5.0
"""Seconds that a close frame has to leave, at most, for a client that does not read."""


class State(enum.Enum):
    """The states of a handshake and what follows."""

    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"


OPEN, CLOSED = State.OPEN, State.CLOSED  # looking a member up costs as much as a function call in Python 3.11


class Owner(Protocol):
    """Is told what becomes of its socket; a bound method would be one more object for each idle connection."""

    def _on_sender_change(self, close_code: int | None) -> None: ...


class Sender:
    """Passes events to the server's `send`, after checking that they are allowed.

    Args:
        send: the server's ASGI `send`.
        owner: told None when the application accepts the handshake, and once with the close code when
            it closed the socket or a send failed.
        close_timeout: seconds that a close frame has to leave.
        can_deny: whether the server answers a handshake with an HTTP response (`websocket.http.response`).
        observer: the connection's, if it has one.
    """

    __slots__ = (
        "_can_deny",
        "_close_timeout",
        "_observer",
        "_owner",
        "_send",
        "answered",
        "close_code",
        "is_rejected",
        "state",
    )

    def __init__(
        self,
        send: Send,
        owner: Owner,
        close_timeout: float = CLOSE_TIMEOUT,
        can_deny: bool = True,
        observer: ConnectionObserver | None = None,
    ) -> None:
        self._send = send
        self._close_timeout = close_timeout
        self._can_deny = can_deny
        self._owner = owner
        self._observer = observer
        self.state = State.CONNECTING
        self.close_code: int | None = None
        self.answered = False  # the handshake, by accept(), close() or deny()
        self.is_rejected = False  # by close() or deny(); then there is no disconnect to wait for

    @property
    def is_open(self) -> bool:
        """Whether frames may be sent."""
        return self.state is OPEN

    async def send(self, event: Message) -> None:
        """Send an ASGI event.

        Raises:
            WebSocketDisconnect: the client has gone, or the application has closed the socket.
            RequestAborted: the client of an HTTP request has gone.
            RuntimeError: a frame before the accept, or a second accept.
            ValueError: a close code that cannot be put into a close frame.
        """
        kind = event["type"]
        if kind == "websocket.send":
            if self.state is not OPEN:
                self._refuse("send")
        elif kind == "websocket.close":
            await self._close(event)
            return
        elif kind == "websocket.accept":
            if self.state is not State.CONNECTING:
                self._refuse("accept")
            self.state = OPEN
            self.answered = True
            self._owner._on_sender_change(None)
        elif kind == "websocket.http.response.start":
            if self.state is not State.CONNECTING:
                self._refuse("deny")
            if not self._can_deny:
                await self._close(events.close())
                return
            self.answered = self.is_rejected = True
            self._closed(CloseCode.ABNORMAL_CLOSURE)
        elif kind == "websocket.http.response.body":
            if not self._can_deny:
                return
        elif self.state is CLOSED:
            raise RequestAborted("the client has gone")
        try:
            await self._send(event)
        except UnicodeEncodeError:
            sendable = events.without_surrogates(event) if isinstance(event.get("text"), str) else event
            if kind != "websocket.send" or sendable == event:  # or a middleware's own encoding lacks the character
                raise
            await self.send(sendable)
        except FAILURES as error:
            self._on_failure(error)
            raise
        else:
            if self._observer is not None and kind in events.FOR_CLIENT:
                self._observer.sent()

    async def end(self, code: int, reason: str) -> None:
        """Close the socket, or, while the handshake is pending, reject it.

        For 1012 and 1013 that is HTTP 503, if the server can. A hint in the reason is in its header `Retry-After`, too.
        """
        if code in LATER and self.state is State.CONNECTING and self._can_deny:
            for event in events.denial(503, b"", retry_after(reason)):
                await self.send(event)
        else:
            await self.send(events.close(code, reason))

    def lost(self, code: int) -> int:
        """Note that the server reported the client's disconnect.

        Args:
            code: what the server reports.

        Returns:
            The close code: the application's own, if it has closed the socket. Servers differ in what they report then.
        """
        self.state = CLOSED
        if self.close_code is None or self.close_code == CloseCode.ABNORMAL_CLOSURE:  # no close frame has left
            self.close_code = code
        return self.close_code

    def release(self) -> None:
        """Forget the owner."""
        self._owner = NOBODY

    async def _close(self, event: Message) -> None:
        if self.state is CLOSED:
            return
        complete = events.close(event.get("code"), event.get("reason"))
        if self.state is State.OPEN:
            check_close_code(complete["code"])
        else:
            self.is_rejected = True
        self.answered = True
        self._closed(complete["code"])
        # A handler that is cancelled while it closes must not keep the frame from leaving: nobody sends another.
        with anyio.move_on_after(self._close_timeout, shield=True):
            try:
                await self._send_close(complete)
            except FAILURES as error:
                self._on_failure(error)
                raise

    async def _send_close(self, event: Message) -> None:
        try:
            await self._send(event)
        except Exception as error:
            if not str(error).startswith(REFUSED_BY_DAPHNE):
                raise
            await self._send({**event, "code": private_code(event["code"])})

    def _on_failure(self, error: Exception) -> None:
        """Raise WebSocketDisconnect if a send failed because the client has gone."""
        if isinstance(error, GONE) or CLOSED_BY_SERVER in str(error):
            if self.state is not CLOSED:
                self._closed(CloseCode.ABNORMAL_CLOSURE)
            raise WebSocketDisconnect(CloseCode.ABNORMAL_CLOSURE) from error

    def _closed(self, code: int) -> None:
        self.state = CLOSED
        self.close_code = code
        self._owner._on_sender_change(code)

    def _refuse(self, what: str) -> None:
        if self.state is CLOSED:
            raise WebSocketDisconnect(self.close_code or CloseCode.ABNORMAL_CLOSURE)
        if self.state is State.CONNECTING:
            raise RuntimeError(f"{what}() before accept(): the handshake is pending, call accept() first")
        raise RuntimeError("accept() or deny() after accept(): a handshake is answered once")


class _Nobody:
    def _on_sender_change(self, close_code: int | None) -> None:
        pass


NOBODY = _Nobody()
