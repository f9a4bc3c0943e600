"""One connection's life.

The server's own task is the reader: it awaits `receive()` and nothing else. A child task, the worker, runs
`connect`, the handlers and `disconnect`; it is shielded from whatever happens to the server's task, so that
every ending, of which there are many, takes the one way through `_finish`:

    client's disconnect      ──┐ drains: waiting messages are handled, for at most `disconnect_timeout`
    handler's error          ──┤
    StopConsumer             ──┤ these cancel the handlers at once
    a limit was hit          ──┤
    the server's cancellation──┘
          → close frame → tasks and threads have ended → websocket_disconnect() → detach → the error leaves
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import anyio
from anyio.abc import TaskGroup
from starlette.websockets import WebSocketDisconnect

from . import events, handlers
from .exceptions import InvalidFrame, StopConsumer
from .failures import departure, without_cancellations
from .inbox import Inbox
from .layers.base import BaseChannelLayer
from .socket import CLOSE_TIMEOUT, Socket, State
from .types import Message, Receive, Scope, Send

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

    async def dispatch(self, message: Message) -> None: ...
    async def _on_error(self, exc: Exception, message: Message | None) -> None: ...
    async def _wait_for_threads(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Ending:
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
        self.send = self._socket.send
        self._protocol: str = consumer.scope["type"]
        self._inbox = Inbox(consumer.inbox_limit, DEFAULT_CAPACITY)
        self._ending: Ending | None = None
        self._error: Exception | None = None
        self._connected = False
        self._cancelled = 0
        self._running = 0  # handler tasks, started or about to start
        self._starting = 0  # those of them that have not taken their message yet
        self._background: set[anyio.CancelScope] = set()
        self._handlers = anyio.CancelScope()
        self._finished: anyio.Event | None = None
        self._tasks: TaskGroup

    async def run(self) -> None:
        """Live the connection's life, in the server's task.

        Raises:
            Exception: whatever a handler raised, as it was raised.
        """
        try:
            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(self._work)
                await self._read()
        finally:
            error, self._error = self._error, None
            try:
                if error is not None:
                    raise error
            finally:
                del error  # its traceback refers to this frame

    @property
    def is_ending(self) -> bool:
        """Whether the connection is draining or past that."""
        return self._ending is not None

    def start_background_task(self, function: Callable[..., Awaitable[Any]], *args: Any) -> anyio.CancelScope:
        """Run `function` until it returns or the connection ends; its exception counts as a handler's."""
        scope = anyio.CancelScope()
        if self._ending is None:
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

    # The reader

    async def _read(self) -> None:
        try:
            while True:
                message = await self._receive()
                if message.get("type") in events.DISCONNECTS:
                    self._on_disconnect(message)
                    self._finished = anyio.Event()
                    await self._finished.wait()  # here, so that a cancellation is seen while the worker drains
                    return
                if self._protocol == "channel":  # a worker's named channel: what it receives is a layer's
                    while not self._inbox.put_layer(message):
                        await self._inbox.wait_for_layer_room()
                    await self._inbox.wait_for_layer_room()  # what there is no room for stays in the layer
                    continue
                self._inbox.put_client(message)
                if self._inbox.is_full and not await self._wait_for_room():
                    return
        except Exception as error:
            self._end(Ending(events.ABNORMAL_CLOSURE), error)
        except BaseException:
            self._end(Ending(self._socket.close_code or events.SERVICE_RESTART))
            raise

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
                logger.error("%s: one more error while it ends", self._name, exc_info=error)
        if self._ending is None:
            self._ending = ending
            self._tasks.cancel_scope.deadline = float("inf")
            for scope in self._background:
                scope.cancel()
        if ending.drains:
            self._handlers.deadline = anyio.current_time() + self._consumer.disconnect_timeout
            self._inbox.notify()
        else:
            self._handlers.cancel()
            self._tasks.cancel_scope.cancel()

    def _end_by_limit(self, limit: str, reason: str) -> None:
        if self._ending is None:
            logger.warning("%s is closed with %d: %s", self._name, events.TRY_AGAIN_LATER, limit)
            self._end(Ending(events.TRY_AGAIN_LATER, reason, rejects=True))

    # The worker

    async def _work(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                with self._handlers:
                    await self._attach()
                    await self._serve()
            except Exception as error:
                self._end(Ending(events.INTERNAL_ERROR), error)
            except BaseException:
                if self._ending is None:
                    logger.info("%s ends: its worker was cancelled by something else than the server", self._name)
                self._end(Ending(events.SERVICE_RESTART))
                raise
            finally:
                await self._finish()
                if self._finished is not None:
                    self._finished.set()

    async def _attach(self) -> None:
        layer = self._consumer.channel_layer
        if layer is None:
            return
        if hasattr(layer, "attach"):
            self._consumer.channel_name = layer.attach(self.deliver)
        else:
            self._consumer.channel_name = await layer.new_channel()
            self.start_background_task(self._pump, layer, self._consumer.channel_name)
        if hasattr(layer, "get_capacity"):  # foreign layers may have none
            self._inbox.layer_limit = layer.get_capacity(self._consumer.channel_name)

    async def _pump(self, layer: BaseChannelLayer, channel_name: str) -> None:
        """Stand in for `attach()` where a foreign layer has only `receive()`; what there is no room for waits in it."""
        try:
            while True:
                await self._inbox.wait_for_layer_room()
                self.deliver(await layer.receive(channel_name))
        except Exception as error:
            self._end(Ending(events.INTERNAL_ERROR, INTERNAL_ERROR), error)

    async def _serve(self) -> None:
        inbox, max_tasks = self._inbox, self._consumer.max_tasks
        while not inbox:
            if self._ending is not None:
                return
            await inbox.wait()
        self._connected = True
        if self._protocol == "websocket":
            await self._handle(*inbox.pop())  # the connect event: first and alone
        while True:
            if max_tasks == 1:
                while inbox and not self._handlers.cancel_called:
                    await self._handle(*inbox.pop())
            else:
                while self._running < max_tasks and self._starting < len(inbox):
                    self._running += 1
                    self._starting += 1
                    self._tasks.start_soon(self._run_handler)
            if self._ending is not None and not inbox and not self._running:
                return
            await inbox.wait()

    async def _run_handler(self) -> None:
        self._starting -= 1
        try:
            if self._inbox and not self._handlers.cancel_called:
                await self._handle(*self._inbox.pop())
        finally:
            self._running -= 1
            self._inbox.notify()

    async def _run_background_task(
        self, scope: anyio.CancelScope, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]
    ) -> None:
        try:
            with scope:
                await self._guard(function, args, None)
        finally:
            self._background.discard(scope)
            self._inbox.notify()

    async def _handle(self, message: Message, from_layer: bool) -> None:
        dispatch = self._dispatch_of_layer if from_layer else self._consumer.dispatch
        try:
            await self._guard(dispatch, (message,), message)
        except BaseException:
            self._cancelled += 1
            raise

    async def _dispatch_of_layer(self, message: Message) -> None:
        if handlers.accepts(self._consumer, message, self._consumer.strict_types):
            await self._consumer.dispatch(message)

    async def _guard(
        self,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
        message: Message | None,
        last: bool = False,
    ) -> None:
        """Run the application's code and turn what it raises into an ending, after asking `on_error()`."""
        try:
            await function(*args)
        except StopConsumer:
            self._end(Ending(events.NORMAL_CLOSURE, rejects=True))
            return
        except InvalidFrame as error:
            if self._ending is None:
                # %r: the application may quote the client in its reason, line breaks and all.
                logger.warning("%s is closed with %d: %r", self._name, error.code, error.reason)
            self._end(Ending(error.code, error.reason, rejects=True))
            return
        except (Exception, BaseExceptionGroup) as error:
            failure = without_cancellations(error)
        else:
            return
        gone = departure(failure)
        if gone is not None:
            self._on_departure(gone)
        elif last:
            self._end(Ending(events.INTERNAL_ERROR, INTERNAL_ERROR), failure)
        else:
            try:
                await self._guard(self._consumer._on_error, (failure, message), message, last=True)
            except BaseException:  # nobody has decided about the failure: it must not be lost
                self._end(Ending(events.INTERNAL_ERROR, INTERNAL_ERROR), failure)
                raise

    def _on_departure(self, error: Exception) -> None:
        """Take note that a handler ended because the client has gone; from `connect()`, Starlette's way to reject."""
        pending = self._protocol == "websocket" and self._socket.state is State.CONNECTING
        if pending and isinstance(error, WebSocketDisconnect):
            self._end(Ending(error.code, error.reason, rejects=True))
        logger.debug("%s: a handler ended because the client has gone: %r", self._name, error)

    # The ending

    async def _finish(self) -> None:
        ending = self._ending
        assert ending is not None
        if self._running or self._background:
            self._tasks.cancel_scope.cancel()
        seconds = self._consumer.cleanup_timeout
        deadline = anyio.current_time() + seconds
        disconnecting = False
        try:
            with anyio.CancelScope(shield=True):
                await self._close(ending)
            with anyio.move_on_after(seconds / 2, shield=True) as waiting:
                await self._wait_for_tasks()
            if waiting.cancelled_caught:
                logger.error("%s: handlers still run %s s after they were cancelled", self._name, seconds / 2)
            with anyio.CancelScope(deadline=deadline, shield=True) as scope:
                await self._consumer._wait_for_threads()
                disconnecting = True
                if self._connected:
                    await self._disconnect(ending)
            if scope.cancelled_caught:
                self._log_cut_clean_up(disconnecting)
            self._log_unanswered(ending)
        finally:
            self._detach()
            self._log_dropped()

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
            logger.exception("%s: the server refused a close frame", self._name)

    async def _wait_for_tasks(self) -> None:
        while self._running or self._background:
            await self._inbox.wait()

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
                logger.exception("%s: the layer could not detach %s", self._name, channel_name)

    def _log_cut_clean_up(self, disconnecting: bool) -> None:
        seconds = self._consumer.cleanup_timeout
        if disconnecting:
            logger.error("%s: disconnect() was cut short: cleanup_timeout (%s s) was over", self._name, seconds)
        else:
            why = "a handler still blocks its thread after cleanup_timeout"
            logger.error("%s: disconnect() was skipped: %s (%s s)", self._name, why, seconds)

    def _log_unanswered(self, ending: Ending) -> None:
        if self._connected and ending.drains and self._protocol == "websocket" and not self._socket.answered:
            logger.warning("%s: the client left; connect() had not called accept(), close() or deny()", self._name)

    def _log_dropped(self) -> None:
        if self._cancelled or self._inbox:
            # A client that leaves before an HTTP response is complete is an everyday event.
            logger.log(
                logging.DEBUG if self._protocol == "http" else logging.WARNING,
                "%s ended with %d: handlers cancelled: %d, waiting messages dropped: %d",
                self._name,
                self._ending.code if self._ending else events.ABNORMAL_CLOSURE,
                self._cancelled,
                len(self._inbox),
            )

    @property
    def _name(self) -> str:
        """The consumer, the path and the client, for the log; `%r` keeps a client's line breaks out of it."""
        scope = self._consumer.scope
        client = scope.get("client")
        address = f" from {client[0]}:{client[1]}" if client else ""
        place = scope.get("path") or scope.get("channel", "")
        return f"{type(self._consumer).__name__} at {place!r}{address}"
