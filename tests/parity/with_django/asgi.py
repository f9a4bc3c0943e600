"""The project's ASGI application."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.parity.with_django.settings")
django_application = get_asgi_application()

from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ChannelNameRouter, ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import AllowedHostsOriginValidator  # noqa: E402
from django.urls import path  # noqa: E402

from .consumers import Chooser, Greeter, Marker, Setting, Visitor  # noqa: E402

routes = [
    path("ws/visitor/", Visitor.as_asgi()),
    path("ws/chooser/", Chooser.as_asgi()),
    path("ws/setting/", Setting.as_asgi()),
    path("ws/", Greeter.as_asgi()),
]
application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(routes))),
        "channel": ChannelNameRouter({"marks": Marker.as_asgi()}),
    }
)
