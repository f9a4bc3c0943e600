"""What each script does in Redis, one by one."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from consumers.layers._presence import MAX_CHANNELS
from consumers.layers.codec import Codec
from consumers.layers.redis.presence_lua import AT_ONCE, KEPT
from consumers.layers.redis.presence_scripts import Item, PresenceScripts, as_texts, beat_of, texts_of, version_of
from consumers.layers.redis.presence_seals import Seals

from ....support.redis_server import RedisServer, running_redis

GROUP = "room"
BASE = "asgi__presence__"
KEYS, CHANNELS, LEAVING, VERSION = (f"{BASE}{{{GROUP}}}:{what}" for what in ("keys", "channels", "leaving", "version"))


@pytest.fixture(scope="module")
def module_server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


class Truth:
    """Redis, by the scripts alone; `heard` is what they have published."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.scripts = PresenceScripts("asgi", 60)
        self._pubsub = client.pubsub()
        self._pubsub.subscribe(BASE)
        assert self._pubsub.get_message(timeout=5)["type"] == "subscribe"

    def run(self, command: Any) -> Any:
        return self.client.execute_command(*command)

    def begin(self, *incarnations: str, lease: float = 60) -> None:
        for incarnation in incarnations:
            assert beat_of(self.run(self.scripts.beat(incarnation, lease, True))).lives

    def track(self, incarnation: str, channel: str, key: str, meta: str = "m", **fields: Any) -> Any:
        values = {"group": GROUP, "known": 0, "others": b"", **fields}
        item = Item(
            channel=channel, id=key.encode(), name=key.encode(), digest=meta.encode(), meta=meta.encode(), **values
        )
        return self.run(self.scripts.track(incarnation, [item]))

    def untrack(self, channel: str, grace: float = 60) -> None:
        self.run(PresenceScripts("asgi", grace).untrack([(GROUP, 0, channel)]))

    def expire(self, incarnation: str) -> None:
        self.client.zadd(f"{BASE}:leases", {incarnation: 1})

    def reap(self, incarnation: str) -> int:
        rounds = 0
        while self.run(self.scripts.reap(incarnation)):
            rounds += 1
        return rounds

    def read(self, group: str = GROUP) -> dict[bytes, list[bytes]]:
        return dict(self.run(self.scripts.read(group))[3])

    def heard(self) -> list[tuple[bytes, bytes, list[bytes]]]:
        """Return the changes published since the last call, and see that their versions follow each other."""
        found = []
        while (message := self._pubsub.get_message(timeout=0.1)) is not None:
            texts = texts_of(message["data"])
            assert int(texts[1]) > int(texts[2])
            changes = texts[4:]
            while changes:
                kind, name, count = changes[:3]
                found.append((kind, name, changes[3 : 3 + int(count)]))
                del changes[: 3 + int(count)]
        return found

    def close(self) -> None:
        self._pubsub.close()


@pytest.fixture
def truth(module_server: RedisServer) -> Iterator[Truth]:
    with module_server.client(decode_responses=False) as client:
        client.flushall()
        truth = Truth(client)
        yield truth
        truth.close()


def test_a_key_joins_is_updated_and_leaves(truth: Truth) -> None:
    truth.begin("a.1")
    [first] = truth.track("a.1", "x", "ann")
    assert truth.track("a.1", "y", "ann") == [first]  # a second tab, of the same meta
    assert truth.track("a.1", "y", "ann", "n") > [first]
    assert truth.read() == {b"ann": [b"m", b"n"]}
    truth.untrack("x")
    assert truth.read() == {b"ann": [b"n"]}
    truth.untrack("y", 0)
    assert truth.read() == {}
    assert truth.heard() == [
        (b"joins", b"ann", [b"m"]),
        (b"updates", b"ann", [b"m", b"n"]),
        (b"updates", b"ann", [b"n"]),
        (b"leaves", b"ann", []),
    ]
    assert truth.client.keys(f"{BASE}{{*") == []
    truth.untrack("y")
    truth.untrack("nobody")
    assert truth.heard() == []


def test_nothing_is_tracked_without_a_lease(truth: Truth) -> None:
    assert truth.track("a.1", "x", "ann") == []
    truth.begin("a.1")
    truth.expire("a.1")
    assert truth.track("a.1", "x", "ann") == []
    assert not beat_of(truth.run(truth.scripts.beat("a.1", 60, False))).lives
    assert truth.read() == {}


def test_a_channel_moves_to_another_key(truth: Truth) -> None:
    truth.begin("a.1")
    truth.track("a.1", "x", "ann")
    truth.track("a.1", "x", "bob")
    assert truth.read() == {b"ann": [], b"bob": [b"m"]}
    assert truth.client.zrange(LEAVING, 0, -1) == [b"ann"]
    assert [change[:2] for change in truth.heard()] == [(b"joins", b"ann"), (b"joins", b"bob")]


def test_a_channel_moves_to_another_incarnation(truth: Truth) -> None:
    truth.begin("a.1", "a.2")
    truth.track("a.1", "x", "ann")
    truth.track("a.2", "x", "ann")
    truth.expire("a.1")
    assert truth.reap("a.1") == 0
    assert truth.read() == {b"ann": [b"m"]}
    assert truth.client.exists(f"{BASE}:of:a.1", f"{BASE}{{{GROUP}}}:of:a.1") == 0
    assert len(truth.heard()) == 1


def test_a_key_that_is_full_stays_as_it_is(truth: Truth) -> None:
    truth.begin("a.1")
    for number in range(MAX_CHANNELS):
        truth.track("a.1", f"x{number}", "ann")
    truth.track("a.1", "y", "bob")
    assert truth.track("a.1", "y", "ann") == [None]
    assert truth.track("a.1", "z", "ann") == [None]
    assert truth.track("a.1", "x7", "ann", "n") != [None]
    assert truth.read() == {b"ann": [b"m", b"n"], b"bob": [b"m"]}
    assert truth.client.hlen(CHANNELS) == MAX_CHANNELS + 1


def test_a_key_that_comes_back_within_grace_is_told_only_to_those_who_read_it_meanwhile(truth: Truth) -> None:
    truth.begin("a.1", "b.1")
    truth.track("a.1", "x", "ann")
    truth.heard()
    truth.untrack("x")
    truth.track("b.1", "y", "ann")
    assert truth.heard() == []
    assert truth.client.exists(LEAVING) == 0
    truth.untrack("y")
    assert truth.read() == {b"ann": []}
    truth.track("b.1", "y", "ann")
    assert truth.heard() == [(b"updates", b"ann", [b"m"])]


def test_keys_leave_when_their_grace_is_over_in_whichever_groups(truth: Truth) -> None:
    truth.begin("a.1")
    for group in ("room", "hall", "empty"):
        for key in ("ann", "bob"):
            truth.track("a.1", f"{group}.{key}", key, group=group)
    for group in ("room", "hall", "empty"):
        truth.run(truth.scripts.untrack([(group, 0, f"{group}.ann")]))
    truth.run(truth.scripts.untrack([("empty", 0, "empty.bob")]))
    truth.heard()
    beat = beat_of(truth.run(truth.scripts.beat("a.1", 60, False)))
    assert truth.heard() == []
    assert beat.pause is not None and 55 < beat.pause <= 60
    for group in ("hall", "empty"):
        truth.client.zadd(f"{BASE}:due", {group: 1})
        truth.client.zadd(f"{BASE}{{{group}}}:leaving", {"ann": 1})
    truth.run(truth.scripts.beat("a.1", 60, False))
    assert truth.heard() == [(b"leaves", b"ann", [])] * 2
    assert [set(truth.read(group)) for group in ("room", "hall", "empty")] == [{b"ann", b"bob"}, {b"bob"}, {b"bob"}]
    assert set(truth.client.zrange(f"{BASE}:due", 0, -1)) == {b"room", b"empty"}  # when the next one leaves


def test_more_than_one_script_lets_go_of_leave_in_turn(truth: Truth) -> None:
    truth.begin("a.1")
    count = AT_ONCE + 5
    for number in range(count):
        truth.track("a.1", f"x{number}", f"user{number}")
        truth.untrack(f"x{number}")
    truth.client.zadd(LEAVING, {f"user{number}": 1 for number in range(count)})
    truth.client.zadd(f"{BASE}:due", {GROUP: 1})
    assert beat_of(truth.run(truth.scripts.beat("a.1", 60, False))).pause == 0
    assert len(truth.read()) == 5
    truth.run(truth.scripts.sweep())
    assert truth.read() == {}
    assert truth.client.keys(f"{BASE}*") == [f"{BASE}:leases".encode()]


def test_two_reapers_at_once_let_go_of_each_once(truth: Truth) -> None:
    truth.begin("a.1", "b.1")
    count = 2 * AT_ONCE + 5
    for number in range(count):
        truth.track("a.1", f"x{number}", f"user{number}")
    truth.track("a.1", "hall", "ann", group="hall")
    truth.track("b.1", "y", "user3", "n")
    truth.heard()
    truth.expire("a.1")
    first, second = True, True
    while first or second:
        first, second = (truth.run(truth.scripts.reap("a.1")) for _ in range(2))
    changes = truth.heard()
    left = sorted(name for kind, name, _ in changes if kind == b"leaves")
    assert left == sorted([b"ann", *(f"user{number}".encode() for number in range(count) if number != 3)])
    assert [change for change in changes if change[0] != b"leaves"] == [(b"updates", b"user3", [b"n"])]
    assert truth.read() == {b"user3": [b"n"]}
    assert truth.client.zrange(f"{BASE}:leases", 0, -1) == [b"b.1"]
    assert truth.client.keys(f"{BASE}*a.1") == []


def test_one_that_lives_is_not_reaped(truth: Truth) -> None:
    truth.begin("a.1")
    truth.track("a.1", "x", "ann")
    assert truth.run(truth.scripts.reap("a.1")) == 0
    assert truth.read() == {b"ann": [b"m"]}
    assert truth.run(truth.scripts.reap("unknown.1")) == 0


def test_an_entry_that_somebody_else_has_written_harms_no_other(truth: Truth) -> None:
    truth.begin("a.1", "b.1")
    for key in ("ann", "bob", "cat"):
        truth.track("a.1", f"{key}.x", key)
    for key, data in (("ann", b"\xc1"), ("bob", b"\x01"), ("cat", b"\x93\x01\x02\x03"), ("dan", b"")):
        truth.client.hset(KEYS, key, data)
    truth.track("a.1", "eve.x", "eve")
    assert truth.read() == {b"eve": [b"m"]}
    truth.untrack("cat.x")
    truth.track("b.1", "ann.y", "ann")
    assert truth.read() == {b"ann": [b"m"], b"eve": [b"m"]}
    truth.client.zadd(LEAVING, {"bob": 1})
    truth.client.zadd(f"{BASE}:due", {GROUP: 1})
    truth.run(truth.scripts.sweep())
    truth.expire("a.1")
    truth.reap("a.1")
    assert truth.read() == {b"ann": [b"m"]}


def test_a_lease_ends_after_a_while_or_at_once_if_nothing_is_tracked(truth: Truth) -> None:
    truth.begin("a.1", "b.1")
    truth.track("a.1", "x", "ann")
    truth.heard()
    assert truth.run(truth.scripts.end("b.1", 5, True)) == 1
    assert truth.client.zrange(f"{BASE}:leases", 0, -1) == [b"a.1"]
    assert truth.run(truth.scripts.end("a.1", 5, False)) == 0
    message = truth._pubsub.get_message(timeout=5)
    assert texts_of(message["data"]) == [b"5000"]
    truth.run(truth.scripts.end("a.1", 50, False))  # none is made longer
    until, now = truth.client.zscore(f"{BASE}:leases", "a.1"), truth.client.time()
    assert 0 < until - (now[0] * 1000 + now[1] / 1000) <= 5000


def test_all_leases_end_at_once_with_the_last_that_went_on(truth: Truth) -> None:
    truth.begin("a.1", "b.1", "c.1")
    for incarnation in ("a.1", "b.1", "c.1"):
        truth.track(incarnation, incarnation, incarnation)
    assert truth.run(truth.scripts.end("a.1", 60, True)) == 1
    assert truth.run(truth.scripts.end("b.1", 60, False)) == 1
    assert beat_of(truth.run(truth.scripts.sweep())).expired == []
    assert truth.run(truth.scripts.end("c.1", 60, True)) == 0
    assert beat_of(truth.run(truth.scripts.sweep())).expired == ["a.1", "b.1", "c.1"]


def test_those_who_read_are_told_whether_some_are_late(truth: Truth) -> None:
    truth.begin("a.1")
    truth.track("a.1", "x", "ann")
    assert truth.run(truth.scripts.read(GROUP))[4] == 0
    truth.expire("a.1")
    assert truth.run(truth.scripts.read(GROUP))[4] == 1
    assert truth.run(truth.scripts.read(GROUP, count=0))[1:4] == [1, b"0", []]


def test_everything_expires_unless_it_is_touched(truth: Truth) -> None:
    truth.begin("a.1")
    truth.track("a.1", "x", "ann")
    truth.track("a.1", "y", "bob")
    truth.untrack("y")
    names = truth.client.keys("*")
    assert len(names) == 8
    assert all(KEPT - 10 < truth.client.ttl(name) <= KEPT for name in names)
    for name in names:
        truth.client.expire(name, 100)
    truth.run(truth.scripts.touch("a.1", [GROUP]))
    truth.run(truth.scripts.beat("a.1", 60, False))
    assert all(KEPT - 10 < truth.client.ttl(name) <= KEPT for name in names)


def test_versions_rise_whatever_redis_knows(truth: Truth) -> None:
    truth.begin("a.1")
    ahead = 5 * 10**15
    assert truth.track("a.1", "x", "ann", known=ahead) == [b"%d" % (ahead + 1)]
    assert truth.track("a.1", "y", "bob") == [b"%d" % (ahead + 2)]
    assert truth.run(truth.scripts.read(GROUP))[0] == b"%d" % (ahead + 2)
    assert truth.track("a.1", "y", "bob") == [b"%d" % (ahead + 2)]


def test_a_key_is_one_by_whichever_secret(truth: Truth) -> None:
    truth.begin("a.1", "b.1")
    truth.track("a.1", "x", "0123456789abcdef")
    truth.track("b.1", "y", "fedcba9876543210", others=b"?" * 16 + b"0123456789abcdef")
    assert truth.read() == {b"0123456789abcdef": [b"m"]}
    assert len(truth.heard()) == 1


@pytest.mark.parametrize("data", [b"x", b"1:", b"3:ab", b"-3:", b"-1:", b":", b"1:a2", b"\xff:"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        texts_of(data)


def test_texts_are_read_as_they_were_written() -> None:
    texts = [b"", b":", b"12:34", bytes(range(256))]
    assert texts_of(as_texts(*texts)) == texts


@pytest.mark.parametrize(
    "texts",
    [[b"joins"], [b"joins", b"ann", b"-3"], [b"joins", b"ann", b"2", b"m"], [b"comes", b"ann", b"0"]],
)
def test_what_is_no_change_is_refused(texts: list[bytes]) -> None:
    with pytest.raises(ValueError, match=r"."):
        Seals(Codec("msgpack"), []).changes_of(texts)


def test_one_beat_lets_keys_leave_in_many_groups(truth: Truth) -> None:
    truth.begin("a.1")
    most = AT_ONCE // 2  # a group counts, and each of its keys
    groups = [f"room.{number}" for number in range(most + 20)]
    for group in groups:
        truth.track("a.1", "x", "ann", group=group)
    truth.heard()
    truth.run(PresenceScripts("asgi", 0.001).untrack([(group, 0, "x") for group in groups]))
    time.sleep(0.002)
    assert beat_of(truth.run(truth.scripts.sweep())).pause == 0
    assert len(truth.heard()) == most
    assert beat_of(truth.run(truth.scripts.sweep())).pause is not None
    assert len(truth.heard()) == 20


def test_a_reader_makes_redis_go_on_from_a_version_that_it_has_forgotten(truth: Truth) -> None:
    truth.begin("a.1")
    ahead = truth.client.time()[0] * 10**6 + 3600 * 10**6
    assert truth.run(truth.scripts.read(GROUP, known=1))[0] < b"%d" % ahead
    assert not truth.client.exists(VERSION)
    assert truth.run(truth.scripts.read(GROUP, known=ahead))[0] == b"%d" % ahead
    assert truth.client.pttl(VERSION) > 3600 * 1000 - 5000
    assert truth.track("a.1", "x", "ann") == [b"%d" % (ahead + 1)]


def test_an_earlier_life_of_the_process_that_closes_keeps_nothing_there(truth: Truth) -> None:
    truth.begin("a.1", "a.2")
    for incarnation in ("a.1", "a.2"):
        truth.track(incarnation, incarnation, incarnation)
    assert truth.run(truth.scripts.end("a.2", 60, True)) == 0
    assert beat_of(truth.run(truth.scripts.sweep())).expired == ["a.1", "a.2"]


@pytest.mark.parametrize("text", [b"x", b"-1", b"0", b"%d" % 2**53, b"9" * 400])
def test_what_is_no_version_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        version_of(text)
