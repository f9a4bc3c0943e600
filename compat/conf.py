"""Settings: Django's where Django is in use, else what `configure()` was given."""

import difflib
import os
from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from typing import Any

from consumers import channel_layers

from .moves import MOVES

KNOWN = (
    "ALLOWED_HOSTS",
    "ASGI_APPLICATION",
    "AUTHENTICATION_BACKEND",
    "CHANNEL_LAYERS",
    "DEBUG",
    "SECRET_KEY",
    "SESSION_COOKIE_AGE",
    "SESSION_COOKIE_DOMAIN",
    "SESSION_COOKIE_NAME",
    "SESSION_COOKIE_PATH",
    "SESSION_COOKIE_SAMESITE",
    "SESSION_COOKIE_SECURE",
)

_configured: dict[str, Any] = {}


def configure(**settings: Any) -> None:
    """Set what Django's settings would say, in a process without Django; with it, what shall differ from them.

    Call it before the application is made. A later call changes only the settings that it names.

    Args:
        settings: CHANNEL_LAYERS, ALLOWED_HOSTS, DEBUG and ASGI_APPLICATION as in Django's settings. SECRET_KEY signs
            the session cookie; SESSION_COOKIE_AGE (seconds), _DOMAIN, _NAME, _PATH, _SAMESITE and _SECURE shape it.
            AUTHENTICATION_BACKEND is an object, or the dotted name of a class, of the kind that Starlette's
            `AuthenticationMiddleware` takes.

    Raises:
        TypeError: there is no such setting.
        consumers.InvalidChannelLayerError: CHANNEL_LAYERS has the wrong shape.
    """
    for name in settings:
        if name not in KNOWN:
            close = difflib.get_close_matches(name, KNOWN, 1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(KNOWN)}"
            raise TypeError(f"compat.configure() knows no setting {name!r}; {hint}")
    if "CHANNEL_LAYERS" in settings:
        channel_layers.configure(translate_backends(settings["CHANNEL_LAYERS"]))
    _configured.update(settings)


def setting(name: str, default: Any = None) -> Any:
    """Return a setting: from `configure()`, else from Django's settings if Django is in use, else `default`."""
    if name in _configured:
        return _configured[name]
    if uses_django():
        from django.conf import settings

        return getattr(settings, name, default)
    return default


@cache
def has_django() -> bool:
    """Tell whether Django is installed; it may not be in use."""
    spec = find_spec("django")
    # The import hook's own `django`, for where it is not installed, comes from no file or is `compat.django`.
    return spec is not None and spec.name == "django" and spec.origin is not None


def uses_django() -> bool:
    """Tell whether Django is installed and has settings, or knows where to find them."""
    if not has_django():
        return False
    from django.conf import settings

    return bool(settings.configured) or "DJANGO_SETTINGS_MODULE" in os.environ


def django_channel_layers() -> Mapping[str, Any]:
    """Return Django's CHANNEL_LAYERS setting with our backends in place of Channels'; empty without Django."""
    if not uses_django():
        return {}
    from django.conf import settings

    return translate_backends(getattr(settings, "CHANNEL_LAYERS", {}))


def translate_backends(configs: Mapping[str, Any]) -> dict[str, Any]:
    """Return CHANNEL_LAYERS with Channels' backends, "channels.layers.InMemoryChannelLayer", under their names here."""
    return {alias: _translate(config) for alias, config in configs.items()}


def _translate(config: Any) -> Any:
    if not isinstance(config, Mapping) or config.get("BACKEND") not in MOVES:
        return config
    return {**config, "BACKEND": f"compat.{config['BACKEND']}"}


def misconfigured(problem: str) -> Exception:
    """Return the exception for a wrong setting: Django's ImproperlyConfigured, or ValueError if it is not installed."""
    if not has_django():
        return ValueError(problem)
    from django.core.exceptions import ImproperlyConfigured

    error: Exception = ImproperlyConfigured(problem)
    return error
