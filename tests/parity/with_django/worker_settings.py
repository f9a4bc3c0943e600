"""The project with a layer that holds one message, and with a log on standard error."""

from .settings import *  # noqa: F403

CHANNEL_LAYERS = {"default": {"BACKEND": "tests.parity.with_django.layers.OneMark"}}
LOGGING = {
    "version": 1,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
    "loggers": {"django": {"level": "INFO"}},
}
