"""Mistakes and their answers, as data: the tests make each mistake, and compare the answer word for word."""

import textwrap
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI
from starlette.routing import Mount, Route, Router, WebSocketRoute

import consumers
from consumers import AsyncWebsocketConsumer


class ChatConsumer(AsyncWebsocketConsumer):
    """What is right in most examples."""


@dataclass(frozen=True)
class Mistake:
    """One mistake.

    Args:
        title: what it is, in a few words.
        code: a short piece of code that makes it.
        answer: what is raised, as "TypeError: …", or what is logged, as "WARNING: …".
        opens: the path at which a client then opens a WebSocket to `app`; "" if the code alone is answered.
    """

    title: str
    code: str
    answer: str
    opens: str = ""

    def make(self) -> dict[str, Any]:
        """Execute the code.

        Returns:
            dict: what it has defined.
        """
        namespace = self.names()
        exec(compile(textwrap.dedent(self.code), f"<{self.title}>", "exec"), namespace)
        return namespace

    @staticmethod
    def names() -> dict[str, Any]:
        """Return what the code may use without importing it: the public names, and a consumer that is right."""
        public = {name: getattr(consumers, name) for name in consumers.__all__}
        routes = {cls.__name__: cls for cls in (FastAPI, Mount, Route, Router, WebSocketRoute)}
        return {**public, **routes, "ChatConsumer": ChatConsumer, "__name__": "mistakes"}


WIRINGS = [
    Mistake(
        "A mount without a slash",
        """
        app = FastAPI()
        app.mount("/ws/1", ChatConsumer.as_asgi())
        """,
        "WARNING: no WebSocket reaches '/ws/1': Mount serves '/ws/1/' and what is below it. "
        "Write WebSocketRoute('/ws/1', ChatConsumer.as_asgi())",
        opens="/ws/1",
    ),
    Mistake(
        "Route for WebSocketRoute",
        """
        app = Router(routes=[Route("/ws/{room}", ChatConsumer.as_asgi())])
        """,
        "WARNING: no WebSocket reaches '/ws/{room}': Route is for HTTP. "
        "Write WebSocketRoute('/ws/{room}', ChatConsumer.as_asgi())",
        opens="/ws/1",
    ),
    Mistake(
        "A WebSocket consumer under app.get()",
        """
        app = FastAPI()
        app.get("/ws")(ChatConsumer.as_asgi())
        """,
        "WARNING: no WebSocket reaches '/ws': APIRoute is for HTTP. "
        "Write WebSocketRoute('/ws', ChatConsumer.as_asgi())",
        opens="/ws",
    ),
    Mistake(
        "A class as FastAPI's endpoint",
        """
        app = FastAPI()
        app.websocket("/ws")(ChatConsumer)
        """,
        "TypeError: ChatConsumer is a class, not an ASGI application: write ChatConsumer.as_asgi()",
        opens="/ws",
    ),
    Mistake(
        "as_asgi without parentheses, in FastAPI",
        """
        app = FastAPI()
        app.websocket("/ws")(ChatConsumer.as_asgi)
        """,
        "TypeError: ChatConsumer.as_asgi is a method, not an ASGI application: write ChatConsumer.as_asgi()",
        opens="/ws",
    ),
    Mistake(
        "as_asgi without parentheses, in a router",
        """
        path("ws/", ChatConsumer.as_asgi)
        """,
        "TypeError: path('ws/', ...): ChatConsumer.as_asgi is a method, not an ASGI application: "
        "write ChatConsumer.as_asgi()",
    ),
    Mistake(
        "An instance in a router",
        """
        URLRouter([path("ws/", ChatConsumer())])
        """,
        "TypeError: URLRouter, pattern 'ws/': ChatConsumer() would serve a single connection: "
        "write ChatConsumer.as_asgi()",
    ),
    Mistake(
        "A function of Starlette's in a router",
        """
        async def chat(websocket): ...

        path("ws/", chat)
        """,
        "TypeError: path('ws/', ...): chat(websocket) is no ASGI application, which takes (scope, receive, send)",
    ),
    Mistake(
        "Middleware that was not made",
        """
        class Auth:
            def __init__(self, app):
                self.app = app

            async def __call__(self, scope, receive, send):
                await self.app(scope, receive, send)

        ProtocolTypeRouter({"websocket": Auth})
        """,
        "TypeError: ProtocolTypeRouter, 'websocket': Auth is a class, not an ASGI application: write Auth(app)",
    ),
    Mistake(
        "Middleware of the wrong signature",
        """
        class Auth:
            async def __call__(self, request): ...

        ProtocolTypeRouter({"websocket": Auth()})
        """,
        "TypeError: ProtocolTypeRouter, 'websocket': Auth.__call__(request) is no ASGI application, "
        "which takes (scope, receive, send)",
    ),
]

OPTIONS = [
    Mistake(
        "An option without its last letter",
        """
        class Room(AsyncWebsocketConsumer):
            max_task = 4

        Room.as_asgi()
        """,
        "TypeError: Room.max_task is not an option: did you mean max_tasks?",
    ),
    Mistake(
        "An option without its underscore",
        """
        class Room(AsyncWebsocketConsumer):
            ratelimit = 10

        Room.as_asgi()
        """,
        "TypeError: Room.ratelimit is not an option: did you mean rate_limit?",
    ),
    Mistake(
        "A misspelt keyword",
        """
        class Room(AsyncWebsocketConsumer):
            def __init__(self, db=None):
                super().__init__()

        Room.as_asgi(dbb=1)
        """,
        "TypeError: Room.as_asgi(): Room.__init__() does not take dbb: did you mean db?",
    ),
    Mistake(
        "A keyword that nothing takes",
        """
        class Room(AsyncWebsocketConsumer):
            pass

        Room.as_asgi(db=1)
        """,
        "TypeError: Room.as_asgi(db=...): Room has no __init__() that takes db: define one",
    ),
    Mistake(
        "An option as a keyword",
        """
        class Room(AsyncWebsocketConsumer):
            pass

        Room.as_asgi(max_tasks=4)
        """,
        "TypeError: Room.as_asgi(max_tasks=...): Room has no __init__() that takes max_tasks: "
        "set it in the class, max_tasks = 4",
    ),
    Mistake(
        "A keyword that is missing",
        """
        class Room(AsyncWebsocketConsumer):
            def __init__(self, db):
                super().__init__()

        Room.as_asgi()
        """,
        "TypeError: Room.as_asgi(): Room.__init__() needs db: write Room.as_asgi(db=...)",
    ),
]

HOOKS = [
    Mistake(
        "A plain method in an async consumer",
        """
        class Room(AsyncWebsocketConsumer):
            def receive(self, text_data):
                self.last = text_data

        Room.as_asgi()
        """,
        "TypeError: Room.receive() must be `async def`: this is an async consumer",
    ),
    Mistake(
        "An async method in a sync consumer",
        """
        class Room(WebsocketConsumer):
            async def connect(self):
                self.accept()

        Room.as_asgi()
        """,
        "TypeError: Room.connect() must be a plain `def`: this is a sync consumer",
    ),
    Mistake(
        "A method that yields",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self):
                await self.accept()
                yield

        Room.as_asgi()
        """,
        "TypeError: Room.connect() has a `yield`, so calling it runs nothing: write an `async def` without one",
    ),
    Mistake(
        "disconnect() without the code",
        """
        class Room(AsyncWebsocketConsumer):
            async def disconnect(self): ...

        Room.as_asgi()
        """,
        "TypeError: Room.disconnect() does not take what it is called with: write disconnect(self, code)",
    ),
    Mistake(
        "receive_json() without the content",
        """
        class Room(AsyncJsonWebsocketConsumer):
            async def receive_json(self): ...

        Room.as_asgi()
        """,
        "TypeError: Room.receive_json() does not take what it is called with: write receive_json(self, content)",
    ),
    Mistake(
        "receive() with another parameter",
        """
        class Room(AsyncWebsocketConsumer):
            async def receive(self, message): ...

        Room.as_asgi()
        """,
        "TypeError: Room.receive() takes neither text_data nor bytes_data by name, alone: "
        "write receive(self, text_data=None, bytes_data=None)",
    ),
    Mistake(
        "connect() with a path parameter",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self, room): ...

        Room.as_asgi()
        """,
        "TypeError: Room.connect() does not take what it is called with: write connect(self), "
        'and read path parameters from self.scope["url_route"]["kwargs"]',
    ),
]

CONNECTING = [
    Mistake(
        "connect() that decides nothing",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self):
                self.room = 1

        app = Room.as_asgi()
        """,
        "WARNING: Room at '/ws': connect() returned 5 s ago, and the client still waits: "
        "call accept(), close() or deny()",
        opens="/ws",
    ),
]
