"""The Django app: `compat.channels` in INSTALLED_APPS, or `channels` under the import hook."""

from collections.abc import Iterator
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.urls import get_resolver

from consumers.consumer import ConsumerApplication

from ..hook import is_installed


class ChannelsConfig(AppConfig):  # type: ignore[misc]
    """Brings the `runworker` command, and a system check. Its label is Channels' own, the last word of either name."""

    name = "channels" if is_installed() else "compat.channels"
    verbose_name = "Channels"

    def ready(self) -> None:
        checks.register(check_urlpatterns, checks.Tags.urls)


def check_urlpatterns(app_configs: Any, **kwargs: Any) -> list[Any]:
    """Find consumers in `urlpatterns`, whose requests Django would pass to them as to views."""
    if not getattr(settings, "ROOT_URLCONF", None):
        return []
    return [
        checks.Error(
            f"{pattern.callback!r} is in urlpatterns, at {str(pattern.pattern)!r}, but is no view.",
            hint="Route it in a URLRouter, under ProtocolTypeRouter's 'websocket' or 'http'.",
            obj=pattern,
            id="channels.E001",
        )
        for pattern in _patterns(get_resolver())
        if isinstance(pattern.callback, ConsumerApplication)
    ]


def _patterns(resolver: Any) -> Iterator[Any]:
    for pattern in resolver.url_patterns:
        if hasattr(pattern, "url_patterns"):
            yield from _patterns(pattern)
        elif hasattr(pattern, "callback"):
            yield pattern
