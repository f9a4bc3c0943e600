"""The communicators' base."""

import logging

from consumers import testing as native
from consumers.types import Message

logger = logging.getLogger("compat.channels")


class ApplicationCommunicator(native.ApplicationCommunicator):
    """Runs an application for a test; see `consumers.testing.ApplicationCommunicator`.

    What the application raises is raised in place of the close frame that tells the client of it.
    """

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
