"""The worker for named channels."""

from collections.abc import Iterable

import anyio

from consumers import BaseChannelLayer, lifespan, worker
from consumers.types import ASGIApp


class Worker:
    """Runs an application for named channels; see `consumers.worker.Worker`.

    Args:
        application: the ASGI application.
        channels: the channels' names.
        channel_layer: the layer to receive from.
        max_applications: not needed here: there is one consumer a channel.

    Raises:
        ValueError: `channel_layer` is None, or there are no channels.
        TypeError: a name is no channel name.
    """

    def __init__(
        self,
        application: ASGIApp,
        channels: Iterable[str],
        channel_layer: BaseChannelLayer | None,
        max_applications: int = 1000,
    ) -> None:
        if channel_layer is None:
            raise ValueError("Channel layer is not valid: it is None; configure CHANNEL_LAYERS")
        self.application = application
        self.channels = list(channels)
        self.channel_layer = channel_layer
        self.max_applications = max_applications
        self._make()

    def run(self) -> None:
        """Handle messages until SIGTERM or SIGINT, which let handlers finish; a second one cancels them."""
        anyio.run(self._run)

    async def handle(self) -> None:
        """Handle messages until the task is cancelled.

        Raises:
            Exception: what the application raised when it was started for a channel.
        """
        await self._make().run()

    async def _run(self) -> None:
        async with lifespan():
            await self._make().run_until_signal()

    def _make(self) -> worker.Worker:
        return worker.Worker(self.application, self.channels, self.channel_layer)
