"""Runs the handlers of one connection: one after the other, or several at once."""

from .._aio import cancel
from .._aio.loops import checkpoints
from .._aio.mailbox import FROM_LAYER, Mailbox
from .backlog import Taken
from .consumer import Consumer
from .dispatch import Dispatcher
from .errors import Errors
from .tasks import Tasks


class Scheduler:
    """What the worker does with the messages in its mailbox.

    Args:
        consumer: the consumer.
        mailbox: the connection's.
        tasks: the connection's.
        dispatcher: calls the handlers.
        errors: decides about what they raise.
        taken: of a named channel, what its worker has given.
    """

    __slots__ = ("_consumer", "_dispatcher", "_errors", "_mailbox", "_starting", "_taken", "_tasks")

    def __init__(
        self,
        consumer: Consumer,
        mailbox: Mailbox,
        tasks: Tasks,
        dispatcher: Dispatcher,
        errors: Errors,
        taken: Taken | None,
    ) -> None:
        self._consumer = consumer
        self._mailbox = mailbox
        self._tasks = tasks
        self._dispatcher = dispatcher
        self._errors = errors
        self._taken = taken
        self._starting = 0  # tasks that have not taken their message yet

    def free(self) -> int:
        """Return how many more messages could be handled at this moment."""
        return self._consumer.max_tasks - self._tasks.handlers - len(self._mailbox.messages) + self._starting

    def release(self) -> None:
        """Let go of the consumer; what refers to this may live on."""
        del self._consumer

    async def serve(self) -> None:
        """Handle messages until the mailbox is closed and empty."""
        if self._consumer.max_tasks > 1:
            await self._serve_at_once(self._consumer.max_tasks)
        elif self._taken is not None:
            await self._serve_channel()
        else:
            await self._serve_in_turn()

    async def _serve_in_turn(self) -> None:
        self._dispatcher.connected()
        between = self._consumer._yields_between
        if between and (self._mailbox.messages or self._mailbox.is_closed):
            await checkpoints(between)
        await self._mailbox.serve(self._dispatcher.call, self._errors.on_handler_error, between)

    async def _serve_channel(self) -> None:
        """Handle one message of a named channel after the other; its worker gives the next one when that is done."""
        while await self._mailbox.wait_for_message() and not self._mailbox.is_stopped:
            self._tasks.handlers += 1
            await self._run_handler()

    async def _serve_at_once(self, max_tasks: int) -> None:
        while not (self._mailbox.is_closed and not self._mailbox.messages and not self._tasks.handlers):
            while self._tasks.handlers < max_tasks and self._starting < len(self._mailbox.messages):
                self._tasks.handlers += 1
                self._starting += 1
                self._tasks.group.start_soon(self._run_handler_task)
            await self._mailbox.wait()

    async def _run_handler_task(self) -> None:
        self._starting -= 1
        with cancel.noted(self._tasks.own_tasks):
            await self._run_handler()

    async def _run_handler(self) -> None:
        """Handle the oldest message, as one of the handlers that run."""
        try:
            if self._mailbox.messages and not self._mailbox.is_stopped:
                await self.handle_oldest()
        finally:
            self._tasks.handlers -= 1
            self._mailbox.notify()
            if self._taken is not None:
                self._taken.source.changed()

    async def handle_oldest(self) -> None:
        """Handle the oldest message; there must be one."""
        message, size = self._mailbox.take()
        try:
            handling = self._dispatcher.call(message, size != FROM_LAYER)
            if handling is not None:
                await handling
        except BaseException as error:
            await self._errors.on_handler_error(error, message)
        finally:
            self._mailbox.release(size)
