"""channels-graphql-ws: queries and subscriptions over a WebSocket, each operation in a task of its own."""

import asyncio

import channels_graphql_ws
import graphene
import pytest
from channels_graphql_ws.testing import GraphqlWsClient, GraphqlWsTransport

SLOW = []
"""What became of the slow queries."""


class OnNote(channels_graphql_ws.Subscription):
    """Somebody wrote a note in a room."""

    text = graphene.String()

    class Arguments:
        room = graphene.String()

    @staticmethod
    def subscribe(root, info, room):
        return [room]

    @staticmethod
    async def publish(payload, info, room):
        return OnNote(text=f"{room}: {payload['text']}")


class Subscriptions(graphene.ObjectType):
    on_note = OnNote.Field()


class Queries(graphene.ObjectType):
    twice = graphene.Int(number=graphene.Int())
    slow = graphene.Boolean()

    @staticmethod
    def resolve_twice(root, info, number):
        return 2 * number

    @staticmethod
    async def resolve_slow(root, info):
        SLOW.append("begun")
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            SLOW.append("cancelled")
            raise


class Write(graphene.Mutation):
    """Write a note."""

    is_written = graphene.Boolean()

    class Arguments:
        room = graphene.String()
        text = graphene.String()

    @staticmethod
    async def mutate(root, info, room, text):
        await OnNote.broadcast_async(group=room, payload={"text": text})
        return Write(is_written=True)


class Mutations(graphene.ObjectType):
    write = Write.Field()


class Consumer(channels_graphql_ws.GraphqlWsConsumer):
    schema = graphene.Schema(query=Queries, subscription=Subscriptions, mutation=Mutations)
    confirm_subscriptions = True


class StrictlyOrdered(Consumer):
    strict_ordering = True


class Transport(GraphqlWsTransport):
    TIMEOUT = 5


NOTES = "subscription On($room: String) { onNote(room: $room) { text } }"
WRITE = "mutation Write($room: String, $text: String) { write(room: $room, text: $text) { isWritten } }"


@pytest.fixture(params=[Consumer, StrictlyOrdered])
def consumer(request):
    return request.param


@pytest.fixture(params=["graphql-transport-ws", "graphql-ws"])
async def client(request, consumer):
    """A client that has been greeted."""
    transport = Transport(consumer.as_asgi(), "/graphql/", subprotocol=request.param)
    client = GraphqlWsClient(transport, subprotocol=request.param)
    await client.connect_and_init()
    yield client
    if client.connected:
        await client.finalize()


async def write(client, room, text):
    """Write a note, and read what the client gets, by the operation's identifier."""
    operation = await client.start(WRITE, variables={"room": room, "text": text})
    received = {}
    while (operation, "complete") not in received:
        message = await client.receive(raw_response=True)
        received[message["id"], message["type"]] = message.get("payload")
    return received


def notes(received, client):
    """Return the notes among what was received, by the subscription's identifier."""
    return {
        operation: payload["data"]["onNote"]["text"]
        for (operation, _), payload in received.items()
        if payload and "onNote" in payload["data"]
    }


async def test_a_query_is_answered(client):
    answer = await client.execute("query { twice(number: 21) }")
    assert answer == {"data": {"twice": 42}}


async def test_a_subscriber_gets_what_is_written_in_its_room(client):
    subscription = await client.subscribe(NOTES, variables={"room": "lobby"})
    await OnNote.broadcast(group="lobby", payload={"text": "hello"})
    await OnNote.broadcast(group="elsewhere", payload={"text": "lost"})
    await OnNote.broadcast(group="lobby", payload={"text": "there"})
    for text in ("lobby: hello", "lobby: there"):
        assert await client.receive_next(subscription) == {"data": {"onNote": {"text": text}}}


async def test_two_subscriptions_of_one_client_are_two_streams(client):
    one = await client.subscribe(NOTES, variables={"room": "one"})
    two = await client.subscribe(NOTES, variables={"room": "two"})
    await OnNote.broadcast(group="one", payload={"text": "a"})
    assert await client.receive_next(one) == {"data": {"onNote": {"text": "one: a"}}}
    await OnNote.broadcast(group="two", payload={"text": "b"})
    assert await client.receive_next(two) == {"data": {"onNote": {"text": "two: b"}}}
    await client.complete(one)
    await client.receive_complete(one)
    await OnNote.broadcast(group="one", payload={"text": "lost"})
    await OnNote.broadcast(group="two", payload={"text": "c"})
    assert await client.receive_next(two) == {"data": {"onNote": {"text": "two: c"}}}


async def test_who_subscribes_and_unsubscribes_at_once_is_told_of_both(client, layer):
    subscription = await client.start(NOTES, variables={"room": "lobby"})
    await client.complete(subscription)
    await client.receive(assert_id=subscription)
    await client.receive_complete(subscription)
    await OnNote.broadcast(group="lobby", payload={"text": "lost"})
    assert await client.execute("query { twice(number: 1) }") == {"data": {"twice": 2}}
    assert not layer.groups


async def test_many_subscribe_and_unsubscribe_at_once_and_one_stays(client, layer):
    stays = await client.subscribe(NOTES, variables={"room": "stays"})
    started = [await client.start(NOTES, variables={"room": f"room{number}"}) for number in range(20)]
    for operation in started:
        await client.complete(operation)
    types = {}
    for _ in range(40):
        message = await client.receive(raw_response=True)
        types.setdefault(message["id"], []).append(message["type"])
    assert all(types[operation][-1] == "complete" and len(types[operation]) == 2 for operation in started), types
    assert len(layer.groups) == 2  # that of the room, and that of all rooms
    await OnNote.broadcast(group="stays", payload={"text": "hello"})
    assert await client.receive_next(stays) == {"data": {"onNote": {"text": "stays: hello"}}}


async def test_the_server_ends_the_subscriptions_of_a_room(client):
    ended = await client.subscribe(NOTES, variables={"room": "closing"})
    stays = await client.subscribe(NOTES, variables={"room": "open"})
    await OnNote.unsubscribe(group="closing")
    await client.receive_complete(ended)
    await OnNote.broadcast(group="open", payload={"text": "hello"})
    assert await client.receive_next(stays) == {"data": {"onNote": {"text": "open: hello"}}}


@pytest.mark.parametrize("consumer", [Consumer])
async def test_a_query_is_cancelled_when_its_client_leaves(client, consumer, layer):
    SLOW.clear()
    await client.subscribe(NOTES, variables={"room": "lobby"})
    await client.start("query { slow }")
    await client.execute("query { twice(number: 1) }")  # another operation is not held up
    assert SLOW == ["begun"]
    await client.finalize()
    assert SLOW == ["begun", "cancelled"]
    assert not layer.groups


async def test_one_client_reads_what_another_writes(client, consumer):
    other = GraphqlWsClient(Transport(consumer.as_asgi(), "/graphql/"))
    await other.connect_and_init()
    subscription = await other.subscribe(NOTES, variables={"room": "lobby"})
    assert await client.execute(WRITE, {"room": "lobby", "text": "hello"}) == {"data": {"write": {"isWritten": True}}}
    assert await other.receive_next(subscription) == {"data": {"onNote": {"text": "lobby: hello"}}}
    await other.finalize()
