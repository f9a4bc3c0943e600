"""What a process misses it reads from the log, and hands over in order; what is lost is told, once."""

from typing import Any

import pytest
from redis.exceptions import RedisError, ResponseError

from ....support.redis_layers import until
from ....support.redis_server import RedisServer, running_redis
from .support import GROUP, KEYS, Reader, cut_subscribers, layer_at, message, send

pytestmark = pytest.mark.anyio


async def test_what_came_while_the_connection_was_cut_is_handed_over_in_order(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        reader = await Reader().join(layer)
        plain = await Reader().join(layer, "plain")
        await send(other, range(3))
        await reader.has(0, 1, 2)
        cut_subscribers(server)
        await send(other, range(3, 9))
        await reader.has(*range(9))
        await until(lambda: plain.gaps == [None])  # nothing is kept for that one
        await send(other, [9])
        await reader.has(*range(10))
        assert reader.gaps == []


async def test_what_left_the_log_meanwhile_is_one_gap(server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consumers.layers.redis.reconnect.FIRST_DELAY", 0.8)  # all is sent before it is back
    history = {"chat.*": {"size": 3, "ttl": 60}}
    async with layer_at(server, history=history) as layer, layer_at(server, history=history) as other:
        reader = await Reader().join(layer)
        await send(other, range(2))
        await reader.has(0, 1)
        cut_subscribers(server)
        await send(other, range(2, 10))
        await reader.has(0, 1, 7, 8, 9)
        assert [each["type"] for each in reader] == ["test", "test", "layer.gap", "test", "test", "test"]
        assert reader.gaps == [GROUP]
        await send(other, [10])
        await reader.has(0, 1, 7, 8, 9, 10)
        assert reader.gaps == [GROUP]


async def test_a_position_that_left_the_log_unheard_is_not_recovered(server: RedisServer) -> None:
    history = {"chat.*": {"size": 3, "ttl": 60}}
    async with layer_at(server, history=history) as layer, layer_at(server, history=history) as other:
        reader = await Reader().join(layer)
        positions = await send(other, range(2))
        await reader.has(0, 1)
        cut_subscribers(server)
        await send(other, range(2, 10))
        await reader.has(0, 1, 7, 8, 9)
        newcomer = await Reader().join(layer, since=positions[-1])
        assert (newcomer.joined.recovered, newcomer.joined.missed) == (False, 0)
        await send(other, [10])
        await newcomer.has(10)
        assert newcomer.gaps == []


async def test_a_position_in_a_new_log_is_recovered_by_a_process_that_has_heard_nothing_of_it(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        reader = await Reader().join(layer)
        await send(other, range(9))
        await reader.has(*range(9))
        monkeypatch.setattr(layer._process.exchange, "on_message", lambda *_: 0)
        with server.client() as client:
            client.delete(*client.keys(f"{KEYS}*"))
        positions = await send(other, range(10, 13))
        newcomer = await Reader().join(layer, since=positions[1])
        assert (newcomer.joined.recovered, newcomer.joined.missed) == (True, 1)
        await newcomer.has(12)
        await until(lambda: reader.numbers[-3:] == [10, 11, 12])
        assert reader.gaps == [GROUP]
        assert newcomer.numbers == [12] and newcomer.gaps == []


async def test_an_older_copy_of_redis_data_is_one_gap_for_each_member(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        readers = [await Reader().join(layer) for _ in range(2)]
        await send(other, range(3))
        with server.client(decode_responses=False) as client:
            older = {key: client.dump(key) for key in client.keys(f"{KEYS}*")}
            lost = await send(other, range(3, 6))
            for reader in readers:
                await reader.has(*range(6))
            for key, value in older.items():
                client.restore(key, 0, value, replace=True)
        [position] = await send(other, [10])
        for reader in readers:
            await until(lambda reader=reader: reader.gaps == [GROUP])  # type: ignore[misc]
        assert position.rpartition(".")[2] == lost[0].rpartition(".")[2]  # one offset, two messages
        await send(other, [11, 12])
        for reader in readers:
            await until(lambda reader=reader: reader.numbers[-2:] == [11, 12])  # type: ignore[misc]
            assert reader.gaps == [GROUP]
        newcomer = await Reader().join(other, since=lost[0])
        assert not newcomer.joined.recovered
        assert newcomer == []


async def test_an_emptied_redis_is_one_gap_and_a_new_epoch(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        reader = await Reader().join(layer)
        [before] = await send(other, [0])
        await reader.has(0)
        with server.client() as client:
            client.flushall()
        [after] = await send(other, [1])
        await until(lambda: reader.gaps == [GROUP])
        await send(other, [2, 3])
        await reader.has(0, 1, 2, 3)
        assert before.partition("-")[0] != after.partition("-")[0]
        assert reader.gaps == [GROUP]


async def test_a_rollback_is_noticed_without_any_message(server: RedisServer) -> None:
    async with layer_at(server) as layer:
        reader = await Reader().join(layer)
        await send(layer, range(3))
        await reader.has(0, 1, 2)
        with server.client() as client:
            client.flushall()
        cut_subscribers(server)
        await until(lambda: reader.gaps == [GROUP])


async def test_a_restart_that_loses_nothing_is_no_gap() -> None:
    with running_redis("appendonly yes", "appendfsync always") as server:
        async with layer_at(server) as layer, layer_at(server) as other:
            reader = await Reader().join(layer)
            await send(other, range(3))
            await reader.has(0, 1, 2)
            server.stop()
            server.start()
            await _sent_again(other, 3)
            await reader.has(0, 1, 2, 3)
            assert reader.gaps == []


async def _sent_again(layer: Any, number: int) -> None:
    """Send a message, as often as it takes."""
    while True:
        try:
            await layer.group_send(GROUP, message(number), id=f"again {number}")
            return
        except RedisError:
            continue


async def test_a_message_of_a_foreign_sender_comes_when_it_comes_and_has_no_position(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server, history=None) as foreign:
        reader = await Reader().join(layer)
        await send(layer, [0])
        assert await foreign.group_send(GROUP, message(1)) is None
        await send(layer, [2])
        await reader.has(0, 1, 2)
        assert reader[1]["history"] == {"group": GROUP, "position": None, "replayed": False}
        assert [position is None for position in reader.positions] == [False, True, False]
        again = await Reader().join(layer, last=10)
        await again.has(0, 2)


@pytest.mark.parametrize(
    "told", [b"", b"x", b"a b c", b"\xff", b"0-0.1 x 5", b"0123456789abcdef-0123456789abcdef.7 x y"]
)
async def test_what_anybody_publishes_on_the_control_channel_disturbs_nothing(server: RedisServer, told: bytes) -> None:
    async with layer_at(server) as layer:
        reader = await Reader().join(layer)
        await send(layer, [0])
        with server.client() as client:
            client.publish(f"asgi__history__{GROUP}", told)
        await send(layer, [1])
        await reader.has(0, 1)
        assert None not in reader.positions
        assert reader.gaps == []


async def test_a_position_whose_payload_is_lost_belongs_to_no_other(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server, history=None) as foreign:
        reader = await Reader().join(layer)
        [position] = await send(layer, [0])
        await reader.has(0)
        epoch_and_tag, _, offset = position.rpartition(".")
        with server.client() as client:
            client.publish(f"asgi__history__{GROUP}", f"{epoch_and_tag}.{int(offset) + 1} {position[17:33]} 5")
        await foreign.group_send(GROUP, message(1))
        await send(layer, [2])
        await reader.has(0, 1, 2)
        assert [position is None for position in reader.positions] == [False, True, False]
        assert reader.gaps == []


async def test_a_payload_that_nobody_can_read_holds_nobody_up(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server, serializer_format="json") as other:
        reader = await Reader().join(layer)
        await send(layer, [0])
        await send(other, [1])
        await send(layer, [2])
        await reader.has(0, 2)
        again = await Reader().join(layer, since=reader.positions[0])
        assert again.joined.missed == 2
        await again.has(2)


async def test_a_log_that_cannot_be_read_is_read_again_and_told_of_once(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("consumers.layers.redis.history.PAUSE", 0.01)
    async with layer_at(server) as layer, layer_at(server) as other:
        reader = await Reader().join(layer)
        history = layer._process.exchange.history
        reads, read_page = 0, history._read_page

        async def fails_twice(*arguments: Any) -> None:
            nonlocal reads
            reads += 1
            if reads < 3:
                raise ResponseError("not now")
            await read_page(*arguments)

        monkeypatch.setattr(history, "_read_page", fails_twice)
        cut_subscribers(server)
        await send(other, range(3))
        await reader.has(0, 1, 2)
        assert reads >= 3
        told = "Redis: the history of group 'chat.1' cannot be read, trying again: not now"
        assert [record.message for record in caplog.records].count(told) == 1


async def test_what_comes_while_nobody_follows_is_not_taken_for_a_foreign_message(server: RedisServer) -> None:
    async with layer_at(server) as layer, layer_at(server) as other:
        reader = await Reader().join(layer)
        await send(layer, [0])
        await reader.has(0)
        layer._process.exchange.history.forget(GROUP)  # as when all have left, and one comes back at once
        await send(other, [1])
        plain = await Reader().join(layer, "plain")
        await layer.group_send("plain", message(9))
        await plain.holds(1)  # so what was sent before it has come, too
        assert reader.numbers == [0]


async def test_nothing_is_read_again_and_again_while_there_is_no_connection(server: RedisServer) -> None:
    async with layer_at(server, timeout=1) as layer:
        reader = await Reader().join(layer)
        history = layer._process.exchange.history
        connection = layer._process.owners.require().receivers[0].connection
        server.stop()
        await until(lambda: not connection.is_up)
        await history.check_some()
        assert not history._readings[GROUP].runs
        with pytest.raises(RedisError):
            await history._read(GROUP, 1)
        await until(lambda: not history._readings[GROUP].runs)
        server.start()
        await _sent_again(layer, 1)
        await until(lambda: reader.numbers == [1] and reader.gaps == [GROUP])  # that Redis is empty


async def test_a_process_that_is_far_behind_hears_on_and_does_not_read_again_and_again(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = {"chat.*": {"size": 3, "ttl": 60}}
    async with layer_at(server, history=history) as layer, layer_at(server, history=history) as other:
        reader = await Reader().join(layer)
        logs = layer._process.exchange.history
        reads, read_page = 0, logs._read_page

        async def counted(*arguments: Any) -> bool:
            nonlocal reads
            reads += 1
            return await read_page(*arguments)

        monkeypatch.setattr(logs, "_read_page", counted)
        for number in range(1000):  # this event loop stands still meanwhile
            other.group_send_sync(GROUP, message(number))
        await logs.check_some()
        await until(lambda: reader.numbers[-1:] == [999])
        assert reads < 30
