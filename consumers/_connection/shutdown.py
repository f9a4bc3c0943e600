"""What ends a connection, and what happens then."""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import anyio
from anyio.abc import TaskGroup
from starlette.exceptions import WebSocketException
from starlette.websockets import WebSocketDisconnect

from .._aio import cancel
from .._aio.choice import make_mailbox
from .._sync import Threads
from ..exceptions import InvalidFrame, RequestAborted, StopConsumer, TooManyGroups
from ..layers.base import BaseChannelLayer
from ..types import CloseCode, Message, Receive, Scope, Send, is_sendable
from . import events
from .backlog import Taken
from .enforce import Enforcer, LimitHit, make_enforcer, make_sender
from .failures import CLOSE_EXCEPTIONS, CloseException, NotAnException, as_failure, close_of, only, without_layer
from .frames import Frames
from .log import ConnectionLog
from .sender import CLOSE_TIMEOUT, CLOSED, State
from .undecided import Undecided

logger = logging.getLogger("consumers.connection")

DEFAULT_CAPACITY = 100
INTERNAL_ERROR_REASON = "internal error"  # the reason that a client sees


class Handler(Protocol):
    """What a connection needs of a consumer."""

    scope: Scope
    channel_layer_alias: ClassVar[str]
    channel_layer: BaseChannelLayer | Any
    channel_name: str
    max_groups: int | None
    max_tasks: int
    inbox_limit: int
    inbox_bytes: int
    disconnect_timeout: float
    cleanup_timeout: float
    stall_timeout: float
    overflow: Literal["drop", "close"]
    strict_types: bool
    raw_frames: bool
    show_content: bool
    _codes_as_reported: bool
    _turns_between: ClassVar[int]

    def dispatch(self, message: Message) -> Awaitable[None]: ...
    async def _on_error(self, exc: Exception, message: Message | None) -> None: ...


class CloseRequest(NamedTuple):
    """Why a connection ends: the close code, the reason, and what it lets happen before.

    Args:
        code: the close code that `disconnect()` gets and, where nobody has closed yet, the client.
        reason: the text that goes with it.
        drains: finish what runs and waits first.
        rejects: answer a handshake that is still pending with a rejection; else the server answers HTTP 500.
        limit: the limit that was hit, for the log; "" if none was.
    """

    code: int
    reason: str = ""
    drains: bool = False
    rejects: bool = False
    limit: str = ""


class EndingConnection:
    """What a connection holds, and all the ways in which it ends; `Connection` adds how it lives until then.

    Args:
        consumer: the consumer, with `scope` and `channel_layer` set.
        receive: the server's ASGI `receive`.
        send: the server's ASGI `send`.

    Attributes:
        threads: those of a sync consumer, which are waited for at the end.
        own_tasks: on asyncio, the worker, and what it has started: handlers and background tasks.
    """

    # The class's until they change, so that making a connection costs less.
    threads: Threads | None = None
    _enforcer: Enforcer | None = None  # most have no limit that needs one
    _undecided: Undecided | None = None  # once connect() has returned without an answer to the handshake
    _frames: Frames | None = None
    _taken: Taken | None = None  # of a worker's channel
    _background: set[anyio.CancelScope] | None = None
    _connected = False
    _close_request: CloseRequest | None = None
    _error: Exception | None = None
    _cancelled = 0
    _forced: cancel.ForcedCancellations | None = None  # knows of this, while it ends
    _is_finishing = False
    _running = 0  # handlers that run beside the worker, or are about to
    _is_disconnecting = False

    _reader: cancel.Task | None  # the server's, on asyncio
    _tasks: TaskGroup
    _scope: anyio.CancelScope  # the worker's, shielded: the handlers'; for the clean-up another, if that is cancelled

    def __init__(self, consumer: Handler, receive: Receive, send: Send) -> None:
        self.own_tasks: set[cancel.Task] = set()
        self._consumer = consumer
        self._receive = receive
        close_timeout = min(CLOSE_TIMEOUT, consumer.cleanup_timeout / 4)
        limits: Any = consumer
        enforcer = make_enforcer(limits, self._end_by_limit, send)
        if enforcer is not None:
            self._enforcer = enforcer
        can_deny = events.can_deny(consumer.scope)
        self._sender = make_sender(send, enforcer, limits, self, close_timeout, can_deny)
        self._protocol: str = consumer.scope["type"]
        self._mailbox = make_mailbox(consumer.inbox_limit, consumer.inbox_bytes, DEFAULT_CAPACITY, self)

    @property
    def send(self) -> Send:
        """The function that sends an ASGI event."""
        return self._sender.send

    @property
    def _log(self) -> ConnectionLog:
        return ConnectionLog(type(self._consumer), self._consumer.scope)

    def _make_scope(self) -> anyio.CancelScope:
        """Return a shielded scope; anyio's own functions look the event loop up once more for each."""
        return type(self._tasks.cancel_scope)(shield=True)

    @property
    def is_ending(self) -> bool:
        """Whether the connection is draining or past that."""
        return self._close_request is not None

    def _on_sender_change(self, close_code: int | None) -> None:
        """Watch the open socket; of a closed one, the server has a while to report the disconnect that must follow."""
        if close_code is None:
            if self._enforcer is not None:
                self._enforcer.opened()
        elif self._close_request is None:
            if self._enforcer is not None:
                self._enforcer.stop()
            self._tasks.cancel_scope.deadline = anyio.current_time() + self._consumer.disconnect_timeout

    def _on_overflow(self) -> None:
        if self._consumer.overflow == "close":
            limit = f"{self._mailbox.layer_limit} layer messages wait"
            self._end_by_limit(LimitHit(CloseCode.TRY_AGAIN_LATER, limit, "messages come faster than you read"))

    # The ways to end

    def _end(self, request: CloseRequest, error: Exception | None = None) -> None:
        if error is not None:
            self._log.annotate(error, None)
            if self._error is None:
                self._error = error
            elif self._error is not error:
                logger.error("%s: one more error while it ends", self._log, exc_info=error)
        if self._is_finishing:  # nothing is left to end
            return
        if self._close_request is None:
            self._close_request = request
            self._mailbox.is_closed = True
            if self._enforcer is not None:
                self._enforcer.stop()
            if self._undecided is not None:
                self._undecided.stop()
            if self._tasks.cancel_scope.deadline != math.inf:
                self._tasks.cancel_scope.deadline = math.inf
            if request.drains:  # else their group is cancelled; by both, anyio would lose a native cancellation
                for scope in self._background or ():
                    scope.cancel()
        # Else nothing is left to do, and the worker finishes.
        is_busy = self._running or self._mailbox.messages or not self._mailbox.is_idle
        if is_busy:
            self._expect_end(self._consumer.cleanup_timeout / 2 + request.drains * self._consumer.disconnect_timeout)
        if not request.drains:
            self._mailbox.is_stopped = True
            self._scope.cancel()
            self._tasks.cancel_scope.cancel()
        elif is_busy:
            self._scope.deadline = anyio.current_time() + self._consumer.disconnect_timeout

    def _end_by_limit(self, hit: LimitHit) -> None:
        if self._close_request is None:
            self._end(CloseRequest(hit.code, hit.reason, rejects=True, limit=hit.limit))

    async def _guard(
        self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], message: Message | None
    ) -> None:
        """Run the application's code and turn what it raises into an ending."""
        try:
            await function(*args)
        except StopConsumer:
            if not self._is_finishing:  # when websocket_disconnect() ends with it
                self._end(CloseRequest(CloseCode.NORMAL_CLOSURE, rejects=True))
        except BaseException as error:
            await self._decide(as_failure(error, self._reader), message or getattr(function, "__qualname__", None))

    async def _fail(self, error: BaseException, message: Message) -> None:
        """Do what `_guard` does, for a handler's exception, and count a handler that was cancelled."""
        try:
            await self._decide(as_failure(error, self._reader), message)
        except BaseException:
            self._cancelled += 1
            raise

    async def _decide(self, failure: Exception, doing: Message | str | None) -> None:
        """Turn what the application raised into an ending, after asking `on_error()`.

        Args:
            failure: what was raised.
            doing: the message that was being handled, or a background task's name.
        """
        if self._ends_as_asked(failure):
            return
        failure = without_layer(failure, self._consumer)
        self._annotate(failure, doing)
        try:
            if isinstance(failure, NotAnException):
                raise failure
            await self._consumer._on_error(failure, doing if isinstance(doing, dict) else None)
        except BaseException as error:
            try:
                second = as_failure(error, self._reader)
            except BaseException:  # nobody has decided about the failure: it must not be lost
                self._end(CloseRequest(CloseCode.INTERNAL_ERROR, INTERNAL_ERROR_REASON), failure)
                raise
            if not self._ends_as_asked(second):
                self._annotate(second, doing)
                self._end(CloseRequest(CloseCode.INTERNAL_ERROR, INTERNAL_ERROR_REASON), second)

    def _annotate(self, failure: Exception, doing: Message | str | None) -> None:
        what = f"background task {doing}()" if isinstance(doing, str) else doing
        self._log.annotate(failure, what, self._consumer.show_content)

    def _ends_as_asked(self, failure: Exception) -> bool:
        """End, if the exception is a way to ask for it or tells that the client has gone; else return False."""
        match only(failure, StopConsumer, TooManyGroups, *CLOSE_EXCEPTIONS, RequestAborted):
            case StopConsumer():
                self._end(CloseRequest(CloseCode.NORMAL_CLOSURE, rejects=True))
            case TooManyGroups() as too_many:
                limit = f"more than max_groups ({too_many.max_groups})"
                self._end_by_limit(LimitHit(CloseCode.POLICY_VIOLATION, limit, "too many groups"))
            case (WebSocketDisconnect() | RequestAborted()) as gone if self._protocol != "websocket":
                self._client_has_gone(gone)
            case (InvalidFrame() | WebSocketException() | WebSocketDisconnect()) as asked if (
                self._protocol == "websocket"
            ):
                self._close_as_asked(asked)
            case _:
                return False
        return True

    def _close_as_asked(self, asked: CloseException) -> None:
        if self._sender.state is CLOSED:
            self._client_has_gone(asked)
            return
        code, reason = close_of(asked, self._sender.is_open)
        if self._close_request is None:
            self._log.closed_by_exception(asked, code)
        self._end(CloseRequest(code, reason, rejects=True))

    def _client_has_gone(self, error: Exception) -> None:
        logger.debug("%s: a handler ended because the client has gone: %r", self._log, error)

    # The ending

    def _expect_end(self, seconds: float, scope: anyio.CancelScope | None = None) -> None:
        """On asyncio, have force used if the ending takes longer; see `ForcedCancellations.expect()`."""
        if self._reader is not None:
            self._forced = cancel.of_loop(self._reader.get_loop())
            self._forced.expect(self, seconds, scope)

    def _limit_clean_up(self) -> None:
        """Limit the time that the clean-up has."""
        if self._reader is None:
            self._scope.deadline = anyio.current_time() + self._consumer.cleanup_timeout
        else:
            if self._scope.deadline != math.inf:
                self._scope.deadline = math.inf
            self._expect_end(self._consumer.cleanup_timeout, self._scope)

    async def _clean_up(self) -> None:
        """Close, wait for what still runs, and call `disconnect()`."""
        request = self._close_request
        assert request is not None
        if self._running or self._background:
            self._tasks.cancel_scope.cancel()
        self._is_finishing = True
        self._limit_clean_up()
        if self._sender.state is not CLOSED:
            await self._close(request)
        if self._running or self._background:
            await self._wait_for_tasks(self._consumer.cleanup_timeout / 2)
        if self.threads is not None:
            await self.threads.wait()
        if self._sender.state is not CLOSED:
            await self._close(request)  # a handler that outlived its cancellation may have accepted meanwhile
        self._is_disconnecting = True
        if self._connected and (message := self._disconnect_message(request)) is not None:
            await self._guard(self._consumer.dispatch, (message,), message)

    def _disconnect_message(self, request: CloseRequest) -> Message | None:
        """Return what tells the consumer of its ending, if that has a handler for it."""
        handler = events.DISCONNECT_HANDLERS.get(self._protocol)
        if handler is None or not hasattr(self._consumer, handler):
            return None
        return {"type": f"{self._protocol}.disconnect", "code": request.code, "reason": request.reason}

    def _finish(self) -> None:
        """Leave the layer, and say in the log what could not be done as it should."""
        request = self._close_request
        assert request is not None
        self._detach()
        if self._scope.cancelled_caught:
            self._log.clean_up_was_cut(self._consumer.cleanup_timeout, self._is_disconnecting)
        is_unanswered = not self._sender.answered and self._connected and self._protocol == "websocket"
        was_warned_of = self._undecided is not None and self._undecided.was_warned_of
        if request.drains and is_unanswered and not was_warned_of:
            self._log.left_unanswered()
        waiting = len(self._mailbox.messages)
        if self._taken is not None:  # which gives them back
            waiting -= len(self._taken.among(self._mailbox.messages))
        if request.limit:
            self._log.limit_hit(request.code, request.limit, self._cancelled, waiting)
        elif self._cancelled or waiting:
            self._log.dropped(request.code, self._cancelled, waiting)

    async def _close(self, request: CloseRequest) -> None:
        """Tell the client, unless somebody has: without a close frame it would see 1006."""
        if self._protocol != "websocket" or (self._sender.state is State.CONNECTING and not request.rejects):
            return
        is_unsendable = self._sender.is_open and not is_sendable(request.code)
        code = CloseCode.INTERNAL_ERROR if is_unsendable else request.code
        try:
            await self._sender.end(code, request.reason)
        except WebSocketDisconnect:
            pass
        except Exception:
            logger.exception("%s: the server refused a close frame", self._log)

    async def _wait_for_tasks(self, seconds: float) -> None:
        if await self._tasks_end(seconds):
            return
        self._log.handlers_still_run(seconds)
        if self._forced is not None:
            for _ in range(2):
                self._forced.force(self)
                if await self._tasks_end(seconds / 4):
                    return

    async def _tasks_end(self, seconds: float) -> bool:
        """Wait until no tasks run beside the worker; return False if that takes too long."""
        with anyio.move_on_after(seconds):
            while self._running or self._background:
                await self._mailbox.wait()
            return True
        return False

    def _on_force(self, places: list[str]) -> None:
        self._log.force_is_used(places)

    def _detach(self) -> None:
        layer, channel_name = self._consumer.channel_layer, self._consumer.channel_name
        if channel_name and hasattr(layer, "detach"):
            try:
                layer.detach(channel_name)
            except Exception:
                logger.exception("%s: the layer could not detach %s", self._log, channel_name)

    def _let_go(self) -> None:
        """Break the circles: what has ended is not to wait for the garbage collector, which takes its time."""
        self._sender.release()
        if self._enforcer is not None:
            self._enforcer.release()
        self._enforcer = self._mailbox.owner = None
        del self._consumer
