"""The communicators' base."""

import asyncio
import logging
from collections import deque
from typing import Any

from consumers import testing as native
from consumers.types import Message

logger = logging.getLogger("compat.channels")


class ApplicationCommunicator(native.ApplicationCommunicator):
    """Runs an application for a test; see `consumers.testing.ApplicationCommunicator`.

    What the application raises is raised in place of the close frame that tells the client of it.
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

    async def receive_output(self, timeout: float | None = 1) -> Message:
        try:
            message = await super().receive_output(timeout)
        except RuntimeError as error:
            if error is self._started().error:
                raise
            raise TimeoutError(str(error)) from None  # what Channels makes of an application that has ended
        await self._raise_error_behind(message, timeout)
        return message

    async def wait(self, timeout: float | None = 1) -> None:
        """Wait until the application has ended; cancel it, without an error, when it takes too long."""
        run = self._started()
        if not await run.within(timeout, lambda: run.ended):
            logger.warning("an application did not end within %s s and is cancelled", timeout)
            run.cancel()
            await run.within(None, lambda: run.ended)
        run.raise_error()


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
