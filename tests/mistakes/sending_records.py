"""Mistakes in sending and in setting up layers. Those of `SENDING` have `layer`, the default channel layer, at hand."""

from .mistake import Mistake

SENDING = [
    Mistake(
        "A message to a group without a type",
        """
        await layer.group_send("chat.1", {"text": "hello"})
        """,
        'ValueError: The message has no "type", which names the handler: '
        '{"type": "chat.message", ...} goes to chat_message(self, event)',
    ),
    Mistake(
        "A message to a channel whose type is no str",
        """
        await layer.send("mail", {"type": 5, "text": "hello"})
        """,
        "ValueError: Malformed type in message: 5 is not a str. The type names the handler: "
        '{"type": "chat.message", ...} goes to chat_message(self, event)',
    ),
    Mistake(
        "A message whose type no method can have as its name",
        """
        await layer.group_send("chat.1", {"type": "chat message"})
        """,
        "ValueError: Malformed type in message (no method's name): 'chat message'. The type names the handler: "
        '{"type": "chat.message", ...} goes to chat_message(self, event)',
    ),
    Mistake(
        "A message whose type begins with an underscore",
        """
        await layer.group_send("chat.1", {"type": "_message"})
        """,
        "ValueError: Malformed type in message (leading underscore): '_message'. The type names the handler: "
        '{"type": "chat.message", ...} goes to chat_message(self, event)',
    ),
    Mistake(
        "Text in place of a message",
        """
        await layer.group_send("chat.1", "hello")
        """,
        'TypeError: A message must be a dict, such as {"type": "chat.message", "text": "hello"}, not str',
    ),
    Mistake(
        "A message that no handler is there for",
        """
        class Chat(AsyncWebsocketConsumer):
            async def receive(self, text_data):
                await self.channel_layer.send(self.channel_name, {"type": "chat.mesage", "text": text_data})

            async def chat_message(self, event):
                await self.send(event["text"])

        app = Chat.as_asgi()
        """,
        "WARNING consumers.connection: Chat dropped a layer message: "
        "no handler for type 'chat_mesage': define `chat_mesage(self, event)`, or did you mean 'chat_message'?",
        opens="/ws",
    ),
    Mistake(
        "A handler without the message",
        """
        class Chat(AsyncWebsocketConsumer):
            async def receive(self, text_data):
                await self.channel_layer.send(self.channel_name, {"type": "chat.message", "text": text_data})

            async def chat_message(self):
                await self.send("hello")

        app = Chat.as_asgi()
        """,
        "WARNING consumers.connection: Chat dropped a layer message: type 'chat_message' names what cannot be called "
        "with one event, as `chat_message(self, event)` can",
        opens="/ws",
    ),
    Mistake(
        "A message for a method of the framework",
        """
        class Chat(AsyncWebsocketConsumer):
            async def receive(self, text_data):
                await self.channel_layer.send(self.channel_name, {"type": "send", "text": text_data})

        app = Chat.as_asgi()
        """,
        "WARNING consumers.connection: Chat dropped a layer message: "
        "type 'send' names a method of the framework, which no message reaches: choose another",
        opens="/ws",
    ),
    Mistake(
        "A message to a group that nobody is in",
        """
        await layer.group_send("chat.l", {"type": "chat.message", "text": "hello"})
        """,
        "DEBUG consumers.layers: A message of type 'chat.message' reached nobody: nobody is in the group 'chat.l'",
    ),
    Mistake(
        "A group's name given to `send()`",
        """
        await layer.group_add("chat.1", "ann")
        await layer.send("chat.1", {"type": "chat.message", "text": "hello"})
        """,
        "DEBUG consumers.layers: A message of type 'chat.message' waits: "
        "nobody receives from the channel 'chat.1' now. There is a group of that name, which takes group_send()",
    ),
    Mistake(
        "A message to a channel that nobody receives from",
        """
        await layer.send("mail", {"type": "mail.send", "to": "ann"})
        """,
        "DEBUG consumers.layers: A message of type 'mail.send' waits: nobody receives from the channel 'mail' now",
    ),
    Mistake(
        "A message to a consumer whose client has left",
        """
        await layer.send("specific.inmemory!attached.c0ffee", {"type": "chat.message", "text": "hello"})
        """,
        "DEBUG consumers.layers: A message of type 'chat.message' reached nobody: "
        "the consumer has ended that had the channel 'specific.inmemory!attached.c0ffee'",
    ),
    Mistake(
        "A datetime in `send_json()`",
        """
        from datetime import UTC, datetime

        class Clock(AsyncJsonWebsocketConsumer):
            async def receive_json(self, content):
                await self.send_json({"now": datetime(2026, 1, 1, tzinfo=UTC)})

        app = Clock.as_asgi()
        """,
        "TypeError: Object of type datetime is not JSON serializable. Pass value.isoformat() in its place, "
        "or override encode_json() in Clock: return json.dumps(content, default=str)",
        opens="/ws",
    ),
    Mistake(
        "A pydantic model in `send_json()`",
        """
        from pydantic import BaseModel

        class Said(BaseModel):
            text: str

        class Chat(AsyncJsonWebsocketConsumer):
            async def receive_json(self, content):
                await self.send_json(Said(text="hello"))

        app = Chat.as_asgi()
        """,
        'TypeError: Object of type Said is not JSON serializable. Pass value.model_dump(mode="json") in its place, '
        "or override encode_json() in Chat: return json.dumps(content, default=pydantic_core.to_jsonable_python)",
        opens="/ws",
    ),
    Mistake(
        "A dataclass in `group_send_json()`",
        """
        from dataclasses import dataclass

        @dataclass
        class Said:
            text: str

        class Chat(AsyncJsonWebsocketConsumer):
            async def receive_json(self, content):
                await self.group_send_json("chat.1", Said("hello"))

        app = Chat.as_asgi()
        """,
        "TypeError: Object of type Said is not JSON serializable. Pass dataclasses.asdict(value) in its place, "
        "or override encode_json() in Chat: return json.dumps(content, default=dataclasses.asdict)",
        opens="/ws",
    ),
    Mistake(
        "A set in `send_json()`",
        """
        class Chat(AsyncJsonWebsocketConsumer):
            async def receive_json(self, content):
                await self.send_json({"tags": {"new"}})

        app = Chat.as_asgi()
        """,
        "TypeError: Object of type set is not JSON serializable. Pass list(value) in its place, "
        "or override encode_json() in Chat: return json.dumps(content, default=list)",
        opens="/ws",
    ),
    Mistake(
        "A dict in `send()`",
        """
        class Chat(AsyncJsonWebsocketConsumer):
            async def receive_json(self, content):
                await self.send({"text": "hello"})

        app = Chat.as_asgi()
        """,
        "TypeError: text_data must be a str, not dict; JSON consumers have send_json()",
        opens="/ws",
    ),
    Mistake(
        "A subprotocol that the client does not offer",
        """
        class Chat(AsyncWebsocketConsumer):
            async def connect(self):
                await self.accept("chat.v2")

        app = Chat.as_asgi()
        """,
        "WARNING consumers.connection: rejected '/ws': it offers the subprotocols ['chat.v1'], not 'chat.v2'",
        opens="/ws",
    ),
]

NO_LAYER = [
    Mistake(
        "A group without a channel layer",
        """
        class Chat(AsyncWebsocketConsumer):
            async def connect(self):
                await self.channel_layer.group_add("chat.1", self.channel_name)
                await self.accept()

        app = Chat.as_asgi()
        """,
        "consumers.exceptions.InvalidChannelLayerError: Chat.channel_layer is None, so it has no group_add(): "
        "there is no channel layer 'default'. Configure it before the application serves: "
        'channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})',
        opens="/ws",
    ),
    Mistake(
        "Another alias than the configured one",
        """
        channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})

        class News(AsyncWebsocketConsumer):
            channel_layer_alias = "redis"

            async def receive(self, text_data):
                await self.channel_layer.send("mail", {"type": "mail.send"})

        app = News.as_asgi()
        """,
        "consumers.exceptions.InvalidChannelLayerError: News.channel_layer is None, so it has no send(): "
        "there is no channel layer 'redis', only 'default'. Configure it before the application serves: "
        'channel_layers.configure({"redis": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})',
        opens="/ws",
    ),
    Mistake(
        "The attribute `groups` without a channel layer",
        """
        class News(AsyncWebsocketConsumer):
            groups = ["news"]

        app = News.as_asgi()
        """,
        "consumers.exceptions.InvalidChannelLayerError: News.groups = ['news'] needs a channel layer with groups, "
        "but there is no channel layer 'default'. Configure it before the application serves: "
        'channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})',
        opens="/ws",
    ),
    Mistake(
        "A channel layer without its alias",
        """
        channel_layers.configure({"BACKEND": "consumers.layers.InMemoryChannelLayer"})
        """,
        "consumers.exceptions.InvalidChannelLayerError: "
        'channel_layers.configure() takes layers by their aliases: write {"default": ...}',
    ),
    Mistake(
        "The class of a channel layer",
        """
        channel_layers.configure({"default": InMemoryChannelLayer})
        """,
        "consumers.exceptions.InvalidChannelLayerError: "
        "Channel layer 'default' must be a layer, not the class InMemoryChannelLayer: write InMemoryChannelLayer()",
    ),
    Mistake(
        "`close_group()` without a channel layer",
        """
        await close_group("user.ann", 4001, "logged out")
        """,
        "consumers.exceptions.InvalidChannelLayerError: there is no channel layer 'default'. "
        "Configure it before the application serves: "
        'channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})',
    ),
]

SEVERAL_PROCESSES = Mistake(
    "The in-memory layer, served by two processes: `uvicorn app:app --workers 2`",
    """\
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute

from consumers import AsyncWebsocketConsumer, channel_layers, lifespan

channel_layers.configure({"default": {"BACKEND": "consumers.layers.InMemoryChannelLayer"}})


class News(AsyncWebsocketConsumer):
    groups = ["news"]


app = Starlette(routes=[WebSocketRoute("/news", News.as_asgi())], lifespan=lifespan)
""",
    "WARNING consumers.layers: InMemoryChannelLayer in one of 2 server processes (uvicorn): "
    "its messages do not reach the clients of the others. Serve with one process, or use "
    '"consumers.layers.redis.RedisPubSubChannelLayer"',
)
