"""Commands to one shard, with a deadline: from the owner loop, and from anywhere else."""

import asyncio
import contextlib
import re
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from redis import exceptions

from .hosts import Host
from .pipelined import FAILURES, Command, PipelinedConnection, connect, told_apart

IDLE = 16
"""Connections without an owner that are kept for the next thread; as many as `round_trips.THREADS` need at once."""

CLOSED = "the layer was closed"

_Replies = asyncio.Future[list[Any]]

_Waiting = tuple[Sequence[Command], _Replies]
"""Commands that are to be written when the connection is open."""

_Written = tuple[int, _Replies]
"""How many commands were written together."""


class Commands:
    """One connection for all commands of an event loop; those of different tasks share its round trips.

    It is opened by the first command, and again by the first one after it was lost. Commands that are run in an order
    are executed in that order.

    Args:
        host: the shard.
        timeout: seconds that connecting and a command together may take.
    """

    def __init__(self, host: Host, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._pipelined: PipelinedConnection | None = None
        self._written: deque[_Written] = deque()  # what is not answered yet
        self._opening: deque[_Waiting] | None = None  # what is written first of all, while the connection is opened
        self._session: asyncio.Task[None] | None = None
        self._is_closed = False

    async def run(self, commands: Sequence[Command], deadline: float | None = None) -> list[Any]:
        """Execute commands and return their replies. Nothing is awaited before they have their place in the order.

        Args:
            commands: the commands.
            deadline: when to give up, by `time.monotonic()`; default: `timeout` seconds from now.

        Raises:
            redis.exceptions.TimeoutError: if Redis does not answer in time; it may execute them yet.
            redis.exceptions.ConnectionError: if Redis cannot be reached, or was lost before it answered.
            redis.exceptions.ResponseError: what Redis answered to the first one that failed.
        """
        try:
            async with asyncio.timeout(self._timeout if deadline is None else deadline - time.monotonic()):
                replies: _Replies = asyncio.get_running_loop().create_future()
                if self._pipelined is not None and self._pipelined.is_open:
                    self._pipelined.write(*commands)
                    self._written.append((len(commands), replies))
                else:
                    self._open().append((commands, replies))
                return await replies
        except TimeoutError:
            raise exceptions.TimeoutError(_no_answer(self._host, self._timeout)) from None

    async def probe(self, patience: float) -> None:
        """Give the connection up if nothing comes over it in time; the next command opens another.

        Args:
            patience: seconds that the answer may take.
        """
        pipelined = self._pipelined
        if pipelined is None:
            return
        try:
            await self.run([("PING",)], time.monotonic() + patience)
        except exceptions.ResponseError:
            pass  # that is an answer too
        except FAILURES:
            await pipelined.abort(f"no answer within {patience:g} s")

    async def close(self) -> None:
        """Close the connection for good: what runs late, such as a sender that waited, opens no other."""
        self._is_closed = True
        if self._session is not None:
            if not self._session.cancelling():  # a second time would cut short what it does at the first
                self._session.cancel()
            await asyncio.wait([self._session], timeout=2)

    def _open(self) -> deque[_Waiting]:
        """Begin to open the connection, unless that has begun, and return what is written first of all."""
        if self._is_closed:
            raise exceptions.ConnectionError(f"No connection to Redis at {self._host}: {CLOSED}")
        is_ending = self._session is not None and self._session.cancelling()  # by its loop
        if self._opening is None or is_ending:
            self._opening = deque()
            self._session = asyncio.create_task(self._live(self._opening))
        return self._opening

    async def _live(self, first: deque[_Waiting]) -> None:
        """Be the connection's owner for as long as it is open."""
        reason = CLOSED
        pipelined: PipelinedConnection | None = None
        watch: asyncio.Task[None] | None = None
        written: deque[_Written] = deque()
        try:
            pipelined = await connect(self._host, self._timeout)
            self._pipelined, self._written, self._opening = pipelined, written, None
            while first:
                _write(pipelined, written, *first.popleft())
            watch = asyncio.create_task(pipelined.watch(self._timeout, lambda: written[0] if written else None))
            replies: list[Any] = []
            failed: Exception | None = None
            while True:
                reply = await pipelined.read()
                replies.append(reply)
                if failed is None and isinstance(reply, Exception):
                    failed = _noted(reply, self._host)
                if len(replies) == written[0][0]:
                    _, outcome = written.popleft()
                    if failed is not None:
                        _fail(outcome, failed)
                    elif not outcome.done():
                        outcome.set_result(replies)
                    replies, failed = [], None
                if isinstance(reply, exceptions.ReadOnlyError):
                    raise reply  # another server may be the master now: connect anew
        except FAILURES as error:
            reason = str(error)
        finally:
            if self._pipelined is pipelined:  # else the next one is there already
                self._pipelined = None
            if self._opening is first:
                self._opening = None
            for _, outcome in (*first, *written):
                _fail(outcome, exceptions.ConnectionError(f"No connection to Redis at {self._host}: {reason}"))
            if watch is not None:
                watch.cancel()
            if pipelined is not None:  # last, as a second cancellation may cut it short
                await pipelined.end()


def _write(pipelined: PipelinedConnection, written: deque[_Written], commands: Sequence[Command], to: _Replies) -> None:
    """Write commands to an open connection, unless nobody waits for their replies any more."""
    if to.done():
        return
    try:
        pipelined.write(*commands)
    except (exceptions.DataError, UnicodeError) as error:  # an argument has no bytes
        _fail(to, error)
    else:
        written.append((len(commands), to))


def _fail(to: _Replies, error: Exception) -> None:
    if not to.done():
        to.set_exception(error)
        to.exception()  # who waited may have been cancelled at the same time


class BlockingCommands:
    """Commands from threads, scripts and event loops that come and go: connections that belong to none of them.

    Args:
        host: the shard.
        timeout: seconds that connecting and commands together may take, for what is said when they do not.
    """

    def __init__(self, host: Host, timeout: float) -> None:
        self._host = host
        self._timeout = timeout
        self._lock = threading.Lock()
        self._idle: list[Any] = []
        weakref.finalize(self, _disconnect, self._idle)  # of a layer that nobody closes

    def run(self, commands: Sequence[Command], deadline: float) -> list[Any]:
        """Execute commands and return their replies.

        Args:
            commands: the commands.
            deadline: when to give up, by `time.monotonic()`.

        Raises:
            exceptions.RedisError: as `Commands.run()`.
        """
        connection = None
        try:
            connection = self._take() or self._host.connect_blocking(_seconds_left(deadline))
            _limit(connection, deadline)
            connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            replies = [_read_blocking(connection, deadline) for _ in commands]
        except BaseException as error:
            if connection is not None:
                connection.disconnect()
            if isinstance(error, exceptions.TimeoutError):
                raise exceptions.TimeoutError(_no_answer(self._host, self._timeout)) from error
            if isinstance(error, exceptions.RedisError | OSError):
                raise exceptions.ConnectionError(f"No connection to Redis at {self._host}: {error}") from error
            raise
        if any(isinstance(reply, exceptions.ReadOnlyError) for reply in replies):
            connection.disconnect()  # another server may be the master now
        else:
            self._give_back(connection)
        for reply in replies:
            if isinstance(reply, Exception):
                raise _noted(reply, self._host)
        return replies

    def close(self) -> None:
        """Close the connections that nobody uses now."""
        with self._lock:
            idle = self._idle.copy()
            self._idle.clear()
        _disconnect(idle)

    def _take(self) -> Any:
        """Return a connection that is open and has nothing unread, or None."""
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection = self._idle.pop()
            with contextlib.suppress(*FAILURES):
                if not connection.can_read(0):
                    return connection
            connection.disconnect()

    def _give_back(self, connection: Any) -> None:
        with self._lock:
            if len(self._idle) < IDLE:
                self._idle.append(connection)
                return
        connection.disconnect()


def _disconnect(connections: Iterable[Any]) -> None:
    for connection in connections:
        connection.disconnect()


def _seconds_left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise exceptions.TimeoutError("the deadline has passed")
    return left


def _limit(connection: Any, deadline: float) -> None:
    """Let the connection's next step end at the deadline; redis-py's own limit is the same for all it ever does."""
    connection._sock.settimeout(_seconds_left(deadline))


def _read_blocking(connection: Any, deadline: float) -> Any:
    _limit(connection, deadline)
    try:
        return connection.read_response()
    except exceptions.ResponseError as error:
        return told_apart(error)


def _no_answer(host: Host, timeout: float) -> str:
    return f"Redis at {host} did not answer within {timeout:g} s"


def _noted(error: Exception, host: Host) -> Exception:
    error.add_note(f"Redis at {host} answered so")
    return error


def as_pattern(text: str) -> str:
    """Return a pattern of Redis' that matches this text alone."""
    return re.sub(r"([*?\[\]\\^-])", r"\\\1", text)
