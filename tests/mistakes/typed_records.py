"""Mistakes with typed messages, with presence and with history.

The code has `Say`, which clients send, and `Said`, which they get.
"""

from .mistake import Mistake

TYPED = [
    Mistake(
        "A handler of a model without `@on`",
        """
        class Chat(TypedConsumer):
            async def say(self, message: Say): ...

        Chat.as_asgi()
        """,
        "TypeError: Chat.say() takes the model Say and nothing here calls it: write @on above it, or @on_event for "
        "what is sent to groups; if code elsewhere calls it, name it _say()",
    ),
    Mistake(
        "`@on` in a consumer without types",
        """
        class Chat(AsyncJsonWebsocketConsumer):
            @on
            async def say(self, message: Say): ...

        Chat.as_asgi()
        """,
        "TypeError: Chat.say() has @on or @on_event, which this class does not read: derive Chat from TypedConsumer",
    ),
    Mistake(
        "A handler that does not say which model it takes",
        """
        class Chat(TypedConsumer):
            @on
            async def say(self, message): ...

        Chat.as_asgi()
        """,
        "TypeError: Chat.say(): message has no annotation, which says what it takes: write message: Say",
    ),
    Mistake(
        "A model without a type",
        """
        class Wave(BaseModel):
            to: str

        class Chat(TypedConsumer):
            @on
            async def wave(self, message: Wave): ...

        Chat.as_asgi()
        """,
        'TypeError: Wave has no type to be known by: write type: Literal["wave"] = "wave" in it',
    ),
    Mistake(
        "A type that is the framework's",
        """
        class Ping(BaseModel):
            type: Literal["ping"] = "ping"

        class Chat(TypedConsumer):
            @on
            async def ping(self, message: Ping): ...

        Chat.as_asgi()
        """,
        "TypeError: Ping: type 'ping' is reserved for the framework: choose another",
    ),
    Mistake(
        "A model with an `id` of its own",
        """
        class Edit(BaseModel):
            type: Literal["edit"] = "edit"
            id: int

        class Chat(TypedConsumer):
            @on
            async def edit(self, message: Edit): ...

        Chat.as_asgi()
        """,
        "TypeError: Edit.id: 'id' is the envelope's, which an answer is for: rename the field, or write another key in "
        'Chat, such as id_key = "message_id"',
    ),
    Mistake(
        "Two handlers of one model",
        """
        class Chat(TypedConsumer):
            @on
            async def say(self, message: Say): ...

            @on
            async def shout(self, message: Say): ...

        Chat.as_asgi()
        """,
        "TypeError: Chat.say() and Chat.shout() both handle type 'say': give each a type of its own",
    ),
    Mistake(
        "An answer that `sends` does not have",
        """
        class Chat(TypedConsumer):
            @on
            async def say(self, message: Say) -> Said:
                return Said(text=message.text)

        Chat.as_asgi()
        """,
        "TypeError: Chat.say() returns Said: declare it, write sends = Said in Chat",
    ),
    Mistake(
        "A model in `send_message()` that `sends` does not have",
        """
        class Chat(TypedConsumer):
            async def connect(self):
                await self.accept()
                await self.send_message(Said(text="hello"))

        app = Chat.as_asgi()
        """,
        "TypeError: Chat: what send_message() was given is a Said: declare it, write sends = Said in Chat",
        opens="/ws",
    ),
    Mistake(
        "A dict in place of a model",
        """
        await group_send_message("chat.1", {"type": "said", "text": "hello"})
        """,
        "TypeError: group_send_message() sends a model, not dict",
    ),
    Mistake(
        "`receive_json()` in a typed consumer",
        """
        class Chat(TypedConsumer):
            async def receive_json(self, content): ...

        Chat.as_asgi()
        """,
        "TypeError: Chat.receive_json() is never called: a typed consumer has a method with @on for each model that it "
        "takes",
    ),
    Mistake(
        "The end of a session as a number",
        """
        class Chat(TypedConsumer):
            async def connect(self):
                self.expires_at = 1767225600
                await self.accept()

        app = Chat.as_asgi()
        """,
        "TypeError: expires_at must be a datetime, not 1767225600: write datetime.fromtimestamp(value, UTC)",
        opens="/ws",
    ),
]

GROUPS = [
    Mistake(
        "A misspelt handler of presence",
        """
        class Room(AsyncWebsocketConsumer):
            async def presence_dif(self, event): ...

        Room.as_asgi()
        """,
        "TypeError: Room.presence_dif() is never called: did you mean presence_diff()?",
    ),
    Mistake(
        "A number as somebody's key",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self):
                await self.accept()
                await self.group_track("room.1", key=7)

        app = Room.as_asgi()
        """,
        "TypeError: key must be a str, such as a user's id, not int: 7",
        opens="/ws",
    ),
    Mistake(
        "A message of a type that only layers send",
        """
        await layer.group_send("room.1", {"type": "presence.diff", "joins": {}})
        """,
        "WARNING consumers.layers: A message to group room.1 was dropped: only a layer sends messages of type "
        "'presence.diff'; choose another type",
    ),
    Mistake(
        "An id in a group without history",
        """
        await layer.group_send("chat.1", {"type": "chat.message"}, id="1")
        """,
        "ValueError: id needs a group with history: name the group in the layer's `history` option",
    ),
    Mistake(
        "The history of a group that has none",
        """
        await layer.history("chat.1")
        """,
        "WARNING consumers.layers: Group 'chat.1' has no history to hand over: the layer's `history` option is not set",
    ),
    Mistake(
        "A size in place of a rule",
        """
        InMemoryChannelLayer(history={"chat.*": 1000})
        """,
        'TypeError: history[\'chat.*\'] must be a dict such as {"size": 1000, "ttl": 3600}, not 1000',
    ),
]
