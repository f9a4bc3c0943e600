"""One connection to Redis, read and written at once."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from redis.exceptions import ConnectionError, OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from .hosts import Host, IsCluster

Command = tuple[Any, ...]

FAILURES = (RedisError, OSError, TimeoutError)
"""What goes wrong with a connection, other than a mistake in this code."""

IN_SCRIPTS = {"OOM": OutOfMemoryError, "READONLY": ReadOnlyError}

LOOKS = 5
"""How often during a timeout it is looked whether there is an answer."""


class PipelinedConnection:
    """An open connection. `write()` is plain and immediate; replies are read in the order of the commands.

    `connect()` opens one; `end()` it.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._outbox: list[bytes] = []
        self._wake = asyncio.Event()
        self._abort_reason = ""
        self.is_open = True
        self._writing = asyncio.create_task(self._write_forever())

    def write(self, *commands: Command) -> None:
        """Send commands soon, in one piece with what else is to be sent."""
        self._outbox += self._connection.pack_commands(commands)
        self._wake.set()

    async def read(self) -> Any:
        """Return the next reply or published message; an error that Redis replied is returned.

        Being cancelled loses nothing: the next call returns it.

        Raises:
            redis.exceptions.ConnectionError: if the connection has ended.
        """
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except ResponseError as error:
            return told_apart(error)
        except FAILURES as error:
            raise ConnectionError(self._abort_reason or str(error) or type(error).__name__) from error

    async def abort(self, reason: str) -> None:
        """Close the connection; `read()` raises with this reason."""
        self._abort_reason = self._abort_reason or reason
        await self.close()

    async def close(self) -> None:
        """Close the connection without waiting for the other side."""
        self.is_open = False
        self._wake.set()
        with contextlib.suppress(*FAILURES):
            await self._connection.disconnect(nowait=True)

    def resume(self) -> None:
        """Write on, where the end of the event loop has cancelled that."""
        if self._writing.done() or self._writing.cancelling():
            self._writing = asyncio.create_task(self._write_forever())
            self._wake.set()

    async def end(self) -> None:
        """Close the connection and end its task."""
        self._writing.cancel()
        await self.close()
        await asyncio.wait([self._writing], timeout=1)

    async def _write_forever(self) -> None:
        """Write what `write()` leaves here; a task of its own, so that no sender's cancellation cuts it short."""
        with contextlib.suppress(*FAILURES):  # the reader sees the end of the connection too
            while self.is_open:
                await self._wake.wait()
                self._wake.clear()
                if self._outbox and self.is_open:
                    data, self._outbox = b"".join(self._outbox), []
                    await self._connection.send_packed_command(data, check_health=False)

    async def watch(self, timeout: float, awaited: Callable[[], object]) -> None:
        """Close the connection when one answer has not come for too long.

        That is counted in looks: an event loop that was held up has yet to read, or even to write, what was due.

        Args:
            timeout: seconds that an answer may take.
            awaited: returns what tells the answer that is due from others, or None if none is.
        """
        seen, looks = None, 0
        while self.is_open:
            await asyncio.sleep(timeout / LOOKS)
            due = awaited()
            looks = looks + 1 if due is not None and due == seen else 0
            seen = due
            if looks == LOOKS:
                await self.abort(f"no answer within {timeout:g} s")


def told_apart(error: ResponseError) -> ResponseError:
    """Return the error that a script met; Redis before version 7 hides it in the text of another one."""
    for code, kind in IN_SCRIPTS.items():
        _, found, text = str(error).partition(f"-{code} ")
        if found and type(error) is ResponseError:
            return kind(text)
    return error


async def connect(host: Host, timeout: float) -> PipelinedConnection:
    """Connect to a host.

    Args:
        host: the host.
        timeout: seconds that connecting may take, Sentinel's answer and the log-in included.

    Raises:
        redis.exceptions.ConnectionError: if it cannot be reached; `IsCluster` if it is not to be used.
    """
    try:
        async with asyncio.timeout(timeout):
            return PipelinedConnection(await host.connect())
    except IsCluster:
        raise
    except FAILURES as error:
        raise ConnectionError(str(error) or f"no connection within {timeout:g} s") from error
