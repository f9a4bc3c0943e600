"""Python's client: what an application sees of it. Its tasks are in `runner`."""

import inspect
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

import anyio

from . import rules
from .errors import NoAnswer
from .inbox import Item
from .messages import AT, Models, encoded, type_of
from .options import Options, checked
from .outbox import Request
from .rules import Detail, State
from .runner import Runner

if TYPE_CHECKING:
    from pydantic import BaseModel

MOST_SKIPPED = 100
"""Types of which the log says that their messages are skipped."""

T_co = TypeVar("T_co", covariant=True)

logger = logging.getLogger("consumers.client")


class Client(Generic[T_co]):
    """A connection to a consumer that comes back after a cut, goes on where it was, and says so where it cannot.

    `async with Client(url) as client:` begins to connect, and leaves nothing behind. `async for message in client:`
    gives the application's messages, in order and each once. It ends when the connection is closed for good. The
    answers to requests are not among them.

    All further arguments are given by name: `token`, `since`, `on_state`, `on_gap`, `on_expires`, `retry`, `heartbeat`,
    `queue_limit`, `inbox_limit`, `max_size`, `id_key`, `headers`, `ssl_context`, and, for tests, `connect`, `clock` and
    `chance`. `consumers.client.options.Options` says what each means, and its default.

    Args:
        url: the consumer's address: `wss://host/path`, `ws://host:port/path`, or the same with `https` and `http`.
        messages: a pydantic model or a union of models, which are what the client gets (None: it gets dicts). Messages
            of other types are skipped, and the log has a line.

    Raises:
        ValueError: the address is not valid, or an option's number is not positive.
        TypeError: `messages` is no model, or one without a type; there is no such option.
    """

    @overload
    def __init__(
        self: "Client[dict[str, Any]]", url: str, *, messages: None = None, **options: Unpack[Options]
    ) -> None: ...
    @overload
    def __init__(self, url: str, *, messages: type[T_co], **options: Unpack[Options]) -> None: ...
    @overload
    def __init__(self: "Client[Any]", url: str, *, messages: Any, **options: Unpack[Options]) -> None: ...
    def __init__(self, url: str, *, messages: Any = None, **options: Unpack[Options]) -> None:
        self._options = checked(options)
        self._models = Models(messages)
        self._runner = Runner(url, self._options)
        self._positions = dict(self._options["since"])
        self._requests = 0
        self._skipped: set[str | None] = set()
        self._reading = anyio.Lock(fast_acquire=True)  # the inbox lets others run
        self._block: AbstractAsyncContextManager[None] | None = None

    @property
    def state(self) -> State:
        """The state: "connecting", "recovering", "open", "offline" or "closed"; see docs/reference/protocol.md."""
        return self._runner.state

    @property
    def detail(self) -> Detail:
        """What is known of why it is in this state."""
        return self._runner.detail

    @property
    def positions(self) -> dict[str, str]:
        """The position of each label, as of the last message that the iteration has given: see the option `since`."""
        return dict(self._positions)

    async def __aenter__(self) -> Self:
        if self._block is not None:
            raise RuntimeError("a client is used once: make a new one")
        self._block = self._run()
        await self._block.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        assert self._block is not None
        return await self._block.__aexit__(kind, error, traceback)

    def __aiter__(self) -> AsyncIterator[T_co]:
        return self

    async def __anext__(self) -> T_co:
        """Return the next message.

        Raises:
            StopAsyncIteration: the connection was closed, by `close()` or by the server with 1000.
            Closed: it was closed for good in another way.
            pydantic.ValidationError: the message has a type of `messages`, and is no such model. The next call goes on.
        """
        self._require_block()
        while True:
            async with self._reading:  # of several readers, one waits until a gap is told
                item = await self._next()
            if item.message is None:
                continue
            if self._models.has(item.message):
                message: T_co = self._models.read(item.message, () if item.position is None else (AT,))
                return message
            self._skip(type_of(item.message))

    async def send(self, message: "Mapping[str, Any] | BaseModel") -> None:
        """Send a message that needs no answer: now, or when there is a connection. It may be lost with a connection.

        While there is a connection, it waits for room in the queue.

        Args:
            message: a dict with a "type", or a pydantic model.

        Raises:
            QueueFull: there is no connection, and `queue_limit` messages wait already.
            Closed: the connection is closed for good.
            TypeError, ValueError: it is no message.
        """
        content = encoded(message)
        self._require_block()
        await self._runner.outbox.room()
        self._runner.outbox.put(content)

    async def request(self, message: "Mapping[str, Any] | BaseModel", timeout: float | None = 10.0) -> T_co | Any:
        """Send a message, again after a cut, and return its answer: None if the server says only that it was handled.

        Who is cancelled here waits no more; the message may have been handled.

        Args:
            message: a dict with a "type", or a pydantic model.
            timeout: seconds; None: as long as it takes.

        Raises:
            NoAnswer: there was none in time; the message may have been handled.
            Refused: the server has answered with an error.
            QueueFull, Closed, TypeError, ValueError: as of `send()`.
            ClientError: the answer is none of `messages`.
        """
        self._require_block()
        self._requests += 1
        id = str(self._requests)
        request = Request(id, encoded(message, **{self._options["id_key"]: id}))
        outbox, inbox = self._runner.outbox, self._runner.inbox
        try:
            with self._runner.timers.timeout(timeout):
                await outbox.room()
                outbox.put(request)
                inbox.notify()  # while somebody asks, more may be read
                await request.wait()
        finally:
            outbox.discard(request)
        if request.error is not None:
            raise request.error
        if request.answer is None:
            waiting = "" if inbox.has_room() else f"; {len(inbox)} messages wait for `async for`"
            raise NoAnswer(f"no answer within {timeout} s; the message may have been handled{waiting}")
        return self._models.answer(request.answer)

    async def wait_open(self) -> None:
        """Wait until the state is "open".

        Raises:
            Closed: the connection is closed for good.
        """
        self._require_block()
        await self._runner.wait_open()

    async def close(self, code: int = rules.NORMAL, reason: str = "") -> None:
        """Send what can be sent, and close for good. Requests without an answer raise `Closed`.

        The end of the block does so by itself.

        Args:
            code: the close code (1000).
            reason: the reason, at most 123 bytes.

        Raises:
            ValueError: a client may not send the code, or the reason.
        """
        self._require_block()
        rules.check_close(code, reason)
        await self._runner.close(code, reason)

    def _require_block(self) -> None:
        if self._block is None:
            raise RuntimeError("the client does not run: use it within `async with Client(…) as client:`")

    @asynccontextmanager
    async def _run(self) -> AsyncGenerator[None]:
        failure: Exception | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._runner.timers.run)
                tasks.start_soon(self._runner.run, tasks)
                try:
                    yield
                except Exception as error:  # the application's: it leaves the block as it is, in no group
                    failure = error
                await self._runner.close(rules.NORMAL, "")
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            raise _alone(group) from failure
        if failure is not None:
            raise failure

    async def _next(self) -> Item:
        """Take the oldest item, once its gap is told."""
        inbox = self._runner.inbox
        item = await inbox.first()
        if item.is_gap and item.label is not None:
            await self._tell_gap(item.label)
        inbox.drop()
        if item.label is not None and item.position is not None:
            self._positions[item.label] = item.position
        elif item.label is not None:
            self._positions.pop(item.label, None)
        return item

    async def _tell_gap(self, label: str) -> None:
        on_gap = self._options["on_gap"]
        if on_gap is None:
            logger.warning("Messages of %r are missing, and there is no on_gap to be told", label)
        elif inspect.isawaitable(told := on_gap(label)):
            await told

    def _skip(self, kind: str | None) -> None:
        if kind not in self._skipped and len(self._skipped) < MOST_SKIPPED:
            self._skipped.add(kind)
            logger.warning("Messages of type %.80r are skipped: none of `messages` has it", kind)


def _alone(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception in a group, or the group if there are several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
