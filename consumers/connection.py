"""One connection's life.

The server's own task is the reader: it awaits `receive()` and nothing else. A child task, the worker, runs
`connect`, the handlers and `disconnect`; it is shielded from whatever happens to the server's task, so that
every ending, of which there are many, takes the one way through `_finish`:

    client's disconnect      ──┐ drains: waiting messages are handled, for at most `disconnect_timeout`
    handler's error          ──┤
    StopConsumer             ──┤ these cancel the handlers at once
    a limit was hit          ──┤
    close_group()            ──┤
    the server's cancellation──┘
          → close frame → tasks and threads have ended → websocket_disconnect() → detach → the error leaves
"""

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple, Protocol

import anyio
from anyio.abc import TaskGroup
from starlette.websockets import WebSocketDisconnect

from . import events, handlers
from .exceptions import InvalidFrame, StopConsumer
from .failures import departure, without_cancellations
from .frames import FRAME, Frames
from .inbox import Entry, Inbox
from .inline import Pausing
from .journal import Journal
from .layers.base import BaseChannelLayer
from .socket import CLOSE_TIMEOUT, Socket, State
from .types import Deliver, Message, Receive, Scope, Send
from .wake import Waker, make_waker

logger = logging.getLogger("consumers.connection")

DEFAULT_CAPACITY = 100
INTERNAL_ERROR = "internal error"  # the reason that a client sees


class Handler(Protocol):
    """What a connection needs of a consumer."""

    scope: Scope
    channel_layer: BaseChannelLayer
    channel_name: str
    max_tasks: int
    inbox_limit: int
    disconnect_timeout: float
    cleanup_timeout: float
    stall_timeout: float
    overflow: Literal["drop", "close"]
    strict_types: bool
    raw_frames: bool

    def dispatch(self, message: Message) -> Awaitable[None]: ...
    async def _on_error(self, exc: Exception, message: Message | None) -> None: ...
    async def _wait_for_threads(self) -> None: ...


class Ending(NamedTuple):
    """Why a connection ends: the close code, the reason, and what it lets happen before.

    Args:
        code: the close code that `disconnect()` gets and, where nobody has closed yet, the client.
        reason: the text that goes with it.
        drains: finish what runs and waits first.
        rejects: answer a handshake that is still pending with a rejection; else the server answers HTTP 500.
    """

    code: int
    reason: str = ""
    drains: bool = False
    rejects: bool = False


class Connection:
    """Runs one consumer for one connection.

    Args:
        consumer: the consumer, with `scope` and `channel_layer` set.
        receive: the server's ASGI `receive`.
        send: the server's ASGI `send`.
    """

    def __init__(self, consumer: Handler, receive: Receive, send: Send) -> None:
        self._consumer = consumer
        self._receive = receive
        close_timeout = min(CLOSE_TIMEOUT, consumer.cleanup_timeout / 4)
        self._socket = Socket(send, self._expect_disconnect, close_timeout, events.can_deny(consumer.scope))
        self._protocol: str = consumer.scope["type"]
        self._inbox = Inbox(consumer.inbox_limit, DEFAULT_CAPACITY)
        self._ending: Ending | None = None
        self._error: Exception | None = None
        self._connected = False
        self._cancelled = 0
        self._starting = 0  # handler tasks that have not taken their message yet
        self._background: set[anyio.CancelScope] | None = None  # most have none, and an empty set takes much memory
        self._stopped = False  # no more handlers are to start
        self._is_finishing = False
        self._known_types = handlers.known_types(type(consumer))
        self._frames: Frames | None = None
        if consumer.raw_frames and not hasattr(consumer, "websocket_send"):
            self._frames = Frames(self._socket, send, self._inbox, self.deliver, type(consumer))
        self._finished: Waker | None = None  # while the reader waits for the worker
        self._tasks: TaskGroup
        self._handlers: anyio.CancelScope

    async def run(self) -> None:
        """Live the connection's life, in the server's task.

        Raises:
            Exception: whatever a handler raised, as it was raised.
        """
        try:
            async with anyio.create_task_group() as self._tasks:
                self._handlers = self._make_scope()
                self._tasks.start_soon(self._work)
                await Pausing(self._read(), self._inbox.on_pause)
        finally:
            error, self._error = self._error, None
            try:
                if error is not None:
                    raise error
            finally:
                del error  # its traceback refers to this frame

    @property
    def send(self) -> Send:
        """The function that sends an ASGI event."""
        return self._socket.send

    @property
    def _journal(self) -> Journal:
        return Journal(type(self._consumer), self._consumer.scope)

    def _make_scope(self, deadline: float = math.inf) -> anyio.CancelScope:
        """Return a shielded scope; anyio's own functions look the event loop up once more for each."""
        return type(self._tasks.cancel_scope)(deadline=deadline, shield=True)

    @property
    def is_ending(self) -> bool:
        """Whether the connection is draining or past that."""
        return self._ending is not None

    def start_background_task(self, function: Callable[..., Awaitable[Any]], *args: Any) -> anyio.CancelScope:
        """Run `function` until it returns or the connection ends; its exception counts as a handler's."""
        scope = anyio.CancelScope()
        if self._ending is None:
            if self._background is None:
                self._background = set()
            self._background.add(scope)
            self._tasks.start_soon(self._run_background_task, scope, function, args)
        else:
            scope.cancel()
        return scope

    def deliver(self, message: Message) -> int:
        """Take a message from the channel layer; return how many wait now, or 0 if that are too many to take it."""
        if self._ending is not None:
            return 1
        waiting = self._inbox.put_layer(message)
        if not waiting and self._consumer.overflow == "close":
            self._end_by_limit(f"{self._inbox.layer_limit} layer messages wait", "messages come faster than you read")
        return waiting

    def close_by_group(self, code: int, reason: str) -> None:
        """End at once, because a group that this connection is in was closed."""
        if self._ending is None:
            self._journal.closed_by_group(code, reason)
        self._end(Ending(code, reason, rejects=True))

    # The reader

    async def _read(self) -> None:
        """Put the client's messages into the inbox until it disconnects, or is to be read no more."""
        receive, inbox, disconnects = self._receive, self._inbox, events.DISCONNECTS
        try:
            if self._protocol == "channel":
                message = await self._read_channel()
            else:
                while (message := await receive()).get("type") not in disconnects:
                    if inbox.put_client(message) and not await self._wait_for_room():
                        return
            self._on_disconnect(message)
            self._finished = make_waker()
            await self._finished.wait()  # here, so that a cancellation is seen while the worker drains
        except Exception as error:
            self._end(Ending(events.ABNORMAL_CLOSURE), error)
        except BaseException:
            self._end(Ending(self._socket.close_code or events.SERVICE_RESTART))
            raise

    async def _read_channel(self) -> Message:
        """Put the messages of a worker's named channel, which are a layer's, into the inbox until the worker stops."""
        while (message := await self._receive()).get("type") not in events.DISCONNECTS:
            while not self._inbox.put_layer(message):
                await self._inbox.wait_for_layer_room()
            await self._inbox.wait_for_layer_room()  # what there is no room for stays in the layer
        return message

    def _on_disconnect(self, message: Message) -> None:
        code = message.get("code")
        code = events.NO_STATUS_RECEIVED if code is None else code
        self._socket.lost(code)
        drains = code != events.SERVICE_RESTART  # uvicorn's shutdown
        self._end(Ending(code, message.get("reason") or "", drains=drains))

    async def _wait_for_room(self) -> bool:
        with anyio.move_on_after(self._consumer.stall_timeout):
            await self._inbox.wait_for_room()
            return True
        self._end_by_limit(
            f"no message was taken for {self._consumer.stall_timeout} s while {len(self._inbox)} wait",
            "the server is busy with your earlier messages",
        )
        return False

    def _expect_disconnect(self, code: int) -> None:
        """Give the server a while to report the disconnect that must follow now; then end without it."""
        if self._ending is None:
            self._tasks.cancel_scope.deadline = anyio.current_time() + self._consumer.disconnect_timeout

    # The ways to end

    def _end(self, ending: Ending, error: Exception | None = None) -> None:
        if error is not None:
            if self._error is None:
                self._error = error
            elif self._error is not error:
                logger.error("%s: one more error while it ends", self._journal, exc_info=error)
        if self._is_finishing:  # nothing is left to end
            return
        if self._ending is None:
            self._ending = ending
            if self._frames is not None:
                self._frames.stop()
            if self._tasks.cancel_scope.deadline != math.inf:
                self._tasks.cancel_scope.deadline = math.inf
            if ending.drains:  # else their group is cancelled; by both, anyio would lose a native cancellation
                for scope in self._background or ():
                    scope.cancel()
        if ending.drains:
            if self._inbox.running or not self._inbox.is_awaited:  # else nothing is being handled
                self._handlers.deadline = anyio.current_time() + self._consumer.disconnect_timeout
            self._inbox.is_closed = True
        else:
            self._stopped = True
            self._handlers.cancel()
            self._tasks.cancel_scope.cancel()

    def _end_by_limit(self, limit: str, reason: str) -> None:
        if self._ending is None:
            self._journal.limit_hit(events.TRY_AGAIN_LATER, limit)
            self._end(Ending(events.TRY_AGAIN_LATER, reason, rejects=True))

    # The worker

    async def _work(self) -> None:
        """Serve, then finish; each in a shield against what happens to the server's task."""
        try:
            with self._handlers:
                await self._attach()
                if await self._serve_first():
                    in_turn = self._consumer.max_tasks == 1
                    await (self._serve_in_turn() if in_turn else self._serve_at_once(self._consumer.max_tasks))
        except Exception as error:
            self._end(Ending(events.INTERNAL_ERROR), error)
        except BaseException:
            if self._ending is None:
                logger.info("%s ends: its worker was cancelled by something else than the server", self._journal)
            self._end(Ending(events.SERVICE_RESTART))
            raise
        finally:
            await self._finish()
            if self._finished is not None:
                self._finished.wake()

    async def _attach(self) -> None:
        layer = self._consumer.channel_layer
        if layer is None:
            return
        deliver = self.deliver if self._frames is None else self._frames.deliver
        if hasattr(layer, "attach"):
            close = (self.close_by_group,) if hasattr(layer, "close_group") else ()  # foreign layers may lack it
            self._consumer.channel_name = layer.attach(deliver, *close)
        else:
            self._consumer.channel_name = await layer.new_channel()
            self.start_background_task(self._pump, layer, deliver)
        if hasattr(layer, "get_capacity"):  # foreign layers may have none
            self._inbox.layer_limit = layer.get_capacity(self._consumer.channel_name)

    async def _pump(self, layer: BaseChannelLayer, deliver: Deliver) -> None:
        """Stand in for `attach()` where a foreign layer has only `receive()`; what there is no room for waits in it."""
        try:
            while True:
                await self._inbox.wait_for_layer_room()
                deliver(await layer.receive(self._consumer.channel_name))
        except Exception as error:
            self._end(Ending(events.INTERNAL_ERROR, INTERNAL_ERROR), error)

    async def _serve_first(self) -> bool:
        """Handle the event that opens a WebSocket, alone; return False if the connection ends before anything came."""
        while not self._inbox.messages:
            if self._ending is not None:
                return False
            await self._inbox.wait()
        self._connected = True
        if self._protocol == "websocket":
            await self._handle(self._inbox.pop())
            if self._frames is not None:
                self._frames.start_early()
        return True

    async def _serve_in_turn(self) -> None:
        inbox, messages, consumer = self._inbox, self._inbox.messages, self._consumer
        while True:
            while messages and not self._stopped:
                entry = inbox.pop()
                try:  # as _handle(), without the cost of one more coroutine
                    if isinstance(entry, tuple):
                        await consumer.dispatch(entry[0])
                    elif (handler := self._handler_of(entry)) is not None:
                        await handler(entry)
                except BaseException as error:
                    await self._fail(error, entry)
            if self._ending is not None and not messages:
                return
            await inbox.wait()

    async def _serve_at_once(self, max_tasks: int) -> None:
        while True:
            while self._inbox.running < max_tasks and self._starting < len(self._inbox.messages):
                self._inbox.running += 1
                self._starting += 1
                self._tasks.start_soon(self._run_handler)
            if self._ending is not None and not self._inbox.messages and not self._inbox.running:
                return
            await self._inbox.wait()

    async def _run_handler(self) -> None:
        self._starting -= 1
        try:
            if self._inbox.messages and not self._stopped:
                await self._handle(self._inbox.pop())
        finally:
            self._inbox.running -= 1
            self._inbox.notify()

    async def _run_background_task(
        self, scope: anyio.CancelScope, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope:
                await self._guard(function, args, None)
        finally:
            if self._background is not None:
                self._background.discard(scope)
            self._inbox.notify()

    async def _handle(self, entry: Entry) -> None:
        try:
            if isinstance(entry, tuple):
                await self._consumer.dispatch(entry[0])
            elif (handler := self._handler_of(entry)) is not None:
                await handler(entry)
        except BaseException as error:
            await self._fail(error, entry)

    def _handler_of(self, message: Message) -> Callable[[Message], Awaitable[None]] | None:
        """Return what handles a layer's message; None if nothing does."""
        kind = message.get("type")
        if type(kind) is str and kind in self._known_types:
            return self._consumer.dispatch
        if kind == FRAME and self._frames is not None:
            return self._frames.send
        if handlers.accepts(self._consumer, message, self._consumer.strict_types):
            return self._consumer.dispatch
        return None

    async def _guard(
        self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], message: Message | None
    ) -> None:
        """Run the application's code and turn what it raises into an ending."""
        try:
            await function(*args)
        except (Exception, BaseExceptionGroup) as error:
            await self._decide(error, message)

    async def _fail(self, error: BaseException, entry: Entry) -> None:
        """Do what `_guard` does, for a handler's exception, and count a handler that was cancelled."""
        message = entry[0] if isinstance(entry, tuple) else entry
        try:
            if not isinstance(error, Exception | BaseExceptionGroup):
                raise error
            await self._decide(error, message)
        except BaseException:
            self._cancelled += 1
            raise

    async def _decide(self, error: Exception | BaseExceptionGroup[BaseException], message: Message | None) -> None:
        """Turn what the application raised into an ending, after asking `on_error()`."""
        failure = self._end_as_asked(error)
        if failure is None:
            return
        try:
            await self._consumer._on_error(failure, message)
        except (Exception, BaseExceptionGroup) as second:
            failure = self._end_as_asked(second)
            if failure is not None:
                self._end(Ending(events.INTERNAL_ERROR, INTERNAL_ERROR), failure)
        except BaseException:  # nobody has decided about the failure: it must not be lost
            self._end(Ending(events.INTERNAL_ERROR, INTERNAL_ERROR), failure)
            raise

    def _end_as_asked(self, error: Exception | BaseExceptionGroup[BaseException]) -> Exception | None:
        """End, if the exception is a way to ask for it or tells that the client has gone; return any other one."""
        if isinstance(error, StopConsumer):
            self._end(Ending(events.NORMAL_CLOSURE, rejects=True))
            return None
        if isinstance(error, InvalidFrame):
            if self._ending is None:
                self._journal.refused(error.code, error.reason)
            self._end(Ending(error.code, error.reason, rejects=True))
            return None
        failure = without_cancellations(error)
        gone = departure(failure)
        if gone is None:
            return failure
        self._on_departure(gone)
        return None

    def _on_departure(self, error: Exception) -> None:
        """Take note that a handler ended because the client has gone; from `connect()`, Starlette's way to reject."""
        pending = self._protocol == "websocket" and self._socket.state is State.CONNECTING
        if pending and isinstance(error, WebSocketDisconnect):
            self._end(Ending(error.code, error.reason, rejects=True))
        logger.debug("%s: a handler ended because the client has gone: %r", self._journal, error)

    # The ending

    async def _finish(self) -> None:
        ending = self._ending
        assert ending is not None
        if self._inbox.running or self._background:
            self._tasks.cancel_scope.cancel()
        self._is_finishing = True
        seconds = self._consumer.cleanup_timeout
        disconnecting = False
        try:
            with self._make_scope(anyio.current_time() + seconds) as scope:
                await self._close(ending)
                if self._inbox.running or self._background:
                    await self._wait_for_tasks(seconds / 2)
                await self._consumer._wait_for_threads()
                await self._close(ending)  # a handler that outlived its cancellation may have accepted meanwhile
                disconnecting = True
                if self._connected:
                    await self._disconnect(ending)
            if scope.cancelled_caught:
                self._journal.clean_up_was_cut(seconds, disconnecting)
            if self._connected and ending.drains and self._protocol == "websocket" and not self._socket.answered:
                self._journal.left_unanswered()
        finally:
            self._detach()
            if self._frames is not None:
                self._frames.give_up(self._inbox.messages)
            if self._cancelled or self._inbox.messages:
                self._journal.dropped(ending.code, self._cancelled, len(self._inbox.messages))

    async def _close(self, ending: Ending) -> None:
        """Tell the client, unless somebody has: without a close frame it would see 1006."""
        state = self._socket.state
        if self._protocol != "websocket" or state is State.CLOSED:
            return
        if state is State.CONNECTING and not ending.rejects:
            return
        code = ending.code if events.is_sendable(ending.code) else events.INTERNAL_ERROR
        try:
            await self.send(events.close(code, ending.reason))
        except WebSocketDisconnect:
            pass
        except Exception:
            logger.exception("%s: the server refused a close frame", self._journal)

    async def _wait_for_tasks(self, seconds: float) -> None:
        with anyio.move_on_after(seconds) as waiting:
            while self._inbox.running or self._background:
                await self._inbox.wait()
        if waiting.cancelled_caught:
            self._journal.handlers_still_run(seconds)

    async def _disconnect(self, ending: Ending) -> None:
        kind = f"{self._protocol}.disconnect"
        if kind in events.DISCONNECTS and hasattr(self._consumer, kind.replace(".", "_")):
            message = {"type": kind, "code": ending.code, "reason": ending.reason}
            await self._guard(self._consumer.dispatch, (message,), message)

    def _detach(self) -> None:
        layer, channel_name = self._consumer.channel_layer, self._consumer.channel_name
        if channel_name and hasattr(layer, "detach"):
            try:
                layer.detach(channel_name)
            except Exception:
                logger.exception("%s: the layer could not detach %s", self._journal, channel_name)
