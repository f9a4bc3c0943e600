"""Makes one thing go wrong in one connection's life: at its k-th suspension, or at the application's k-th step.

A connection's tasks are known by a context variable, which tasks inherit. On asyncio a task factory wraps their
coroutines, on trio an instrument looks at their steps.
"""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import anyio
import trio

from consumers.types import Message

from .wire import Queue

current: ContextVar["Run"] = ContextVar("current")

MOMENT = 1e-9  # seconds: a real wait, which is over in the event loop's next round
IMPATIENCE = 4  # how often an impatient server cancels


class Planted(Exception):
    """What goes wrong."""


async def pause() -> None:
    """Suspend the task once."""
    await anyio.sleep(MOMENT)


class Line:
    """A client that follows a script, and the server between it and the application.

    Args:
        script: what the client sends when it gets an event, by the event's text or type; "" is the beginning.
        protocol: "websocket" or "http".
    """

    def __init__(self, script: dict[str, list[Message]], protocol: str) -> None:
        self._script = script
        self.protocol = protocol
        self._events = Queue()
        self.sent: list[Message] = []
        self.has_hung_up = False
        self.has_left = False  # of its own accord
        self._react("")

    async def receive(self) -> Message:
        place("receive")
        event = await self._events.get()
        place("received")
        return event

    async def send(self, event: Message) -> None:
        place("send")
        await pause()
        if self.has_hung_up and event["type"] != "websocket.close":
            raise OSError("the client has gone")
        self.sent.append(event)
        if event["type"] == "websocket.close" and not self.has_hung_up:
            self.has_hung_up = True
            self._events.put({"type": "websocket.disconnect", "code": event["code"]})
        self._react(str(event.get("text") or event["type"]).strip('"'))
        place("sent")

    def hang_up(self, **fields: Any) -> None:
        """Have the client leave; what it has sent before is still to be received."""
        if not self.has_hung_up:
            self.has_hung_up = self.has_left = True
            self._events.put({"type": f"{self.protocol}.disconnect", **fields})

    def sent_types(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def _react(self, to: str) -> None:
        for event in [] if self.has_hung_up else self._script.get(to, []):
            if event["type"] == f"{self.protocol}.disconnect":
                self.hang_up(**event)
            else:
                self._events.put(event)


class Run:
    """One life of a connection.

    Args:
        kind: what goes wrong: a key of `STRIKES`, or "raise".
        k: at which suspension of any of the connection's tasks; for "raise", at which step of the application.
        line: the client.
    """

    def __init__(self, kind: str, k: int, line: Line) -> None:
        self.kind = kind
        self.k = k
        self.line = line
        self.notes: list[Any] = []
        self.error: BaseException | None = None
        self.cancelled = False
        self.planted = Planted(f"number {k}")
        self.struck = ""  # where, once it has happened
        self.had_begun_to_end = False  # before that
        self.suspended_since = 0  # how often the server's task has been
        self.scope = anyio.CancelScope()
        self.server: Any = None  # the server's task, as the event loop knows it: the first one that suspends
        self._count = 0

    def on_suspension(self, task: Any, where: Callable[[], str]) -> None:
        self.server = self.server or task
        if self.struck:
            if task is self.server:
                self.suspended_since += 1
                if self.kind == "impatient" and self.suspended_since < IMPATIENCE:
                    task.cancel()
        elif self.kind != "raise" and self._strikes(where):
            STRIKES[self.kind](self)

    def on_place(self, name: str) -> None:
        if self.kind == "raise" and not self.struck and self._strikes(lambda: name):
            raise self.planted

    def _strikes(self, where: Callable[[], str]) -> bool:
        self._count += 1
        if self._count < self.k:
            return False
        self.struck = where() or "somewhere"
        self.had_begun_to_end = any(entry[0] == "disconnect" for entry in self.notes)
        return True


STRIKES: dict[str, Callable[[Run], object]] = {
    "cancel": lambda run: run.scope.cancel(),
    "native": lambda run: run.server.cancel(),
    "impatient": lambda run: run.server.cancel(),
    "disconnect": lambda run: run.line.hang_up(code=1001),
}


def place(name: str) -> None:
    """Mark a step of the application, at which it may fail."""
    current.get().on_place(name)


def note(what: Any) -> None:
    """Take a note of what the application does."""
    current.get().notes.append(what)


def where_it_waits(coroutine: Any) -> str:
    """Name the functions that a suspended coroutine is in."""
    names = []
    while (frame := getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)) is not None:
        names.append(f"{frame.f_code.co_name}:{frame.f_lineno}")
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return " > ".join(names)


@contextmanager
def belonging_to(run: Run) -> Iterator[None]:
    """Have the tasks that are started here, and theirs, be the run's."""
    token = current.set(run)
    try:
        yield
    finally:
        current.reset(token)


@contextmanager
def watching(backend: str) -> Iterator[None]:
    """Tell every run of its tasks' suspensions."""
    if backend == "trio":
        instrument = _Instrument()
        trio.lowlevel.add_instrument(instrument)
        try:
            yield
        finally:
            trio.lowlevel.remove_instrument(instrument)
    else:
        loop = asyncio.get_running_loop()
        before = loop.get_task_factory()
        loop.set_task_factory(_make_task)
        try:
            yield
        finally:
            loop.set_task_factory(before)


class _Instrument(trio.abc.Instrument):
    def after_task_step(self, task: trio.lowlevel.Task) -> None:
        run = task.context.get(current)
        if run is not None and inspect.getcoroutinestate(task.coro) == inspect.CORO_SUSPENDED:
            run.on_suspension(task, lambda: where_it_waits(task.coro))


def _make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **arguments: Any) -> "asyncio.Task[Any]":
    run = current.get(None)
    return asyncio.Task(coroutine if run is None else _Stepped(coroutine, run), loop=loop, **arguments)


class _Stepped(Coroutine[Any, Any, Any]):
    """A task's coroutine that tells the run whenever it suspends."""

    def __init__(self, inner: Any, run: Run) -> None:
        self._inner = inner
        self._run = run

    def send(self, value: Any) -> Any:
        return self._tell(self._inner.send(value))

    def throw(self, *error: Any) -> Any:
        return self._tell(self._inner.throw(*error))

    def close(self) -> None:
        self._inner.close()

    def __await__(self) -> Any:
        raise NotImplementedError("this is a task's")

    def __getattr__(self, name: str) -> Any:  # the states of a coroutine, which anyio asks for
        return getattr(self._inner, name)

    def _tell(self, yielded: Any) -> Any:
        self._run.on_suspension(asyncio.current_task(), lambda: where_it_waits(self._inner))
        return yielded
