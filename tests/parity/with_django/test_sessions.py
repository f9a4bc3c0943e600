"""Django's sessions in the scope: what is saved when, and which cookie tells the client."""

import time
from email.utils import parsedate_to_datetime

import pytest
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.sessions import CookieMiddleware, InstanceSessionWrapper, SessionMiddleware, SessionMiddlewareStack
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.exceptions import SuspiciousOperation

from . import IS_COMPAT
from .scopes import ACCEPT, DENIED, FAILED, OK, Answering, attributes, call, cookies, scope

pytestmark = pytest.mark.django_db(transaction=True)


@database_sync_to_async
def stored(key):
    """Return what the database has of a session; None if it has none."""
    session = Session.objects.filter(session_key=key).first()
    return session and session.get_decoded()


@database_sync_to_async
def new_session(**data):
    """Return the key of a session in the database."""
    session = SessionStore()
    session.update(data)
    session.create()
    session.save()
    return session.session_key


def changing(**data):
    """Return a function that changes the session in a scope."""

    @sync_to_async
    def change(scope):
        scope["session"].update(data)

    return change


@sync_to_async
def flush(scope):
    scope["session"].flush()


@sync_to_async
def read(scope):
    scope["session"].get("anything")


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_the_session_of_the_cookie_is_in_the_scope(kind):
    key = await new_session(color="red")
    application = Answering()
    await call(SessionMiddlewareStack(application), scope(kind, sessionid=key))
    session = application.scope["session"]
    assert session.session_key == key
    assert await database_sync_to_async(session.get)("color") == "red"
    assert isinstance(session, SessionStore)


async def test_without_a_cookie_the_session_is_new_and_empty():
    application = Answering()
    await call(SessionMiddlewareStack(application), scope())
    assert application.scope["session"].session_key is None
    assert application.scope["session"].is_empty()


async def test_a_changed_session_is_saved_and_its_cookie_set_with_the_response():
    sent = await call(SessionMiddlewareStack(Answering(OK, before=changing(color="blue"))), scope())
    words = cookies(sent)["sessionid"]
    assert await stored(words[0].partition("=")[2]) == {"color": "blue"}
    named = attributes(words)
    assert (named["path"], named["samesite"].lower()) == ("/", "lax")
    assert "httponly" in named and "secure" not in named and "domain" not in named
    assert named["max-age"] == "1209600"
    assert abs(parsedate_to_datetime(named["expires"]).timestamp() - time.time() - 1209600) < 60


async def test_a_session_that_exists_is_saved_under_its_key():
    key = await new_session(color="red")
    sent = await call(SessionMiddlewareStack(Answering(OK, before=changing(size=1))), scope(sessionid=key))
    assert cookies(sent)["sessionid"][0] == f"sessionid={key}"
    assert await stored(key) == {"color": "red", "size": 1}


@pytest.mark.parametrize("before", [None, read])
async def test_an_unchanged_session_is_not_saved(before):
    key = await new_session(color="red")
    assert cookies(await call(SessionMiddlewareStack(Answering(OK, before=before)), scope(sessionid=key))) == {}


async def test_a_server_error_saves_nothing():
    key = await new_session(color="red")
    sent = await call(SessionMiddlewareStack(Answering(FAILED, before=changing(color="blue"))), scope(sessionid=key))
    assert cookies(sent) == {}
    assert await stored(key) == {"color": "red"}


async def test_every_request_saves_where_the_setting_says_so(settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    key = await new_session(color="red")
    sent = await call(SessionMiddlewareStack(Answering(OK)), scope(sessionid=key))
    assert cookies(sent)["sessionid"][0] == f"sessionid={key}"


async def test_an_empty_session_is_no_cookie_even_if_every_request_saves(settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    assert cookies(await call(SessionMiddlewareStack(Answering(OK)), scope())) == {}
    rows = await database_sync_to_async(Session.objects.count)()
    assert rows == (0 if IS_COMPAT else 1)  # Channels stores a session that nobody has the key of


async def test_a_cookie_without_a_session_is_deleted_if_every_request_saves(settings):
    settings.SESSION_SAVE_EVERY_REQUEST = True
    stack = SessionMiddlewareStack(Answering(OK))
    if IS_COMPAT:
        sent = await call(stack, scope(sessionid="a" * 32))
        assert attributes(cookies(sent)["sessionid"])["max-age"] == "0"
    else:  # takes a session that it has not loaded for one that exists, and cannot save it
        with pytest.raises(SuspiciousOperation):
            await call(stack, scope(sessionid="a" * 32))


async def test_a_session_may_end_with_the_browser():
    @sync_to_async
    def change(scope):
        scope["session"]["color"] = "blue"
        scope["session"].set_expiry(0)

    words = attributes(cookies(await call(SessionMiddlewareStack(Answering(OK, before=change)), scope()))["sessionid"])
    assert "max-age" not in words and "expires" not in words


async def test_all_sessions_may_end_with_the_browser(settings):
    settings.SESSION_EXPIRE_AT_BROWSER_CLOSE = True
    sent = await call(SessionMiddlewareStack(Answering(OK, before=changing(a=1))), scope())
    assert "max-age" not in attributes(cookies(sent)["sessionid"])


async def test_a_flushed_session_is_deleted_with_its_cookie():
    key = await new_session(color="red")
    sent = await call(SessionMiddlewareStack(Answering(OK, before=flush)), scope(sessionid=key))
    words = attributes(cookies(sent)["sessionid"])
    assert (words["max-age"], words["expires"], words["path"]) == ("0", "Thu, 01-Jan-1970 00:00:00 GMT", "/")
    assert await stored(key) is None


async def test_a_session_deleted_meanwhile_is_suspicious():
    key = await new_session(color="red")

    @sync_to_async
    def change(scope):
        scope["session"]["color"] = "blue"
        Session.objects.all().delete()

    with pytest.raises(SuspiciousOperation, match="deleted before"):
        await call(SessionMiddlewareStack(Answering(OK, before=change)), scope(sessionid=key))


async def test_the_settings_shape_the_cookie(settings):
    settings.SESSION_COOKIE_NAME = "sid"
    settings.SESSION_COOKIE_DOMAIN = "example.com"
    settings.SESSION_COOKIE_PATH = "/app"
    settings.SESSION_COOKIE_SECURE = True
    settings.SESSION_COOKIE_HTTPONLY = False
    settings.SESSION_COOKIE_SAMESITE = "Strict"
    settings.SESSION_COOKIE_AGE = 60
    stack = SessionMiddlewareStack(Answering(OK, before=changing(a=1)))
    words = attributes(cookies(await call(stack, scope(sessionid="other")))["sid"])
    named = {name: words[name] for name in ("domain", "path", "samesite", "max-age")}
    assert named == {"domain": "example.com", "path": "/app", "samesite": "Strict", "max-age": "60"}
    assert "secure" in words and "httponly" not in words


async def test_the_setting_may_leave_samesite_to_the_browser(settings):
    settings.SESSION_COOKIE_SAMESITE = False
    stack = SessionMiddlewareStack(Answering(OK, before=changing(a=1)))
    if IS_COMPAT:
        assert "samesite" not in attributes(cookies(await call(stack, scope()))["sessionid"])
    else:  # takes it for a string
        with pytest.raises(AttributeError):
            await call(stack, scope())


@pytest.mark.parametrize("engine", ["file", "signed_cookies", "cached_db", "cache"])
async def test_every_session_engine_works(settings, tmp_path, engine):
    settings.SESSION_FILE_PATH = str(tmp_path)
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{engine}"
    sent = await call(SessionMiddlewareStack(Answering(OK, before=changing(a=1))), scope())
    key = cookies(sent)["sessionid"][0].partition("=")[2]
    application = Answering()
    await call(SessionMiddlewareStack(application), scope(sessionid=key))
    assert await database_sync_to_async(application.scope["session"].get)("a") == 1


async def test_the_outermost_middleware_saves_and_sets_one_cookie():
    stack = SessionMiddlewareStack(SessionMiddlewareStack(Answering(OK, before=changing(a=1))))
    sent = await call(stack, scope())
    key = cookies(sent)["sessionid"][0].partition("=")[2]
    assert len(sent[0]["headers"]) == 1
    assert await stored(key) == {"a": 1}


async def test_an_inner_middleware_keeps_the_session_of_the_outer_one():
    inner = SessionMiddlewareStack(Answering(OK))

    async def between(scope, receive, send):
        await changing(a=1)(scope)
        await inner(scope, receive, send)

    sent = await call(SessionMiddlewareStack(between), scope())
    assert ("sessionid" in cookies(sent)) is IS_COMPAT  # Channels' inner one opens it anew, and the change is lost


async def test_the_response_is_passed_on_with_its_own_headers():
    event = {"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]}
    sent = await call(SessionMiddlewareStack(Answering(event, before=changing(a=1))), scope())
    assert sent[0]["headers"][0] == (b"x", b"y")
    assert len(sent[0]["headers"]) == 2


@pytest.mark.parametrize("event", [ACCEPT, DENIED])
async def test_the_answer_to_a_handshake_saves_the_session(event):
    key = await new_session(color="red")
    stack = SessionMiddlewareStack(Answering(event, before=changing(color="blue")))
    sent = await call(stack, scope("websocket", sessionid=key))
    if IS_COMPAT:
        assert cookies(sent)["sessionid"][0] == f"sessionid={key}"
        assert await stored(key) == {"color": "blue"}
    else:  # Channels saves with HTTP responses only
        assert cookies(sent) == {}
        assert await stored(key) == {"color": "red"}


async def test_frames_save_nothing():
    key = await new_session(color="red")
    frame = {"type": "websocket.send", "text": "x"}
    stack = SessionMiddlewareStack(Answering(frame, before=changing(color="blue")))
    assert await call(stack, scope("websocket", sessionid=key)) == [frame]
    assert await stored(key) == {"color": "red"}


async def test_a_wrapper_is_used_by_hand():
    sent = []

    async def send(event):
        sent.append(event)

    wrapper = InstanceSessionWrapper({**scope(), "cookies": {}}, send)
    await wrapper.resolve_session()
    assert (wrapper.activated, wrapper.cookie_name, wrapper.session_store) == (True, "sessionid", SessionStore)
    assert wrapper.real_send is send
    wrapper.scope["session"]["a"] = 1
    await wrapper.save_session()
    assert await stored(wrapper.scope["session"].session_key) == {"a": 1}
    await wrapper.send(dict(OK))
    assert "sessionid" in cookies(sent)


async def test_middleware_is_composed_by_hand():
    inner = Answering()
    session = SessionMiddleware(inner)
    cookie = CookieMiddleware(session)
    assert (cookie.inner, session.inner) == (session, inner)
    stack = SessionMiddlewareStack(inner)
    assert (type(stack), type(stack.inner), stack.inner.inner) == (CookieMiddleware, SessionMiddleware, inner)
