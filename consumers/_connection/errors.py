"""What an exception of the application's does to its connection."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException, WebSocketException
from starlette.responses import PlainTextResponse
from starlette.websockets import WebSocketDisconnect

from ..exceptions import InvalidFrame, PresenceFull, RequestAborted, StopConsumer, TooManyGroups
from ..types import CloseCode, Message
from . import close_codes, events
from .close_codes import CLOSE_EXCEPTIONS, CloseException, close_of
from .consumer import Consumer
from .enforce import LimitHit
from .failures import NotAnException, as_failure, only
from .failures import without_layer as explained
from .log import ConnectionLog
from .sender import CLOSED, Sender, State
from .shutdown import Shutdown
from .tasks import Tasks

logger = logging.getLogger("consumers.connection")


class Errors:
    """Turns what the code of one connection's consumer raises into an ending.

    Args:
        consumer: the consumer.
        protocol: its scope's type.
        tasks: the connection's.
        sender: the connection's.
        shutdown: the connection's.
        log: the connection's.

    Attributes:
        cancelled: how many handlers were cancelled.
    """

    __slots__ = ("_consumer", "_log", "_protocol", "_sender", "_shutdown", "_tasks", "cancelled")

    def __init__(
        self, consumer: Consumer, protocol: str, tasks: Tasks, sender: Sender, shutdown: Shutdown, log: ConnectionLog
    ) -> None:
        self._consumer = consumer
        self._protocol = protocol
        self._tasks = tasks
        self._sender = sender
        self._shutdown = shutdown
        self._log = log
        self.cancelled = 0

    def release(self) -> None:
        """Let go of the consumer; what refers to this may live on."""
        del self._consumer

    async def guard(
        self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], message: Message | None = None
    ) -> None:
        """Run the application's code and decide about what it raises; `message` is what it handles, if it does."""
        try:
            await function(*args)
        except BaseException as error:
            name = getattr(function, "__qualname__", None)
            doing = message or (f"background task {name}()" if name else None)
            await self._decide(as_failure(error, self._tasks.server), doing)

    async def on_handler_error(self, error: BaseException, message: Message) -> None:
        """Decide about what a handler of `message` has raised.

        Raises:
            BaseException: `error`, if the handler was cancelled.
        """
        try:
            await self._decide(as_failure(error, self._tasks.server), message)
        except BaseException:
            self.cancelled += 1
            raise

    async def _decide(self, failure: Exception, doing: Message | str | None) -> None:
        """End the connection as an exception asks for, or with it, unless `on_error()` lets it live on.

        Args:
            failure: what was raised.
            doing: the message that was being handled, or what else was done; None if that has no name.
        """
        if await self._ends_as_asked(failure):
            return
        failure = explained(failure, self._consumer)
        self._log.annotate(failure, doing, self._consumer.show_content)
        try:
            if isinstance(failure, NotAnException):
                raise failure
            await self._consumer._on_error(failure, doing if isinstance(doing, dict) else None)
        except BaseException as error:
            try:
                second = as_failure(error, self._tasks.server)
            except BaseException:  # nobody has decided about the failure: it must not be lost
                self._shutdown.begin_by_error(failure)
                raise
            if not await self._ends_as_asked(second):
                self._log.annotate(second, doing, self._consumer.show_content)
                self._shutdown.begin_by_error(_too_late(second))

    async def _ends_as_asked(self, failure: Exception) -> bool:
        """End, if the exception is a way to ask for it or tells that the client has gone; else return False."""
        match only(
            failure, StopConsumer, TooManyGroups, PresenceFull, *CLOSE_EXCEPTIONS, RequestAborted, HTTPException
        ):
            case StopConsumer():
                self._shutdown.begin(close_codes.STOPPED)
            case TooManyGroups() as too_many:
                limit = f"more than max_groups ({too_many.max_groups})"
                self._shutdown.begin_by_limit(LimitHit(CloseCode.POLICY_VIOLATION, limit, "too many groups"))
            case PresenceFull() as full:
                limit = f"more than {full.channels} channels of one key in a group"
                self._shutdown.begin_by_limit(LimitHit(CloseCode.POLICY_VIOLATION, limit, "too many connections"))
            case (WebSocketDisconnect() | RequestAborted()) as gone if self._protocol != "websocket":
                self._client_has_gone(gone)
            case (InvalidFrame() | WebSocketException() | WebSocketDisconnect()) as asked if (
                self._protocol == "websocket"
            ):
                self._close_as_asked(asked)
            case HTTPException() as answer if self._protocol == "websocket" and self._sender.state is State.CONNECTING:
                await self._answer(answer)
            case _:
                return False
        return True

    def _close_as_asked(self, asked: CloseException) -> None:
        if self._sender.state is CLOSED:
            self._client_has_gone(asked)
            return
        code, reason = close_of(asked, self._sender.is_open)
        if self._shutdown.request is None:
            self._log.closed_by_exception(asked, code)
        self._shutdown.begin(close_codes.at_once(code, reason))

    async def _answer(self, answer: HTTPException) -> None:
        """Answer the handshake by HTTP, or let a Starlette application, which may have its own way, do so."""
        scope = self._consumer.scope
        if not events.can_deny(scope):
            self._shutdown.begin(close_codes.REFUSED)
        elif isinstance(scope.get("app"), Starlette):
            self._sender.answered = self._sender.is_rejected = True
            self._shutdown.begin(close_codes.ANSWERED, answer)
        else:
            response = PlainTextResponse(str(answer.detail), answer.status_code, answer.headers)
            for event in events.denial(response.status_code, bytes(response.body), response.raw_headers):
                await self._sender.send(event)
            self._shutdown.begin(close_codes.ANSWERED)

    def _client_has_gone(self, error: Exception) -> None:
        logger.debug("%s: a handler ended because the client has gone: %r", self._log, error)


def _too_late(error: Exception) -> Exception:
    """Return what to raise for an error; not one that Starlette would send an HTTP response for, to an open socket."""
    if only(error, HTTPException) is None:
        return error
    late = RuntimeError(f"{error!r} after the accept, when no HTTP response can be sent: raise WebSocketException")
    late.__cause__ = error
    return late
