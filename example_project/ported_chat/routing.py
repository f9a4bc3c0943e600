"""What is served where."""

from django.urls import re_path

from . import consumers

http_urlpatterns = [
    re_path(r"^(?P<file>page\.css|page\.js)?$", consumers.PageConsumer.as_asgi()),
]

websocket_urlpatterns = [
    re_path(r"^ws/chat/(?P<room>[A-Za-z0-9_-]{1,40})/$", consumers.AsyncChatConsumer.as_asgi()),
    re_path(r"^ws/chat/(?P<room>[A-Za-z0-9_-]{1,40})/sync/$", consumers.ChatConsumer.as_asgi()),
]
