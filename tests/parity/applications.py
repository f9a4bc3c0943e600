"""What the setting ASGI_APPLICATION of these tests names."""

from channels.routing import ProtocolTypeRouter

application = ProtocolTypeRouter({})
