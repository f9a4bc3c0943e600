"""That the check of the documentation's examples finds what is wrong in them; `make check` runs it on all."""

import pytest

from ..support.pages import Block, blocks
from .examples import PAGES, faults

WRONG = """
from consumers import AsyncWebsocketConsumer


class Echo(AsyncWebsocketConsumer):
    async def receive(self, text_data):
        await self.send(text_data, byte_data=b"")
"""

OF_CHANNELS = """# mysite/asgi.py
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRoute
from chat.routing import websocket_urlpatterns
from django.conf import settings
"""


@pytest.mark.slow
def test_both_checkers_find_what_is_wrong_at_its_line_of_the_page() -> None:
    examples = {"wrong": Block("python", 40, WRONG), "of_channels": Block("python", 90, OF_CHANNELS)}
    for found in faults(examples).values():
        assert [(fault.file, fault.line) for fault in found] == [("of_channels.py", 92), ("wrong.py", 46)]


def test_every_page_is_looked_at() -> None:
    assert {"README.md", "docs/howto/porting.md", "docs/howto/endpoints.md", "docs/howto/observability.md"} <= set(
        PAGES
    )
    assert all(block.text.strip() for page in PAGES for block in blocks(page, "python"))
