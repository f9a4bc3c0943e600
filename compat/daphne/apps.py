"""The Django app: `daphne` in INSTALLED_APPS, which projects written for Channels list for its `runserver`."""

import logging

from django.apps import AppConfig

logger = logging.getLogger("compat.daphne")


class DaphneConfig(AppConfig):  # type: ignore[misc]
    """Brings nothing, and says in the log what serves in Daphne's place."""

    name = "daphne"
    verbose_name = "Daphne"

    def ready(self) -> None:
        logger.warning(
            '"daphne" in INSTALLED_APPS does nothing here, and may go: serve with '
            "`python -m compat run mysite.asgi:application`"
        )
