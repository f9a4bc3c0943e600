"""Settings, in Django's way where Django is installed and in `compat`'s way where it is not."""

import importlib.util
from contextlib import contextmanager

CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}

ALLOWED_HOSTS = ["example.com", ".example.org"]

ASGI_APPLICATION = "tests.parity.applications.application"

HAS_DJANGO = importlib.util.find_spec("django.conf") is not None


@contextmanager
def settings(**changed):
    """Have other settings inside the block. Layers are made anew, before and after it."""
    if HAS_DJANGO:
        from django.test import override_settings

        with override_settings(**changed):
            yield
        return
    import compat

    usual = {"CHANNEL_LAYERS": CHANNEL_LAYERS, "ALLOWED_HOSTS": ALLOWED_HOSTS, "ASGI_APPLICATION": ASGI_APPLICATION}
    compat.configure(**{**usual, "DEBUG": False, **changed})
    try:
        yield
    finally:
        compat.configure(**usual, DEBUG=False)
