"""Users in the scope: who a session belongs to, logging in and out."""

import pytest
from asgiref.sync import async_to_sync
from channels.auth import AuthMiddlewareStack, get_user, login, logout
from channels.db import database_sync_to_async
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY, user_logged_in, user_logged_out
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session

from . import IS_COMPAT
from .people.models import Person
from .scopes import ACCEPT, OK, Answering, call, cookies, scope

pytestmark = pytest.mark.django_db(transaction=True)

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"
OTHER_BACKEND = "tests.parity.with_django.backends.OtherBackend"

NO_SESSION = "Cannot find session in scope. You should wrap your consumer in SessionMiddleware"


@pytest.fixture
def signals():
    """What the signals for logging in and out were sent with."""
    seen = []

    def note(signal, sender, request, user, **kwargs):
        seen.append(("in" if signal is user_logged_in else "out", sender, request, user))

    user_logged_in.connect(note)
    user_logged_out.connect(note)
    yield seen
    user_logged_in.disconnect(note)
    user_logged_out.disconnect(note)


def with_session(**data):
    """Return a scope with a session, which is in the database."""
    session = SessionStore()
    session.update(data)
    session.save()
    return {"type": "websocket", "session": session}


def session_exists(key):
    return Session.objects.filter(session_key=key).exists()


# The user of a session


@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_the_user_of_the_session_is_in_the_scope(person, logged_in, kind):
    application = Answering()
    await call(AuthMiddlewareStack(application), scope(kind, sessionid=logged_in))
    user = application.scope["user"]
    assert user == person
    assert isinstance(user, Person)
    assert (user.email, user.is_authenticated) == ("ann@example.com", True)


@pytest.mark.parametrize("given", [{}, {"sessionid": "a" * 32}, {"sessionid": "not a key"}])
async def test_without_a_session_the_user_is_anonymous(given):
    application = Answering()
    await call(AuthMiddlewareStack(application), scope(**given))
    assert isinstance(application.scope["user"], AnonymousUser)
    assert not application.scope["user"].is_authenticated


def test_a_changed_password_ends_the_session(person, logged_in):
    person.set_password("another")
    person.save()
    scope = {"type": "websocket", "session": SessionStore(logged_in)}
    assert isinstance(async_to_sync(get_user)(scope), AnonymousUser)
    assert not session_exists(logged_in)


def test_a_user_who_is_not_active_is_anonymous(person, logged_in):
    person.is_active = False
    person.save()
    assert isinstance(async_to_sync(get_user)({"session": SessionStore(logged_in)}), AnonymousUser)


def test_a_user_who_was_deleted_is_anonymous(person, logged_in):
    person.delete()
    assert isinstance(async_to_sync(get_user)({"session": SessionStore(logged_in)}), AnonymousUser)


def test_a_backend_that_is_not_configured_any_more_knows_nobody(settings, logged_in):
    settings.AUTHENTICATION_BACKENDS = [OTHER_BACKEND]
    assert isinstance(async_to_sync(get_user)({"session": SessionStore(logged_in)}), AnonymousUser)
    assert session_exists(logged_in)


def test_the_user_is_asked_for_by_a_session_alone(person, logged_in):
    assert async_to_sync(get_user)({"session": SessionStore(logged_in)}) == person


async def test_a_scope_without_a_session_has_no_user():
    with pytest.raises(ValueError, match=NO_SESSION):
        await get_user({})


async def test_nobody_logs_into_a_scope_without_a_session(person):
    with pytest.raises(ValueError, match=NO_SESSION):
        await login({}, person)


async def test_nobody_logs_out_of_a_scope_without_a_session():
    with pytest.raises(ValueError, match="Login cannot find session in scope"):
        await logout({})


def test_login_needs_a_user():
    with pytest.raises(ValueError, match="User must be passed as an argument or must be present in the scope"):
        async_to_sync(login)(with_session(), None)


@pytest.mark.parametrize("kind", ["http", "websocket"])
def test_a_session_of_an_earlier_secret_key(settings, person, logged_in, kind):
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "a new one"
    scope = {"type": kind, "session": SessionStore(logged_in)}
    user = async_to_sync(get_user)(scope)
    if not IS_COMPAT:  # Channels knows no fallbacks: all users are logged out
        assert isinstance(user, AnonymousUser)
        assert not session_exists(logged_in)
        return
    assert user == person
    assert scope["session"][HASH_SESSION_KEY] == person.get_session_auth_hash()
    # An answer to HTTP brings a new key, as Django's own do; a handshake may have no answer that could.
    assert (scope["session"].session_key == logged_in) is (kind == "websocket")
    assert session_exists(scope["session"].session_key)


# Logging in and out


def test_login_writes_the_user_into_session_and_scope(person, signals):
    scope = with_session(color="red")
    key = scope["session"].session_key
    async_to_sync(login)(scope, person)
    session = scope["session"]
    assert scope["user"] is person
    assert session[SESSION_KEY] == str(person.pk)
    assert session[BACKEND_SESSION_KEY] == MODEL_BACKEND
    assert session[HASH_SESSION_KEY] == person.get_session_auth_hash()
    assert session["color"] == "red"
    assert session.session_key != key and not session_exists(key)
    assert session.modified
    assert signals == [("in", Person, None, person)]
    person.refresh_from_db()
    assert person.last_login is not None


def test_login_takes_the_user_of_the_scope(person):
    scope = {**with_session(), "user": person}
    async_to_sync(login)(scope, None)
    assert scope["session"][SESSION_KEY] == str(person.pk)


def test_login_without_a_user_is_an_error(db):
    with pytest.raises(ValueError, match=r"(?i)user"):
        async_to_sync(login)(with_session(), None)


@pytest.mark.parametrize("function", [lambda scope: login(scope, Person()), logout])
async def test_logging_in_and_out_needs_a_session(function):
    with pytest.raises(ValueError, match="find session in scope"):
        await function({})


def test_login_of_another_user_flushes_the_session(person):
    scope = with_session()
    async_to_sync(login)(scope, person)
    scope["session"]["color"] = "red"
    scope["session"].save()
    key = scope["session"].session_key
    async_to_sync(login)(scope, Person.objects.create(email="bob@example.com"))
    assert "color" not in scope["session"]
    assert not session_exists(key)


def test_login_of_the_same_user_keeps_the_session(person):
    scope = with_session()
    async_to_sync(login)(scope, person)
    key = scope["session"].session_key
    scope["session"]["color"] = "red"
    async_to_sync(login)(scope, person)
    assert (scope["session"].session_key, scope["session"]["color"]) == (key, "red")


def test_login_after_a_changed_password_flushes_the_session(person):
    scope = with_session()
    async_to_sync(login)(scope, person)
    scope["session"]["color"] = "red"
    person.set_password("another")
    person.save()
    async_to_sync(login)(scope, person)
    assert "color" not in scope["session"]


def test_login_cannot_choose_between_backends(settings, person):
    settings.AUTHENTICATION_BACKENDS = [MODEL_BACKEND, OTHER_BACKEND]
    scope = with_session()
    with pytest.raises(
        ValueError, match="You have multiple authentication backends configured and therefore must provide"
    ):
        async_to_sync(login)(scope, person)
    async_to_sync(login)(scope, person, backend=OTHER_BACKEND)
    assert scope["session"][BACKEND_SESSION_KEY] == OTHER_BACKEND
    person.backend = MODEL_BACKEND
    async_to_sync(login)(scope, person)
    assert scope["session"][BACKEND_SESSION_KEY] == MODEL_BACKEND


def test_logout_flushes_the_session(person, signals):
    scope = with_session(color="red")
    async_to_sync(login)(scope, person)
    scope["session"].save()
    key = scope["session"].session_key
    async_to_sync(logout)(scope)
    assert isinstance(scope["user"], AnonymousUser)
    assert scope["session"].is_empty()
    assert not session_exists(key)
    assert signals == [("in", Person, None, person), ("out", Person, None, person)]


@pytest.mark.parametrize("user", [{}, {"user": None}, {"user": AnonymousUser()}])
def test_logout_of_nobody_sends_no_signal(signals, user):
    scope = {**with_session(color="red"), **user}
    async_to_sync(logout)(scope)
    assert signals == []
    assert scope["session"].is_empty()
    assert ("user" in scope) is ("user" in user)


async def test_a_login_by_http_sets_a_cookie_that_django_knows(person, async_client):
    async def log_in(scope):
        await login(scope, person)

    sent = await call(AuthMiddlewareStack(Answering(OK, before=log_in)), scope())
    async_client.cookies["sessionid"] = cookies(sent)["sessionid"][0].partition("=")[2]
    assert (await async_client.get("/me/")).content.decode() == str(person)


async def test_a_logout_by_http_deletes_the_cookie(logged_in):
    sent = await call(AuthMiddlewareStack(Answering(OK, before=logout)), scope(sessionid=logged_in))
    assert "Max-Age=0" in cookies(sent)["sessionid"]
    assert not await database_sync_to_async(session_exists)(logged_in)


async def test_a_login_while_connecting(person):
    async def log_in(scope):
        await login(scope, person)

    sent = await call(AuthMiddlewareStack(Answering(ACCEPT, before=log_in)), scope("websocket"))
    assert ("sessionid" in cookies(sent)) is IS_COMPAT  # with Channels the client never hears of its session
