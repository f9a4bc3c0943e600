"""`manage.py runworker channel-name …`: runs the ASGI_APPLICATION for named channels."""

import logging
from typing import Any

from django.core.management import BaseCommand, CommandError, CommandParser

from consumers import InvalidChannelLayerError

from ... import DEFAULT_CHANNEL_LAYER
from ...layers import get_channel_layer
from ...routing import get_default_application
from ...worker import Worker

logger = logging.getLogger("django.channels.worker")


class Command(BaseCommand):  # type: ignore[misc]
    """The command.

    Attributes:
        worker_class: the worker to run.
    """

    help = "Runs the ASGI application for messages to named channels, until SIGTERM or SIGINT."
    worker_class = Worker

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--layer", default=DEFAULT_CHANNEL_LAYER, help="alias of the channel layer")
        parser.add_argument("channels", nargs="+", help="names of the channels")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the worker.

        Raises:
            CommandError: the layer, or the name of a channel, cannot be used.
        """
        alias, channels = options.get("layer", DEFAULT_CHANNEL_LAYER), options["channels"]
        try:
            layer = get_channel_layer(alias)
        except InvalidChannelLayerError as error:
            raise CommandError(str(error)) from error
        if layer is None:
            raise CommandError(f"You do not have any CHANNEL_LAYERS configured under the alias {alias!r}.")
        application = get_default_application()
        try:
            worker = self.worker_class(application=application, channels=channels, channel_layer=layer)
        except (TypeError, ValueError) as error:
            raise CommandError(str(error)) from error
        logger.info("Running worker for channels %s", channels)
        try:
            worker.run()
        except ValueError as error:  # a router's, for a channel it does not know
            raise CommandError(" ".join([f"{error}.", *getattr(error, "__notes__", ())])) from error
        logger.info("The worker for channels %s has stopped", channels)
