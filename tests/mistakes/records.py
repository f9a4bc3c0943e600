"""Mistakes in wiring and in consumer classes: the tests make each, and compare the answer word for word."""

from .mistake import Mistake

WIRINGS = [
    Mistake(
        "A `Mount` that clients open without a slash",
        """
        app = FastAPI()
        app.mount("/ws/1", ChatConsumer.as_asgi())
        """,
        "WARNING consumers.routing: no WebSocket reaches '/ws/1': Mount serves '/ws/1/' and what is below it. "
        "Write app.websocket('/ws/1')(ChatConsumer.as_asgi())",
        opens="/ws/1",
    ),
    Mistake(
        "`Route` in place of `WebSocketRoute`",
        """
        app = Router(routes=[Route("/ws/{room}", ChatConsumer.as_asgi())])
        """,
        "WARNING consumers.routing: no WebSocket reaches '/ws/{room}': Route is for HTTP. "
        "Write WebSocketRoute('/ws/{room}', ChatConsumer.as_asgi())",
        opens="/ws/1",
    ),
    Mistake(
        "A WebSocket consumer under `app.get()`",
        """
        app = FastAPI()
        app.get("/ws")(ChatConsumer.as_asgi())
        """,
        "WARNING consumers.routing: no WebSocket reaches '/ws': APIRoute is for HTTP. "
        "Write app.websocket('/ws')(ChatConsumer.as_asgi())",
        opens="/ws",
    ),
    Mistake(
        "A slash that only the client has",
        """
        app = Starlette(routes=[WebSocketRoute("/ws", ChatConsumer.as_asgi())])
        """,
        "WARNING consumers.routing: no WebSocket reaches '/ws/': WebSocketRoute serves '/ws'. "
        "Let clients open that, or write WebSocketRoute('/ws/', ChatConsumer.as_asgi())",
        opens="/ws/",
    ),
    Mistake(
        "A slash that only the route has",
        """
        app = URLRouter([path("ws/", ChatConsumer.as_asgi())])
        """,
        "WARNING consumers.routing: no route for the websocket path '/ws': there is one with a slash at its end",
        opens="/ws",
    ),
    Mistake(
        "Django's parameters in a route of Starlette's",
        """
        app = Starlette(routes=[WebSocketRoute("/ws/<int:room>", ChatConsumer.as_asgi())])
        """,
        "WARNING consumers.routing: no WebSocket reaches '/ws/{room:int}': WebSocketRoute takes '/ws/<int:room>' "
        "as it is. Write WebSocketRoute('/ws/{room:int}', ChatConsumer.as_asgi())",
        opens="/ws/1",
    ),
    Mistake(
        "`path()` among Starlette's routes",
        """
        app = Starlette(routes=[path("ws/", ChatConsumer.as_asgi())])
        """,
        "TypeError: path() and re_path() make patterns for a URLRouter: write URLRouter([...]), "
        "or WebSocketRoute(path, ChatConsumer.as_asgi()) among Starlette's routes",
        opens="/ws/",
    ),
    Mistake(
        "The class given to FastAPI",
        """
        app = FastAPI()
        app.websocket("/ws")(ChatConsumer)
        """,
        "TypeError: ChatConsumer is a class, not an ASGI application: write ChatConsumer.as_asgi()",
        opens="/ws",
    ),
    Mistake(
        "`as_asgi` without its parentheses, given to FastAPI",
        """
        app = FastAPI()
        app.websocket("/ws")(ChatConsumer.as_asgi)
        """,
        "TypeError: ChatConsumer.as_asgi is a method, not an ASGI application: write ChatConsumer.as_asgi()",
        opens="/ws",
    ),
    Mistake(
        "An instance given to FastAPI",
        """
        app = FastAPI()
        app.websocket("/ws")(ChatConsumer())
        """,
        "TypeError: ChatConsumer() would serve a single connection: write ChatConsumer.as_asgi()",
        opens="/ws",
    ),
    Mistake(
        "`as_endpoint()` in a route of Starlette's",
        """
        app = Starlette(routes=[WebSocketRoute("/ws", ChatConsumer.as_endpoint())])
        """,
        "TypeError: ChatConsumer.as_endpoint() is for FastAPI's app.add_api_websocket_route() and app.websocket(): "
        "write ChatConsumer.as_asgi() elsewhere",
        opens="/ws",
    ),
    Mistake(
        "`connect()` with a parameter that the path lacks",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self, room): ...

        app = Starlette(routes=[WebSocketRoute("/rooms/{id}", Room.as_asgi())])
        """,
        "TypeError: Room.connect() needs room, but the route's path has only id: "
        "write {room} there, or give room a default",
        opens="/rooms/1",
    ),
    Mistake(
        "A `BaseWSEndpoint` given to FastAPI",
        """
        class Countdown(BaseWSEndpoint):
            encoding = "json"

        app = FastAPI()
        app.websocket("/ws")(Countdown)
        """,
        "TypeError: Countdown is an endpoint of Starlette's, not of FastAPI's: "
        "write app.router.routes.append(WebSocketRoute(path, Countdown))",
        opens="/ws",
    ),
    Mistake(
        "`as_asgi` without its parentheses, given to a router",
        """
        path("ws/", ChatConsumer.as_asgi)
        """,
        "TypeError: path('ws/', ...): ChatConsumer.as_asgi is a method, not an ASGI application: "
        "write ChatConsumer.as_asgi()",
    ),
    Mistake(
        "An instance given to a router",
        """
        URLRouter([path("ws/", ChatConsumer())])
        """,
        "TypeError: URLRouter, pattern 'ws/': ChatConsumer() would serve a single connection: "
        "write ChatConsumer.as_asgi()",
    ),
    Mistake(
        "A function for Starlette's routes, given to `path()`",
        """
        async def chat(websocket): ...

        path("ws/", chat)
        """,
        "TypeError: path('ws/', ...): chat(websocket) is no ASGI application, which takes (scope, receive, send)",
    ),
    Mistake(
        "The class of a middleware, given to a router",
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
        "Middleware that takes a request",
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
        "A value that an option does not take",
        """
        class Room(AsyncWebsocketConsumer):
            max_message_size = "64 KB"

        Room.as_asgi()
        """,
        "ValueError: Room.max_message_size must be an int of 1 or more, or None for no limit, not '64 KB'",
    ),
    Mistake(
        "A name in place of a list of groups",
        """
        class Room(AsyncWebsocketConsumer):
            groups = "news"

        Room.as_asgi()
        """,
        "ValueError: Room.groups must be a list of names, not the str 'news': ['news']?",
    ),
    Mistake(
        "An alias in place of a channel layer",
        """
        class Room(AsyncWebsocketConsumer):
            channel_layer = "redis"

        Room.as_asgi()
        """,
        "ValueError: Room.channel_layer is set for each connection, so 'redis' would be lost: "
        "write channel_layer_alias = 'redis'",
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
        "An argument without its name",
        """
        class Room(AsyncWebsocketConsumer):
            def __init__(self, db):
                super().__init__()

        Room.as_asgi(1)
        """,
        "TypeError: Room.as_asgi() takes arguments for Room.__init__(), each by its name; got 1 without one",
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
        "A plain `def` in an async consumer",
        """
        class Room(AsyncWebsocketConsumer):
            def receive(self, text_data):
                self.last = text_data

        Room.as_asgi()
        """,
        "TypeError: Room.receive() must be `async def`: this is an async consumer",
    ),
    Mistake(
        "An `async def` in a sync consumer",
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
        "`disconnect()` without the code",
        """
        class Room(AsyncWebsocketConsumer):
            async def disconnect(self): ...

        Room.as_asgi()
        """,
        "TypeError: Room.disconnect(self) is called with one argument: write disconnect(self, code)",
    ),
    Mistake(
        "`receive_json()` without the content",
        """
        class Room(AsyncJsonWebsocketConsumer):
            async def receive_json(self): ...

        Room.as_asgi()
        """,
        "TypeError: Room.receive_json(self) is called with one argument: write receive_json(self, content)",
    ),
    Mistake(
        "`receive()` with another parameter",
        """
        class Room(AsyncWebsocketConsumer):
            async def receive(self, message): ...

        Room.as_asgi()
        """,
        "TypeError: Room.receive(self, message) is called with text_data=... or bytes_data=...: "
        "write receive(self, text_data=None, bytes_data=None)",
    ),
    Mistake(
        "`connect()` with FastAPI's `Depends`, behind `as_asgi()`",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self, user=Depends(current_user)): ...

        Room.as_asgi()
        """,
        "TypeError: Room.connect(): as_asgi() gives it the path's parameters alone, so no Depends fills user: "
        "write Room.as_endpoint(), which FastAPI calls",
    ),
    Mistake(
        "`connect()` with a `Request`",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self, request: Request): ...

        Room.as_endpoint()
        """,
        "TypeError: Room.connect() cannot have request, a Request: use self.headers, self.cookies, "
        "self.query_params, self.path_params or self.scope",
    ),
    Mistake(
        "`disconnect()` with FastAPI's `Depends`",
        """
        class Room(AsyncWebsocketConsumer):
            async def disconnect(self, code, user=Depends(current_user)): ...

        Room.as_asgi()
        """,
        "TypeError: Room.disconnect(): FastAPI does not call it, so no Depends fills user: call what you need in it",
    ),
    Mistake(
        "A misspelt method",
        """
        class Room(AsyncWebsocketConsumer):
            async def recieve(self, text_data): ...

        Room.as_asgi()
        """,
        "TypeError: Room.recieve() is never called: did you mean receive()?",
    ),
    Mistake(
        "`receive_json()` in a consumer for text",
        """
        class Room(AsyncWebsocketConsumer):
            async def receive_json(self, content): ...

        Room.as_asgi()
        """,
        "TypeError: Room.receive_json() is never called: derive Room from AsyncJsonWebsocketConsumer",
    ),
    Mistake(
        "A method of Starlette's endpoints",
        """
        class Room(AsyncWebsocketConsumer):
            async def on_receive(self, websocket, data): ...

        Room.as_asgi()
        """,
        "TypeError: Room.on_receive() is never called, as this is no endpoint of Starlette's: "
        "write receive(self, text_data=None, bytes_data=None)",
    ),
    Mistake(
        "`__init__()` with the scope",
        """
        class Room(AsyncWebsocketConsumer):
            def __init__(self, scope):
                super().__init__()

        Room.as_asgi()
        """,
        "TypeError: Room.as_asgi(): Room.__init__() needs scope, which comes later: read self.scope in connect()",
    ),
    Mistake(
        "A plain `def` in the background",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self):
                await self.accept()
                self.start_background_task(self.push)

            def push(self): ...

        app = Room.as_asgi()
        """,
        "TypeError: start_background_task() takes an async function: Room.push() must be `async def`",
        opens="/ws",
    ),
]

CONNECTING = [
    Mistake(
        "`connect()` that decides nothing",
        """
        class Room(AsyncWebsocketConsumer):
            async def connect(self):
                self.room = 1

        app = Room.as_asgi()
        """,
        "WARNING consumers.connection: Room at '/ws': connect() returned 5 s ago, and the client still waits: "
        "call accept(), close() or deny()",
        opens="/ws",
    ),
]
