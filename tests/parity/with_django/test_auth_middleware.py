"""The middleware for users, and consumers behind it."""

import pytest
from asgiref.sync import async_to_sync
from channels.auth import AuthMiddleware, AuthMiddlewareStack, UserLazyObject, get_user, login, logout
from channels.db import database_sync_to_async
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.sessions import CookieMiddleware, SessionMiddleware, SessionMiddlewareStack
from channels.testing import HttpCommunicator, WebsocketCommunicator
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session

from . import IS_COMPAT
from .consumers import Visitor
from .people.models import Person
from .scopes import Answering, call, cookies, scope

pytestmark = pytest.mark.django_db(transaction=True)


class Refused(Exception):
    """What a middleware of one's own may raise."""


def session_exists(key):
    return Session.objects.filter(session_key=key).exists()


async def test_the_user_is_not_ready_before_it_is_resolved(logged_in):
    seen = {}

    class Looking(AuthMiddleware):
        def populate_scope(self, scope):
            super().populate_scope(scope)
            seen["type"] = type(scope["user"])
            with pytest.raises(ValueError, match="user"):
                scope["user"].is_authenticated  # noqa: B018
            scope["seen"] = True

        async def resolve_scope(self, scope):
            await super().resolve_scope(scope)
            seen["user"] = scope["user"].email

    application = Answering()
    await call(SessionMiddlewareStack(Looking(application)), scope(sessionid=logged_in))
    assert seen == {"type": UserLazyObject, "user": "ann@example.com"}
    assert application.scope["seen"] is True


async def test_a_subclass_finds_the_user_in_another_way(person):
    class ByName(AuthMiddleware):
        async def resolve_scope(self, scope):
            scope["user"]._wrapped = await database_sync_to_async(Person.objects.get)(email=scope["path"][1:])

    application = Answering()
    outer = {**scope(), "path": "/ann@example.com"}
    await call(SessionMiddlewareStack(ByName(application)), outer)
    assert application.scope["user"] == person
    assert "user" not in outer


async def test_what_a_subclass_raises_leaves_it():
    class Refusing(AuthMiddleware):
        async def resolve_scope(self, scope):
            raise Refused

    with pytest.raises(Refused):
        await call(SessionMiddlewareStack(Refusing(Answering())), scope())


async def test_users_need_sessions():
    with pytest.raises(
        ValueError, match=r"AuthMiddleware cannot find session in scope\. SessionMiddleware must be above it"
    ):
        await call(AuthMiddleware(Answering()), scope())


async def test_a_user_that_is_in_the_scope_stays(logged_in):
    bob = Person(email="bob@example.com")
    application = Answering()
    await call(AuthMiddlewareStack(application), {**scope(sessionid=logged_in), "user": bob})
    assert application.scope["user"] is bob
    assert ("_wrapped" in vars(bob)) is not IS_COMPAT  # Channels hangs the session's user on it


async def test_the_outer_scope_is_left_alone(logged_in):
    outer = {**scope(), "session": SessionStore(logged_in)}
    application = Answering()
    await call(AuthMiddleware(application), outer)
    assert application.scope["user"].email == "ann@example.com"
    assert "user" not in outer


async def test_a_stack_in_a_stack_finds_the_same_user(person, logged_in):
    application = Answering()
    await call(AuthMiddlewareStack(AuthMiddlewareStack(application)), scope(sessionid=logged_in))
    assert application.scope["user"] == person


def test_the_stack_is_three_middlewares():
    inner = Answering()
    stack = AuthMiddlewareStack(inner)
    types = (type(stack), type(stack.inner), type(stack.inner.inner))
    assert types == (CookieMiddleware, SessionMiddleware, AuthMiddleware)
    assert stack.inner.inner.inner is inner


async def connected(consumer, **headers):
    """Return a communicator and the event that accepts its handshake."""
    communicator = WebsocketCommunicator(AuthMiddlewareStack(consumer.as_asgi()), "/", **headers)
    await communicator.send_input({"type": "websocket.connect"})
    return communicator, await communicator.receive_output()


async def test_a_sync_consumer_logs_in_and_saves(person):
    class Entering(WebsocketConsumer):
        def connect(self):
            async_to_sync(login)(self.scope, person)
            self.scope["session"].save()
            self.accept()
            self.send(self.scope["session"].session_key)

        def receive(self, text_data):
            async_to_sync(logout)(self.scope)
            self.send(str(async_to_sync(get_user)(self.scope)))

    communicator, accepted = await connected(Entering)
    assert accepted["type"] == "websocket.accept"
    key = await communicator.receive_from()
    assert await database_sync_to_async(session_exists)(key)
    if IS_COMPAT:
        assert cookies([accepted])["sessionid"][0] == f"sessionid={key}"
    await communicator.send_to(text_data="out")
    assert await communicator.receive_from() == "AnonymousUser"
    assert not await database_sync_to_async(session_exists)(key)
    await communicator.disconnect()


async def test_an_async_consumer_logs_in_and_saves(person):
    class Entering(AsyncWebsocketConsumer):
        async def receive(self, text_data):
            await login(self.scope, person)
            await database_sync_to_async(self.scope["session"].save)()
            await self.send(self.scope["session"].session_key)

    communicator, accepted = await connected(Entering)
    assert cookies([accepted]) == {}
    await communicator.send_to(text_data="in")
    key = await communicator.receive_from()
    await communicator.disconnect()
    communicator, _ = await connected(Visitor, headers=[(b"cookie", f"sessionid={key}".encode())])
    assert await communicator.receive_from() == "ann@example.com"
    await communicator.disconnect()


async def test_an_http_consumer_logs_in(person):
    class Entering(AsyncHttpConsumer):
        async def handle(self, body):
            await login(self.scope, person)
            await self.send_response(200, b"welcome", headers=[(b"content-type", b"text/plain")])

    communicator = HttpCommunicator(AuthMiddlewareStack(Entering.as_asgi()), "POST", "/")
    response = await communicator.get_response()
    key = cookies([response])["sessionid"][0].partition("=")[2]
    assert await database_sync_to_async(session_exists)(key)
