"""Channels' routers: a path without a route raises ValueError."""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from starlette.routing import Router

from consumers import lifespan, routing
from consumers.patterns import Route
from consumers.routing import refuse_include
from consumers.types import Receive, Scope, Send

from ..conf import misconfigured, setting


class ProtocolTypeRouter(routing.ProtocolTypeRouter):
    """Leads a connection to an application by the scope's type; see `consumers.ProtocolTypeRouter`.

    The server's lifespan opens and closes the channel layers, unless "lifespan" has an application of its own.
    """

    _takes_instances = True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        if scope["type"] == "lifespan" and "lifespan" not in self.application_mapping:
            await Router(lifespan=lifespan)(scope, receive, send)
            return None
        return await super().__call__(scope, receive, send)


class ChannelNameRouter(routing.ChannelNameRouter):
    """Leads a worker's named channel to an application; see `consumers.ChannelNameRouter`."""

    _takes_instances = True


class URLRouter(routing.URLRouter):
    """Leads a connection to an application by its path; see `consumers.URLRouter`."""

    strict = True
    _takes_instances = True

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raise ImproperlyConfigured for an `include()`, as Channels does."""
        routes = list(routes)
        for route in routes:
            refuse_include(route, misconfigured)
        super().__init__(routes)


def get_default_application() -> Any:
    """Return the application that the setting ASGI_APPLICATION names.

    Raises:
        ImproperlyConfigured: it names none, or cannot be imported. Without Django: ValueError.
    """
    dotted = setting("ASGI_APPLICATION")
    module, dot, name = dotted.rpartition(".") if isinstance(dotted, str) else ("", "", "")
    if not dot:
        raise misconfigured(
            f"Cannot find ASGI_APPLICATION setting: it must be like 'mysite.asgi.application', not {dotted!r}"
        )
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise misconfigured(f"Cannot import ASGI_APPLICATION module {module!r}: {error}") from error
    except AttributeError as error:
        raise misconfigured(f"Cannot find {name!r} in ASGI_APPLICATION module {module}") from error
