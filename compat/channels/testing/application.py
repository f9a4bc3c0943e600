"""The communicators' base."""

import asyncio
import logging
from collections import deque
from typing import Any

from anyio.lowlevel import checkpoint

from consumers import testing as native
from consumers.testing import application
from consumers.types import Message

from ..consumer import YIELDS_BETWEEN

logger = logging.getLogger("compat.channels")


class ApplicationCommunicator(native.ApplicationCommunicator):
    """Runs an application for a test; see `consumers.testing.ApplicationCommunicator`.

    What the application raises is raised in place of the close frame that tells the client of it. A receive that times
    out ends the application, and a call after that raises asyncio.CancelledError.
    """

    @property
    def future(self) -> Any:
        """The task that runs the application, which the first look at it starts."""
        return self._started().task

    @property
    def input_queue(self) -> "Queue":
        """The messages that the application has not received yet."""
        run = self._started()
        return Queue(run, run.inputs)

    @property
    def output_queue(self) -> "Queue":
        """The messages from the application that have not been received yet."""
        run = self._started()
        return Queue(run, run.outputs)

    async def send_input(self, message: Message) -> None:
        run = self._started()
        run.raise_error()
        run.put(run.inputs, message)

    async def receive_output(self, timeout: float | None = 1) -> Message:
        """Return the next message from the application.

        Raises:
            TimeoutError: nothing came in time, and the application was cancelled; or it has ended.
            Exception: what the application raised instead.
        """
        run = self._started()
        if not await run.within(timeout, lambda: run.outputs or run.ended):
            await run.cancel_and_wait()
            run.outputs.clear()  # what the cancelled application has said, a close frame, nobody hears
            run.raise_own_error()
            raise TimeoutError(f"The application sent nothing within {timeout} s; it was cancelled.")
        if not run.outputs:
            run.raise_error()
            raise TimeoutError("The application has ended: it sends nothing any more.")
        message = run.outputs.popleft()
        await self._raise_error_behind(message, timeout)
        return message

    async def wait(self, timeout: float | None = 1) -> None:
        """Wait until the application has ended; cancel it, without an error, when it takes too long."""
        run = self._started()
        if not await run.within(timeout, lambda: run.ended):
            logger.warning("an application did not end within %s s and is cancelled", timeout)
            await run.cancel_and_wait()
        run.raise_own_error()

    def _started(self) -> "Run":
        run = super()._started()
        assert isinstance(run, Run)
        return run

    def _make_run(self) -> "Run":
        return Run(self.application, self.scope)


class Run(application.Run):
    """The application's end."""

    async def receive(self) -> Message:
        for _ in range(YIELDS_BETWEEN - 1):  # so that what it has received before is handled first, as in Channels
            await checkpoint()
        return await super().receive()

    async def cancel_and_wait(self) -> None:
        """Cancel the application, and wait until it has ended."""
        self.cancel()
        await self.within(None, lambda: self.ended)

    def raise_error(self) -> None:
        """Raise what the application raised; if it was cancelled, asyncio.CancelledError."""
        self.raise_own_error()
        if isinstance(self.task, asyncio.Task) and self.task.cancelled():
            raise asyncio.CancelledError

    def raise_own_error(self) -> None:
        """Raise what the application raised."""
        super().raise_error()


class Queue:
    """One direction of a communicator, with the methods of `asyncio.Queue`.

    Args:
        run: the communicator's run.
        messages: the messages that wait.
    """

    def __init__(self, run: Any, messages: deque[Message]) -> None:
        self._run = run
        self._messages = messages

    def qsize(self) -> int:
        """Return how many messages wait."""
        return len(self._messages)

    def empty(self) -> bool:
        """Tell whether none waits."""
        return not self._messages

    def get_nowait(self) -> Message:
        """Take the oldest message.

        Raises:
            asyncio.QueueEmpty: there is none.
        """
        if not self._messages:
            raise asyncio.QueueEmpty
        return self._messages.popleft()

    def put_nowait(self, message: Message) -> None:
        """Add a message."""
        self._run.put(self._messages, message)

    async def get(self) -> Message:
        """Wait for the oldest message and take it."""
        await self._run.within(None, lambda: self._messages)
        return self._messages.popleft()

    async def put(self, message: Message) -> None:
        """Add a message."""
        self.put_nowait(message)
