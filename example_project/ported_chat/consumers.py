"""The chat's consumers, with plain functions and with coroutines: both kinds of clients meet in the same rooms."""

from pathlib import Path
from urllib.parse import parse_qs

from asgiref.sync import async_to_sync
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer

MAX_NAME = 30  # characters
MAX_TEXT = 1000  # characters

HERE = Path(__file__).parent
CONTENT_TYPES = {
    "page.html": b"text/html; charset=utf-8",
    "page.css": b"text/css; charset=utf-8",
    "page.js": b"text/javascript; charset=utf-8",
}


def group_of(scope):
    return "chat_" + scope["url_route"]["kwargs"]["room"]


def name_of(scope):
    names = parse_qs(scope["query_string"].decode(errors="replace")).get("name", [""])
    return names[0].strip()[:MAX_NAME] or "Somebody"


def text_of(content):
    text = content.get("text") if isinstance(content, dict) else None
    return text.strip()[:MAX_TEXT] if isinstance(text, str) else ""


class ChatConsumer(JsonWebsocketConsumer):
    """One person in one room, with plain functions.

    From the client: `{"text": …}`. To the client: `{"name": …, "text": …}` for what anyone in the room says, and
    `{"note": …}` when somebody comes or goes.
    """

    def connect(self):
        self.group, self.name = group_of(self.scope), name_of(self.scope)
        async_to_sync(self.channel_layer.group_add)(self.group, self.channel_name)
        self.accept()
        self.tell({"type": "chat.note", "note": f"{self.name} joined."})

    def disconnect(self, code):
        async_to_sync(self.channel_layer.group_discard)(self.group, self.channel_name)
        self.tell({"type": "chat.note", "note": f"{self.name} left."})

    def receive_json(self, content):
        if text := text_of(content):
            self.tell({"type": "chat.said", "name": self.name, "text": text})

    def tell(self, event):
        async_to_sync(self.channel_layer.group_send)(self.group, event)

    def chat_said(self, event):
        self.send_json({"name": event["name"], "text": event["text"]})

    def chat_note(self, event):
        self.send_json({"note": event["note"]})


class AsyncChatConsumer(AsyncJsonWebsocketConsumer):
    """The same with coroutines."""

    async def connect(self):
        self.group, self.name = group_of(self.scope), name_of(self.scope)
        await self.channel_layer.group_add(self.group, self.channel_name)
        await self.accept()
        await self.tell({"type": "chat.note", "note": f"{self.name} joined."})

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.group, self.channel_name)
        await self.tell({"type": "chat.note", "note": f"{self.name} left."})

    async def receive_json(self, content):
        if text := text_of(content):
            await self.tell({"type": "chat.said", "name": self.name, "text": text})

    async def tell(self, event):
        await self.channel_layer.group_send(self.group, event)

    async def chat_said(self, event):
        await self.send_json({"name": event["name"], "text": event["text"]})

    async def chat_note(self, event):
        await self.send_json({"note": event["note"]})


class PageConsumer(AsyncHttpConsumer):
    """The page, in the place of a Django view."""

    async def handle(self, body):
        file = self.scope["url_route"]["kwargs"].get("file", "page.html")
        headers = [(b"content-type", CONTENT_TYPES[file])]
        await self.send_response(200, (HERE / file).read_bytes(), headers=headers)
