"""The database: which thread, which transaction, and when connections are closed."""

import threading
from contextlib import nullcontext, suppress
from unittest import mock

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.consumer import AsyncConsumer
from channels.db import aclose_old_connections, database_sync_to_async
from channels.exceptions import StopConsumer
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator
from django.db import connection, connections
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from . import IS_COMPAT
from .consumers import AsyncGreeter, Creator, Greeter
from .people.models import Person
from .scopes import call

LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}


async def ask(consumer, text):
    """Return a consumer's answer to one message."""
    communicator = WebsocketCommunicator(consumer.as_asgi(), "/")
    assert (await communicator.connect())[0]
    await communicator.send_to(text_data=text)
    answer = await communicator.receive_from()
    await communicator.disconnect()
    return answer


def transaction_kept():
    """Keep Channels from closing the very connection that a test's transaction is in: `compat` never does.

    Channels' communicators keep it too, but not in `disconnect()` and not while the test does something else. Only a
    database in memory, which Django never closes, hides that.
    """
    return nullcontext() if IS_COMPAT else mock.patch("channels.db.close_old_connections")


# Django's test cases


class InTheTransactionOfTheTest(TestCase):
    """The connection is in the middle of a transaction that only its own thread sees."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.enterClassContext(transaction_kept())

    @classmethod
    def setUpTestData(cls):
        Person.objects.create(email="ann")

    async def test_a_sync_consumer_sees_its_rows(self):
        assert await ask(Greeter, "ann") == "1"

    async def test_an_async_consumer_sees_its_rows(self):
        assert await ask(AsyncGreeter, "ann") == "1"

    async def test_rows_of_a_sync_consumer_are_seen(self):
        assert await ask(Creator, "bob") == "bob"
        assert await Person.objects.filter(email="bob").aexists()

    async def test_rows_of_a_consumer_were_rolled_back(self):
        assert await sync_to_async(Person.objects.count)() == 1

    def test_a_test_that_is_a_plain_function(self):
        assert async_to_sync(ask)(Greeter, "ann") == "1"
        assert async_to_sync(ask)(Creator, "bob") == "bob"
        assert Person.objects.filter(email="bob").exists()

    async def test_a_consumer_runs_in_the_thread_of_the_test(self):
        seen = []
        await database_sync_to_async(lambda: seen.append(threading.current_thread()))()
        assert seen == [threading.main_thread()]

    async def test_the_connection_survives_consumers(self):
        await ask(Greeter, "ann")
        assert await sync_to_async(lambda: connection.connection is not None and connection.in_atomic_block)()


class WithCommittedRows(TransactionTestCase):
    """Every connection sees the rows."""

    def setUp(self):
        Person.objects.create(email="ann")

    async def test_a_sync_consumer_sees_them(self):
        assert await ask(Greeter, "ann") == "1"

    async def test_an_async_consumer_sees_them(self):
        assert await ask(AsyncGreeter, "ann") == "1"

    async def test_what_a_consumer_writes_is_there(self):
        await ask(Creator, "bob")
        assert await Person.objects.acount() == 2


@override_settings(CHANNEL_LAYERS=LAYERS)
class WithLayersOfItsOwn(SimpleTestCase):
    """Each block of settings makes the layers anew."""

    def test_the_setting_makes_new_layers(self):
        before = get_channel_layer()
        with override_settings(CHANNEL_LAYERS=LAYERS):
            inside = get_channel_layer()
            assert inside is not before
            assert get_channel_layer() is inside
        assert get_channel_layer() is not inside

    def test_the_setting_is_obeyed(self):
        config = {"BACKEND": "channels.layers.InMemoryChannelLayer", "CONFIG": {"capacity": 3}}
        with override_settings(CHANNEL_LAYERS={"other": config}):
            assert get_channel_layer() is None
            assert get_channel_layer("other").capacity == 3
        assert get_channel_layer("default") is not None

    async def test_a_consumer_has_the_layer_of_the_setting(self):
        with override_settings(CHANNEL_LAYERS=LAYERS):
            communicator = WebsocketCommunicator(Greeter.as_asgi(), "/")
            await communicator.connect()
            await get_channel_layer().group_send("greeters", {"type": "shout", "text": "hello"})
            assert await communicator.receive_from() == "hello"
            await communicator.disconnect()


# pytest-django


@pytest.mark.django_db
def test_a_plain_test_shares_its_transaction_with_consumers():
    Person.objects.create(email="ann")
    with transaction_kept():
        assert async_to_sync(ask)(Greeter, "ann") == "1"
        assert async_to_sync(ask)(AsyncGreeter, "ann") == "1"
        async_to_sync(ask)(Creator, "bob")
    assert Person.objects.filter(email="bob").exists()


@pytest.mark.django_db
def test_and_nothing_is_left_of_it():
    assert Person.objects.count() == 0


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("consumer", [Greeter, AsyncGreeter])
async def test_an_async_test_shares_committed_rows_with_consumers(consumer):
    await database_sync_to_async(Person.objects.create)(email="ann")
    assert await ask(consumer, "ann") == "1"


@pytest.mark.django_db(transaction=True)
async def test_a_fixture_of_the_main_thread_is_seen(transactional_db, person):
    assert await ask(Greeter, person.email) == "1"


@pytest.mark.django_db(transaction=True)
async def test_sync_consumers_and_database_calls_have_one_thread():
    threads = []

    class Noting(Greeter):
        def receive(self, text_data):
            threads.append(threading.current_thread())
            super().receive(text_data)

    await ask(Noting, "ann")
    await ask(Noting, "ann")
    await database_sync_to_async(lambda: threads.append(threading.current_thread()))()
    assert len(set(threads)) == 1
    assert threads[0] is not threading.main_thread()


# Connections


@pytest.fixture
async def is_open():
    """A function that tells whether the thread for database calls has an open connection; it has none now."""

    @sync_to_async
    def look():
        return connections["default"].connection is not None

    await sync_to_async(connections.close_all)()
    assert not await look()
    yield look
    await sync_to_async(connections.close_all)()


@pytest.fixture
def max_age(monkeypatch):
    """A function that sets CONN_MAX_AGE, in all threads."""
    return lambda seconds: monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", seconds)


def socket_events(text):
    return [
        {"type": "websocket.connect"},
        {"type": "websocket.receive", "text": text},
        {"type": "websocket.disconnect", "code": 1000},
    ]


SCOPE = {"type": "websocket", "path": "/", "headers": []}


async def served(consumer):
    """Run a consumer's whole connection without a communicator, which keeps connections open."""
    await call(consumer.as_asgi(), dict(SCOPE), *socket_events("ann"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("consumer", [Greeter, AsyncGreeter])
@pytest.mark.parametrize(("seconds", "stays"), [(0, False), (600, True), (None, True)])
async def test_a_connection_is_closed_when_its_age_says_so(is_open, max_age, consumer, seconds, stays):
    max_age(seconds)
    await served(consumer)
    assert await is_open() is stays


@pytest.mark.django_db(transaction=True)
async def test_a_connection_is_closed_after_the_last_handler(is_open):
    class Leaving(Greeter):
        def disconnect(self, code):
            assert Person.objects.count() == 0

    await served(Leaving)
    assert not await is_open()


@pytest.mark.django_db(transaction=True)
async def test_a_connection_is_closed_when_a_handler_raises(is_open):
    class Failing(Greeter):
        def receive(self, text_data):
            Person.objects.count()
            raise RuntimeError("after a query")

    with pytest.raises(RuntimeError, match="after a query"):
        await served(Failing)
    assert not await is_open()


@pytest.mark.django_db(transaction=True)
async def test_a_database_call_closes_its_connection(is_open):
    assert await database_sync_to_async(Person.objects.count)() == 0
    assert not await is_open()
    with pytest.raises(Person.DoesNotExist):
        await database_sync_to_async(Person.objects.get)(email="ann")
    assert not await is_open()


@pytest.mark.django_db(transaction=True)
async def test_connections_are_closed_by_hand(is_open):
    assert await Person.objects.acount() == 0
    assert await is_open()
    await aclose_old_connections()
    assert not await is_open()


@pytest.mark.django_db(transaction=True)
async def test_the_connection_of_the_asynchronous_orm_is_closed_before_the_next_message(is_open):
    seen = []

    class Asking(AsyncConsumer):
        async def first(self, message):
            await Person.objects.acount()
            seen.append(await is_open())

        async def second(self, message):
            seen.append(await is_open())

        async def third(self, message):
            raise StopConsumer

    events = [{"type": kind} for kind in ("first", "second", "first", "second", "third")]
    with suppress(StopConsumer):
        await call(Asking.as_asgi(), {"type": "other"}, *events)
    assert seen == [True, False, True, False]
