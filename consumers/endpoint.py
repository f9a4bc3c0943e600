"""`BaseWSEndpoint`: a Starlette `WebSocketEndpoint` with a background task for every message of the client.

One connection is two tasks, and those of its `task_group`:

    the server's task          dispatch()    waits; a server can cancel no other one
    └── the keeper             _keep()       on_connect(), reads; when the others have ended, on_disconnect()
        ├── background tasks   _run()        one for each message, started by on_receive()
        └── tasks of the application's own, started in task_group

A shield does not stop a server's native `Task.cancel()`. So that reaches a task that only waits, and ends its group.
"""

import logging
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Any, Literal

import anyio
from anyio.abc import TaskGroup
from starlette.websockets import WebSocket, WebSocketDisconnect

from . import limits
from ._aio import cancel
from ._aio.budget import ByteBudget
from ._checks.misused import StarletteEndpoint
from ._connection import events, open_connections
from ._connection.client import ClientWebSocket
from ._connection.close_codes import asks_to_close, close_of, code_to_send
from ._connection.enforce import LimitHit, make_enforcer
from ._connection.failures import HOW_TO_END, NotAnException, as_failure
from ._connection.log import ConnectionLog
from ._connection.sender import State
from ._connection.task_group import EndpointTaskGroup
from ._observing import observed
from .types import CloseCode, Message, Receive, Scope, Send

logger = logging.getLogger("consumers.endpoint")
SERVER_LEAVES = (CloseCode.SERVICE_RESTART, "The server is going away")


class BaseWSEndpoint(limits.Limits, StarletteEndpoint):
    """Runs `_background_handler()` in a task of its own for every message of the client, finite or infinite.

    All tasks of a connection live in one TaskGroup. A handler that returns ends alone. The client's disconnect,
    `websocket.close()` and an exception that `_handle_background_task_exception()` does not swallow cancel all of them.

    - An exception closes with 1011, or with HTTP 500 before the accept. It leaves as it was raised, in no group.
    - `WebSocketDisconnect`, Starlette's `WebSocketException` and `InvalidFrame` close with their own code and reason,
      from any method and task, and so does an ExceptionGroup of nothing else. The log has one line, and no traceback. A
      code that no close frame may carry is 1011 instead. Before the accept they reject the client (HTTP 403).
    - A send to a client that has gone raises `WebSocketDisconnect`, too. Leaving a method with that is no error.
    - `on_disconnect(websocket, close_code)` runs exactly once if `on_connect()` started, after all tasks have ended,
      also when the server cancels the connection (1012). A second `websocket.close()` does nothing.

    The further limits, which are off, are those of `consumers.limits.Limits`; `max_groups` is for consumers only.
    """

    encoding: Literal["text", "bytes", "json"] | None = None
    """What `_background_handler()` gets: "text" (str), "bytes", "json" (the parsed value), or None.
    None, the default, is str or bytes as they come. Data of the wrong kind closes with 1003, data that does not parse
    with 1007; one line is logged.
    """

    max_tasks: int = 100
    """How many background tasks may run at once (100). One more message is read and waits; then reading stops."""

    inbox_bytes: int = 4 * 1024 * 1024
    """How many bytes of messages those tasks may hold before reading stops (4 MiB). One larger message is read."""

    stall_timeout: float = 30.0
    """Seconds that a message may wait for a free task, and a close frame for a client that does not read (30.0).

    Then the connection ends with 1013, since meanwhile a disconnect cannot be seen.
    """

    EXIT_MAX_DELAY: float = 60.0
    """Seconds for each hook that runs shielded: `on_disconnect()`, the exception hook, unregistering (60.0)."""

    task_group: TaskGroup
    """The connection's TaskGroup, as anyio's, from `on_connect()` on.

    What a method starts in it lives at most as long as the connection: it is cancelled with all else, and
    `on_disconnect()` waits for it. An exception of such a task ends the connection; it has no `task_id`, so no hook is
    asked. Cancelling the group by hand is an error: `websocket.close()` says what the client is to see.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(scope, receive, send)
        if self.encoding not in events.ENCODINGS:
            allowed = ", ".join(map(repr, events.ENCODINGS))
            raise ValueError(f"{type(self).__name__}.encoding is {self.encoding!r}: use one of {allowed}")
        limits.check(type(self))
        self._log = ConnectionLog(type(self), scope, logger)
        self._enforcer = make_enforcer(self, self._limit_hit, send)
        self._connected = False
        self._state = State.CONNECTING
        self._running = 0
        self._budget = ByteBudget(self.inbox_bytes, self.max_tasks)
        self._arrived = 0  # the size of the message that on_receive() is called for; 0 once it has taken that over
        self._task_ended = anyio.Event()
        self._ending: tuple[int, str] | None = None
        self._error: Exception | None = None
        self._server: cancel.Task | None  # on asyncio
        self._is_watched = False
        self.own_tasks: set[cancel.Task] = set()  # the keeper, whose groups have all others

    # To override.

    async def _background_handler(self, task_id: str, websocket: WebSocket, data: Any) -> Any:
        """Handle one message of the client, in a task of its own. Override it.

        Args:
            task_id: names this task in all four hooks; random, so that it is unique and cannot be guessed.
            websocket: the connection. Several tasks may send at once: each frame is whole, their order is open.
            data: the message, as `encoding` says.

        Returns:
            What `_unregister_background_task()` gets, whatever it is.
        """
        raise NotImplementedError(f"{type(self).__name__} needs a method `_background_handler`")

    async def _register_background_task(self, task_id: str, websocket: WebSocket, data: Any) -> None:
        """Prepare for a task that is about to start. Does nothing unless overridden.

        Runs in order of the messages' arrival, before anything more is read, so decisions that depend on
        order belong here (tasks may start in any order). Together with the wait for a free place it may take
        `stall_timeout`. An exception refuses the task: it goes to `_handle_background_task_exception()`, the
        handler does not run and nothing is unregistered.
        """

    async def _unregister_background_task(self, task_id: str, websocket: WebSocket, task_result: Any) -> None:
        """Clean up after a task. Does nothing unless overridden.

        Runs once for every task whose `_register_background_task()` returned, shielded, for at most
        `EXIT_MAX_DELAY`. An exception ends the connection as a handler's would.

        Args:
            task_id: which task ended.
            websocket: the connection, which may be closed.
            task_result: what the handler returned; None after an exception or a cancellation.
        """

    async def _handle_background_task_exception(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
        """Decide about an exception of a task. Re-raises it unless overridden.

        Returning swallows `exc`: nothing is cancelled and the connection lives on. Raising, `exc` or another
        exception, ends the connection with it. Runs shielded, for at most `EXIT_MAX_DELAY`, after which `exc`
        counts as raised. `WebSocketDisconnect`, `InvalidFrame` and Starlette's `WebSocketException` do not
        come here. A cancellation that a task raises by itself comes as a RuntimeError.
        """
        raise exc

    async def accept(self, websocket: WebSocket) -> None:
        """Accept the client; `on_connect()` calls it. Override it to choose a subprotocol or to send headers."""
        await websocket.accept()

    async def _receive(self, websocket: WebSocket) -> Message:
        """Wait for the client's next event and return it. Override it to do something while the client is silent.
        A timeout around it, such as `anyio.move_on_after()`, loses no message.

        Returns:
            An ASGI event. "websocket.disconnect", with its code, ends the connection.
        """
        return await websocket.receive()

    # Starlette's interface.

    async def on_connect(self, websocket: WebSocket) -> None:
        """Accept the client, by `accept()`. Override it to check who it is, and to prepare."""
        await self.accept(websocket)

    async def dispatch(self) -> None:
        """Run the connection from `on_connect()` to `on_disconnect()`.

        Raises:
            Exception: what ended the connection, if an exception did.
        """
        here = open_connections.here()
        if await here.refuses(self.scope, self.send):
            return
        self._server = cancel.current_task()
        try:
            async with anyio.create_task_group() as self._keeping:
                here.add(self)
                self._keeping.start_soon(cancel.run_noted, self.own_tasks, self._keep)
                try:
                    await anyio.Event().wait()  # until the group is cancelled: the keeper does so, at the latest
                finally:
                    self._is_watched = self._server is not None
                    self._expect_the_end()
        except anyio.get_cancelled_exc_class():
            # A test client cancels as soon as it has seen the close frame. The test should see the error still.
            if self._error is None:
                raise
        finally:
            here.discard(self)
            cancel.forget(self, self._server)
        if self._error is not None:
            raise self._error

    async def on_receive(self, websocket: WebSocket, data: Any) -> None:
        """Start a background task for `data`, as soon as fewer than `max_tasks` are running.

        Runs for every message of the client. Call it, in `on_connect()` for instance, to start a task that
        the client did not ask for. It starts none when the connection is ending.
        """
        size, self._arrived = self._arrived, 0
        if self._ending is not None:
            return
        with anyio.move_on_after(self.stall_timeout) as patience:
            while self._running >= self.max_tasks or self._budget.is_spent:
                await self._task_ended.wait()
            self._running += 1
            self._budget.take(size)
            task_id = token_hex(16)
            registered = False
            try:
                await self._register_background_task(task_id, websocket, data)
                registered = True
            except BaseException as exc:
                await self._task_failed(task_id, websocket, as_failure(exc, self._server))
            finally:
                if not registered:
                    self._release(size)
            if registered:
                self.task_group.start_soon(self._run, task_id, websocket, data, size)
        if patience.cancelled_caught:
            why = "their messages have inbox_bytes" if self._budget.is_spent else f"max_tasks is {self.max_tasks}"
            limit = f"a message waited {self.stall_timeout:g} s, with {self._running} tasks running: {why}"
            self._limit_hit(LimitHit(CloseCode.TRY_AGAIN_LATER, limit, "Too many messages"))

    async def decode(self, websocket: WebSocket, message: Message) -> Any:
        """Return the data of a `websocket.receive` event as `encoding` says.

        Raises:
            InvalidFrame: it is of another kind (1003) or does not parse (1007).
        """
        return events.data_of(message, self.encoding)

    # The keeper.

    async def _keep(self) -> None:
        """Live the connection's life, whatever happens to the server's own task."""
        if self._enforcer is not None:
            self._enforcer.start(self._keeping)
        websocket = ClientWebSocket(self.scope, self.receive, self.send, self, self._enforcer, self, self.stall_timeout)
        self._observer = websocket.observer
        try:
            with anyio.CancelScope() as scope:
                async with anyio.create_task_group() as group:
                    self.task_group = EndpointTaskGroup(group, scope, self._own_task_failed)
                    try:
                        await self._serve(websocket)
                    finally:
                        if scope.cancel_called and self._ending is None:
                            self._fail(RuntimeError(f"{type(self).__name__}.task_group was cancelled: {HOW_TO_END}"))
                        self._keeping.cancel_scope.cancel()
                        await self._close(websocket)
        finally:
            self._keeping.cancel_scope.cancel()
            try:
                await self._close(websocket)  # a task that outlived its cancellation may have accepted meanwhile
            finally:
                self._ending = self._ending or SERVER_LEAVES
                await self._shielded(websocket.last(self.on_disconnect), websocket, self._ending[0])

    async def _serve(self, websocket: ClientWebSocket) -> None:
        """Connect and read, until the connection ends."""
        try:
            await observed(self._observer, "on_connect", self.on_connect)(websocket)
            self._connected = True
            while self._ending is None:
                await self._handle_event(websocket, await self._receive(websocket))
        except BaseException as exc:
            self._fail(as_failure(exc, self._server), "reading" if self._connected else "on_connect()")

    async def _handle_event(self, websocket: ClientWebSocket, message: Message) -> None:
        """Act on what `_receive()` returned, which an application may have made up."""
        kind = message["type"]
        if kind == "websocket.disconnect":
            self._end(message.get("code") or CloseCode.NO_STATUS_RECEIVED, message.get("reason") or "")
        elif kind not in ("websocket.receive", "websocket.connect"):
            raise ValueError(f"_receive() returned an event of type {kind!r}: return what websocket.receive() returns")
        elif kind == "websocket.receive" and self._ending is None:
            self._arrived = self._budget.size_of(message)
            await self.on_receive(websocket, await self.decode(websocket, message))
            self._arrived = 0

    async def _close(self, websocket: ClientWebSocket) -> None:
        """Tell the client why the connection ends, unless it has been told or has gone."""
        code, reason = self._ending or SERVER_LEAVES
        # An exception before the accept makes the server answer HTTP 500, unless something else has ended the
        # connection first: a close would make that 403.
        is_failure = self._error is not None and code == CloseCode.INTERNAL_ERROR
        if self._state is State.OPEN:
            self._ending = code, reason = code_to_send(code, is_open=True), reason  # it was chosen before the accept
            await self._shielded(websocket.end, code, reason)
        elif self._state is State.CONNECTING and self._ending and not is_failure:
            await self._shielded(websocket.end, code, reason)

    # The background tasks.

    async def _run(self, task_id: str, websocket: WebSocket, data: Any, size: int) -> None:
        result = None
        try:
            try:
                handler = observed(self._observer, "_background_handler", self._background_handler)
                result = await handler(task_id, websocket, data)
            except BaseException as exc:
                await self._task_failed(task_id, websocket, as_failure(exc, self._server))
            finally:
                await self._shielded(self._unregister_background_task, task_id, websocket, result)
        finally:
            self._release(size)

    async def _task_failed(self, task_id: str, websocket: WebSocket, exc: Exception) -> None:
        self._log.annotate(exc, f"background task {task_id}")
        is_decided = asks_to_close(exc) is not None or isinstance(exc, NotAnException)
        if is_decided or not await self._shielded(self._handle_background_task_exception, task_id, websocket, exc):
            self._fail(exc)

    def _own_task_failed(self, exc: BaseException, name: str) -> None:
        """End the connection because of a task that the application has started in `task_group`."""
        self._fail(as_failure(exc, self._server), f"task {name}")

    def _release(self, size: int) -> None:
        self._running -= 1
        self._budget.give_back(size)
        self._task_ended.set()
        self._task_ended = anyio.Event()

    # The ending.

    async def _shielded(self, function: Callable[..., Awaitable[object]], *args: Any) -> bool:
        """Await `function(*args)`, whatever is cancelled meanwhile. Return False if it was cut off."""
        name = getattr(function, "__name__", function)
        self._expect_the_end()
        is_over = False
        with anyio.move_on_after(self.EXIT_MAX_DELAY, shield=True) as limit:
            try:
                await function(*args)
                is_over = True
            except BaseException as exc:
                is_over = not limit.cancel_called  # which asyncio's force may have overtaken
                if not is_over:
                    logger.error("%s.%s was cut off after %g s", type(self).__name__, name, self.EXIT_MAX_DELAY)
                self._fail(as_failure(exc, self._server), None if any(arg is exc for arg in args) else f"{name}()")
        return is_over

    def _expect_the_end(self) -> None:
        """While it ends, let what runs have the time that two hooks may take, one after the other, from now on."""
        if self._is_watched and self._server is not None:
            cancel.of_loop(self._server.get_loop()).expect(self, 2 * self.EXIT_MAX_DELAY)

    def _on_force(self, places: list[str]) -> None:
        self._log.force_is_used(places)

    def _fail(self, exc: Exception, doing: str | None = None) -> None:
        """End the connection because of `exc`, unless the client has gone, which is no error; note what raised it."""
        asked = asks_to_close(exc)
        if asked is not None:
            if isinstance(asked, WebSocketDisconnect) and self._state is State.CLOSED:
                return
            code, reason = close_of(asked, self._state is State.OPEN)
            if self._ending is None:
                self._log.closed_by_exception(asked, code)
            self._end(code, reason)
        elif self._error is None:
            self._error = exc
            self._log.annotate(exc, doing)
            self._end(CloseCode.INTERNAL_ERROR, "Internal error")
        elif self._error is not exc:
            self._log.annotate(exc, doing)
            logger.error("%s: another exception while it was ending", self._log, exc_info=exc)

    def _end(self, code: int, reason: str = "", cancels: bool = True) -> None:
        """End the connection. The first `code` and `reason` count."""
        self._ending = self._ending or (code, reason)
        if self._enforcer is not None:
            self._enforcer.stop()
        if cancels:
            self._keeping.cancel_scope.cancel()

    def _drain(self, reason: str, at_once: bool) -> None:
        self._end(CloseCode.SERVICE_RESTART, reason)

    def _limit_hit(self, hit: LimitHit) -> None:
        if self._ending is None:
            self._log.limit_hit(hit.code, hit.limit)
            self._end(hit.code, hit.reason)

    def _on_sender_change(self, code: int | None) -> None:
        """Hear that the application accepted the client or, with a code, closed the socket, or that it has gone."""
        was_open = self._state is State.OPEN
        self._state = State.OPEN if code is None else State.CLOSED
        if code is not None:
            # An on_connect() that rejects the client may finish what it is doing.
            self._end(code, cancels=was_open or self._connected)
        elif self._enforcer is not None:
            self._enforcer.opened()
