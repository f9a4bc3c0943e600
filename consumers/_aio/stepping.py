"""The fast mailbox, for asyncio: the worker's steps are taken without its task.

A future costs its own making, a handle and a callback's arguments with each wake. For a thousand workers these are
thousands of objects at once, which the garbage collector walks through and the processor's cache has no room for. And
a step of a task goes through every coroutine that the task is in, down to the one that waits. So here

- the mailbox is itself what its worker's task waits for, again and again;
- workers that are woken at about the same time share one turn of the event loop;
- while a worker goes from one wait for its mailbox to the next, only its innermost coroutine is stepped, as its task
  and in its context; the task hears of what else that awaits, of its end and of its errors;
- what the reader puts is handled within the reader's own step, before it waits for more.

asyncio's functions for this are documented under "Extending asyncio".
"""

import asyncio
import sys
from asyncio.tasks import _enter_task, _leave_task
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable
from contextvars import Context
from types import FrameType, coroutine
from typing import Any
from weakref import ref

from .loops import PerLoop
from .mailbox import Failed, Handle, Mailbox, Owner

Callback = Callable[[Any], object]


def _leave_and_enter(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[Any] | None") -> "asyncio.Task[Any] | None":
    current = asyncio.current_task(loop)
    if current is not None:
        _leave_task(loop, current)
    if task is not None:
        _enter_task(loop, task)
    return current


swap_current_task: Any = _leave_and_enter
"""Makes another task, or none, the current one; returns which was. Python has a quicker one, not documented."""

if sys.version_info >= (3, 13):  # 3.12's raises KeyError where there is no current task
    swap_current_task = getattr(asyncio.tasks, "_swap_current_task", _leave_and_enter)


class SteppingMailbox(Mailbox):
    """See `Mailbox`. To its worker's task it is a future, and within `serve()` a coroutine.

    A task takes any object with `_asyncio_future_blocking` for a future (documented with `asyncio.isfuture()`).

    Where the worker is      | `is_idle` | its next step
    -------------------------|-----------|--------------------------------------------------------------------
    waits for this mailbox   | True      | `notify()` puts it into the loop's turn, `notify_now()` and `feed()` take it
    is woken                 | False     | `_Turn._run()` takes it
    waits for something else | False     | its task's, as any other's

    `_step()` steps the innermost coroutine, `_coroutine`, alone. If `_needs_task` is True, it lets the task take the
    step instead: before `serve()`, after a cancellation, and where the worker is about to end. What came of a step that
    the task must hear of, an end, an error or another future, is in `_unheard` until then.
    """

    __slots__ = (
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled",
        "_context",
        "_coroutine",
        "_needs_task",
        "_task",
        "_turn",
        "_unheard",
    )

    def __init__(self, client_limit: int, byte_limit: int, layer_limit: int, owner: Owner | None = None) -> None:
        super().__init__(client_limit, byte_limit, layer_limit, owner)
        self._asyncio_future_blocking = False
        self._turn = _turns.get(asyncio.get_running_loop())
        self._cancelled: asyncio.CancelledError | None = None
        self._coroutine: Any = None  # what `serve()` runs
        self._task: asyncio.Task[Any] | None = None  # the worker's, once it serves
        self._needs_task = True
        self._unheard: tuple[Any] | BaseException | None = None

    def notify(self) -> None:
        if self.is_idle:
            self.is_idle = False
            turn = self._turn
            if not turn.woken:
                turn.schedule()
            turn.woken.append(self)

    def notify_now(self) -> None:
        if self.is_idle:
            self._needs_task = True  # it will end, or wait for something else
            self._step_now()

    @coroutine
    def wait(self) -> Generator[Any, Any, None]:
        self._asyncio_future_blocking = True
        yield self

    def serve(self, handle: Handle, failed: Failed, yields_between: int = 0) -> Awaitable[None]:
        self._task, self._coroutine = asyncio.current_task(), self.serve_in_turn(handle, failed, yields_between)
        return _Served(self)

    @coroutine
    def feed(self, reading: Coroutine[Any, Any, None]) -> Generator[Any, Any, None]:
        thrown: BaseException | None = None
        while True:
            try:
                waits_for = reading.send(None) if thrown is None else reading.throw(thrown)
            except StopIteration:
                return
            finally:
                thrown = None  # it is thrown once, and its traceback refers to this frame
            if self.messages and self.is_idle:
                self._step_now()
            try:
                yield waits_for  # a task sends nothing but None
            except BaseException as error:
                thrown = error

    # Steps

    def _step_now(self) -> None:
        """Let the worker take its next step within that of the running task."""
        self.is_idle = False
        loop: Any = self._turn.get_loop()
        before = swap_current_task(loop, self._task)
        try:
            self._step(loop)
        except (KeyboardInterrupt, SystemExit) as error:  # are the loop's, not the task's whose step this is within
            loop.call_soon(_reraise, error)
        finally:
            swap_current_task(loop, before)

    def _step(self, loop: Any) -> None:
        """Take the worker's next step, as the current task; whoever calls this makes another the current one then."""
        if not self._needs_task:
            try:
                waits_for = self._context.run(self._coroutine.send, None)
            except BaseException as error:  # its end, too
                self._unheard = error
            else:
                if waits_for is self and not self._needs_task:
                    self.is_idle = True
                    return
                self._unheard = (waits_for,)
        swap_current_task(loop, None)
        self._context.run(self._callback, self)

    # What a task, and anyio, ask of a future

    def get_loop(self) -> Any:
        return self._turn.get_loop()

    def add_done_callback(self, callback: Callback, *, context: Context) -> None:
        self._callback, self._context = callback, context
        self.is_idle = True
        self._needs_task = not getattr(self._coroutine, "cr_suspended", False)  # it does not serve yet, or no more

    def done(self) -> bool:
        return not self.is_idle

    def cancel(self, msg: object = None) -> bool:
        self._needs_task = True  # which throws it in, also where that is not waiting
        if not self.is_idle:
            return False
        self._cancelled = asyncio.CancelledError() if msg is None else asyncio.CancelledError(msg)
        self.notify()
        return True

    def result(self) -> None:
        if self._cancelled is not None:
            cancelled, self._cancelled = self._cancelled, None
            raise cancelled

    # What a task, and those who want to know where it waits, ask of a coroutine

    def __next__(self) -> Any:
        unheard, self._unheard = self._unheard, None
        if unheard is None:
            return self._noted(self._coroutine.send(None))
        if isinstance(unheard, tuple):
            return self._noted(unheard[0])
        try:
            raise unheard
        finally:
            del unheard  # its traceback refers to this frame

    def throw(self, error: BaseException) -> Any:
        unheard, self._unheard = self._unheard, None
        if (
            unheard is not None and self._task is not None
        ):  # the task has been cancelled in the very step it hears of now
            try:
                if isinstance(unheard, BaseException):
                    self._task.cancel(*error.args)  # where it waits next: the coroutine has ended
                    self._task.uncancel()
                    raise unheard
                waits_for = unheard[0]
                if waits_for is not self and asyncio.isfuture(waits_for):
                    if waits_for.cancel(*error.args):  # as a task does with what it is about to wait for
                        return waits_for
                    waits_for._asyncio_future_blocking = False
            finally:
                del unheard
        return self._noted(self._coroutine.throw(error))

    def close(self) -> None:
        if self._coroutine is not None:
            self._coroutine.close()

    @property
    def cr_frame(self) -> FrameType | None:
        return getattr(self._coroutine, "cr_frame", None)

    @property
    def cr_await(self) -> Any:
        return getattr(self._coroutine, "cr_await", None)

    def _noted(self, waits_for: object) -> object:
        if waits_for is self:
            self._asyncio_future_blocking = True
        return waits_for


class _Served:
    """Awaited, makes a task step what a mailbox serves."""

    __slots__ = ("_mailbox",)

    def __init__(self, mailbox: SteppingMailbox) -> None:
        self._mailbox = mailbox

    def __await__(self) -> Any:
        return self._mailbox


class _Turn:
    """The workers that go on in the next turn of one event loop."""

    __slots__ = ("_context", "get_loop", "woken")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.get_loop: Callable[[], Any] = ref(loop)  # a loop that has ended must not be kept
        self._context = Context()  # without the variables of who sends; of its own, as no two threads may be in one
        self.woken: list[SteppingMailbox] = []

    def schedule(self) -> None:
        self.get_loop().call_soon(self._run, context=self._context)

    def _run(self) -> None:
        woken, self.woken = self.woken, []  # whom these wake has the turn after this one
        remaining, loop = iter(woken), self.get_loop()
        try:
            _step_all(remaining, loop)
        finally:  # KeyboardInterrupt and SystemExit leave a task's step, and the loop may be run again
            swap_current_task(loop, None)
            if left := list(remaining):
                if not self.woken:
                    self.schedule()
                self.woken[:0] = left


def _step_all(mailboxes: Iterable[SteppingMailbox], loop: Any) -> None:
    for mailbox in mailboxes:
        swap_current_task(loop, mailbox._task)
        mailbox._step(loop)


def _reraise(error: BaseException) -> None:
    raise error


_turns = PerLoop(_Turn)
