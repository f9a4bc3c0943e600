"""BaseMiddleware, and middleware that projects write."""

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.testing import WebsocketCommunicator


async def returns_scope(scope, receive, send):
    return scope


async def test_the_inner_application_gets_a_copy_of_the_scope():
    scope = {"type": "websocket", "path": "/"}
    inner = await BaseMiddleware(returns_scope)(scope, None, None)
    assert inner == scope
    assert inner is not scope


class Adding(BaseMiddleware):
    async def __call__(self, scope, receive, send):
        scope = dict(scope, user="ann")
        return await super().__call__(scope, receive, send)


async def test_middleware_adds_to_the_scope():
    scope = {"type": "websocket"}
    assert await Adding(returns_scope)(scope, None, None) == {"type": "websocket", "user": "ann"}
    assert scope == {"type": "websocket"}


async def test_middleware_nests():
    class Counting(BaseMiddleware):
        def __init__(self, inner, step):
            super().__init__(inner)
            self.step = step

        async def __call__(self, scope, receive, send):
            return await super().__call__({**scope, "count": scope.get("count", 0) + self.step}, receive, send)

    application = Counting(Counting(Adding(returns_scope), 1), step=10)
    assert await application({"type": "http"}, None, None) == {"type": "http", "count": 11, "user": "ann"}
    assert application.inner.inner.inner is returns_scope


class WhoAmI(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.send(self.scope["user"])


def by_function(inner):
    async def application(scope, receive, send):
        return await inner(dict(scope, user="bob"), receive, send)

    return application


@pytest.mark.parametrize(("middleware", "user"), [(Adding, "ann"), (by_function, "bob")])
async def test_a_consumer_sees_what_middleware_adds(middleware, user):
    communicator = WebsocketCommunicator(middleware(WhoAmI.as_asgi()), "/")
    assert await communicator.connect() == (True, None)
    assert await communicator.receive_from() == user
    await communicator.disconnect()


async def test_middleware_may_refuse():
    class Refusing(BaseMiddleware):
        async def __call__(self, scope, receive, send):
            await send({"type": "websocket.close", "code": 4401})

    assert await WebsocketCommunicator(Refusing(WhoAmI.as_asgi()), "/").connect() == (False, 4401)
