"""An application in a task of its own, and the test's end of the line to it."""

import asyncio
import contextlib
import contextvars
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Protocol
from urllib.parse import unquote, urlsplit

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled

from ..types import ASGIApp, Message, Scope

Headers = Iterable[tuple[bytes, bytes]]


class ApplicationCommunicator:
    """Runs an ASGI application in a task of its own and exchanges messages with it.

    The application starts at the first call, with no context variables set. It ends by itself, by `stop()` or
    by a `wait()` that times out; one that a test forgets is cancelled when the communicator is collected.

    What the application raises is raised by the next call here: at once, also where a call is already waiting.
    Messages that it sent before come first.

    Args:
        application: the ASGI application.
        scope: the connection scope to call it with.
    """

    _run: "Run | None" = None

    def __init__(self, application: ASGIApp, scope: Scope) -> None:
        self.application = application
        self.scope = scope

    async def send_input(self, message: Message) -> None:
        """Send one message to the application, without waiting until it is received.

        Args:
            message: an ASGI event.

        Raises:
            Exception: what the application raised, if it has.
        """
        run = self._started()
        await checkpoint()
        run.raise_error()
        run.put(run.inputs, message)

    async def receive_output(self, timeout: float | None = 1) -> Message:
        """Return the next message from the application.

        Args:
            timeout: seconds to wait for it; None waits without a limit.

        Raises:
            TimeoutError: nothing came in time. The application lives on.
            RuntimeError: the application has ended, so nothing will come.
            Exception: what the application raised instead.
        """
        run = self._started()
        if not await run.within(timeout, lambda: run.outputs or run.ended):
            raise TimeoutError(f"The application sent nothing within {timeout} s; it is still running.")
        if run.outputs:
            return run.outputs.popleft()
        run.raise_error()
        raise RuntimeError("The application has ended: it sends nothing any more.")

    async def receive_nothing(self, timeout: float | None = 0.1, interval: float = 0.01) -> bool:
        """Tell whether the application sends nothing for a while, or has ended. A message that came is kept.

        Args:
            timeout: seconds to listen.
            interval: not needed here, nothing is polled; Channels has it.

        Raises:
            Exception: what the application raised meanwhile.
        """
        run = self._started()
        await run.within(timeout, lambda: run.outputs or run.ended)
        if not run.outputs:
            run.raise_error()
        return not run.outputs

    async def wait(self, timeout: float | None = 1) -> None:
        """Wait until the application has ended; cancel it when it takes too long.

        Args:
            timeout: seconds to wait before cancelling; None waits without a limit.

        Raises:
            TimeoutError: the application had to be cancelled. It has ended when this is raised.
            Exception: what the application raised.
        """
        run = self._started()
        if not await run.within(timeout, lambda: run.ended):
            run.cancel()
            await run.within(None, lambda: run.ended)
            raise TimeoutError(f"The application did not end within {timeout} s; it was cancelled.") from run.error
        run.raise_error()

    def stop(self, exceptions: bool = True) -> None:
        """Cancel the application, without waiting until it has ended.

        Args:
            exceptions: raise what the application raised, if it has ended with an error.
        """
        if self._run is None:
            return
        if not self._run.ended:
            self._run.cancel()
        elif exceptions:
            self._run.raise_error()

    async def _raise_error_behind(self, message: Message, timeout: float | None) -> None:
        """Raise what the application raised, if `message` is the close frame that announces it."""
        # 1011 says that the application failed (RFC 6455, 7.4.1). The exception, which follows, says why.
        if message["type"] == "websocket.close" and message.get("code") == 1011:
            run = self._started()
            await run.within(timeout, lambda: run.ended)
            run.raise_error()

    async def _receive_body(self, kind: str, timeout: float | None) -> bytes:
        body, more = b"", True
        while more:
            part = expect(kind, await self.receive_output(timeout))
            body += part.get("body", b"")
            more = part.get("more_body", False)
        return body

    def __del__(self) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed, and the task with it
            self.stop(exceptions=False)

    def _started(self) -> "Run":
        if self._run is None:
            self._run = self._make_run()
        return self._run

    def _make_run(self) -> "Run":
        return Run(self.application, self.scope)


class Run:
    """The application's end. Its task refers to this and not to the communicator, which a test may forget."""

    def __init__(self, application: ASGIApp, scope: Scope) -> None:
        self.inputs: deque[Message] = deque()
        self.outputs: deque[Message] = deque()
        self.ended = False
        self.error: BaseException | None = None
        self._changed = anyio.Event()

        async def run() -> None:
            await application(scope, self.receive, self.send)

        self.task = _spawn(run, self._end)

    def cancel(self) -> None:
        self.task.cancel()

    def put(self, queue: deque[Message], message: Message) -> None:
        queue.append(message)
        self._wake()

    async def within(self, timeout: float | None, condition: Callable[[], object]) -> bool:
        """Wait until the condition holds, for at most `timeout` seconds. Return whether it does."""
        with anyio.move_on_after(timeout):
            await self.until(condition)
        return bool(condition())

    def raise_error(self) -> None:
        if self.error is not None:
            raise self.error

    async def receive(self) -> Message:
        await checkpoint()
        await self.until(lambda: self.inputs)
        return self.inputs.popleft()

    async def send(self, message: Message) -> None:
        # The checkpoint comes first: what sends and then raises has done both when the test wakes up.
        await checkpoint()
        self.put(self.outputs, message)

    async def until(self, condition: Callable[[], object]) -> None:
        while not condition():
            await self._changed.wait()
            # On asyncio a timeout does not reach a task that is woken in every turn of the loop.
            await checkpoint_if_cancelled()

    def _end(self, error: BaseException | None) -> None:
        self.ended, self.error = True, error
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()


class _Cancellable(Protocol):
    def cancel(self) -> Any: ...


def _spawn(
    function: Callable[[], Coroutine[Any, Any, None]], ended: Callable[[BaseException | None], None]
) -> _Cancellable:
    """Run `function` in a task of the event loop's own, without context variables.

    A task group would have to be entered and left by the test.

    Args:
        function: what to run.
        ended: called once at the end, with the exception or None; no exception goes anywhere else.

    Returns:
        asyncio's task; on trio a scope to cancel it by.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return _spawn_on_trio(function, ended)
    task = loop.create_task(function(), context=contextvars.Context())
    task.add_done_callback(lambda task: ended(None if task.cancelled() else task.exception()))
    return task


def _spawn_on_trio(
    function: Callable[[], Coroutine[Any, Any, None]], ended: Callable[[BaseException | None], None]
) -> _Cancellable:
    import trio

    scope = trio.CancelScope()

    async def run() -> None:
        error: BaseException | None = None
        try:
            with scope:
                await function()
        except BaseException as exc:  # one that left a system task would end the whole event loop
            error = exc
        ended(error)

    trio.lowlevel.spawn_system_task(run, context=contextvars.Context())
    return scope


def connection_scope(kind: str, path: str, headers: Headers | None) -> Scope:
    """Return the part of a scope that HTTP and WebSocket have in common.

    Args:
        kind: the scope's type.
        path: the path as in a URL, percent-encoded, perhaps with a query string.
        headers: pairs of bytes, the names in lower case.

    Raises:
        TypeError: the path is not a str.
    """
    if not isinstance(path, str):
        raise TypeError(f"Expected str, got {type(path)} as the path: write one such as '/ws/'")
    url = urlsplit(path)
    return {
        "type": kind,
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "path": unquote(url.path),
        "raw_path": url.path.encode(),
        "query_string": url.query.encode(),
        "root_path": "",
        "headers": list(headers or ()),
    }


def expect(kind: str, message: Message) -> Message:
    """Return the application's message if it is of this type.

    Raises:
        AssertionError: it is of another.
    """
    if message["type"] != kind:
        error = AssertionError(f"Expected type {kind!r}, but was {message['type']!r}")
        error.add_note(f"The application sent {message!r}.")
        raise error
    return message
