"""Messages between processes with this package's Redis layers and processes with channels_redis' own.

Not collected with the other tests: `make test-interop` makes the environment that the peer needs, named by
INTEROP_PYTHON, and runs this.
"""

import ast
import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from ...support.pages import ROOT
from ...support.redis_server import RedisServer, running_redis

KEYS = ["new key", "old key"]
FORMATS: dict[str, dict[str, Any]] = {
    "json": {"text": "žluťoučký \U0001f40e", "list": [1, -2.5, None, True, {"deep": []}], "big": 2**53, "empty": {}},
    "msgpack": {
        "text": "žluťoučký \U0001f40e",
        "list": [1, -2.5, None, True, {"deep": []}],
        "bytes": b"\0\xff" * 40,
        "big": [2**64 - 1, -(2**63)],
        "many": {f"key {number}": number for number in range(20)},
    },
}
SIDES = ("ours", "theirs")


class PeerProcess:
    """A peer in a process of its own; its operations are methods here."""

    def __init__(self, side: str) -> None:
        python = sys.executable if side == "ours" else os.environ["INTEROP_PYTHON"]
        command = [python, "-W", "error::ResourceWarning", "-m", "tests.support.peer", side]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )

    def __call__(self, *line: Any) -> Any:
        assert self.process.stdin is not None and self.process.stdout is not None
        print(repr(list(line)), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, "the peer has ended"
        done, result = ast.literal_eval(answer)
        if not done:
            raise RuntimeError(result)
        return result

    def stop(self) -> str:
        _, errors = self.process.communicate(timeout=20)
        return errors


@pytest.fixture(scope="session")
def shards() -> Iterator[list[RedisServer]]:
    with running_redis() as one, running_redis() as other:
        yield [one, other]


@pytest.fixture(scope="session")
def peers(shards: list[RedisServer]) -> Iterator[dict[str, list[PeerProcess]]]:
    """Two processes of each side."""
    peers = {side: [PeerProcess(side), PeerProcess(side)] for side in SIDES}
    yield peers
    errors = {side: "".join(peer.stop() for peer in both) for side, both in peers.items()}
    assert errors["ours"] == ""


cells = [
    pytest.param(*cell, id="-".join(cell))
    for cell in itertools.product(
        SIDES, SIDES, ("pubsub", "queue"), ("plain", "encrypted"), FORMATS, ("one", "sharded")
    )
]


@pytest.mark.parametrize(("sending", "receiving", "kind", "encryption", "format", "servers"), cells)
def test_messages_arrive(
    sending: str,
    receiving: str,
    kind: str,
    encryption: str,
    format: str,
    servers: str,
    peers: dict[str, list[PeerProcess]],
    shards: list[RedisServer],
) -> None:
    sender, receiver = peers[sending][0], peers[receiving][1]
    arguments: dict[str, Any] = {"hosts": [shard.url for shard in shards[: 1 if servers == "one" else 2]]}
    arguments |= {"serializer_format": format}
    if encryption == "encrypted":
        arguments["symmetric_encryption_keys"] = KEYS
    to = receiver("make", kind, arguments)
    if encryption == "encrypted":
        arguments["symmetric_encryption_keys"] = [KEYS[1]]  # the receiver already has the new one
    by = sender("make", kind, arguments)
    message = {"type": "test.message", **FORMATS[format]}
    groups = ["room.one", "room.two", "room.three", "room.four"]
    number, channel = receiver("join", to, groups)
    other, _ = receiver("join", to, groups[:1])
    try:
        for group in groups:
            sender("group_send", by, group, {**message, "group": group})
            assert receiver("next", number) == {**message, "group": group}
        assert receiver("next", other) == {**message, "group": groups[0]}
        if (sending, receiving, kind, servers) != ("theirs", "theirs", "queue", "sharded"):
            sender("send", by, channel, message)
            assert receiver("next", number) == message
    finally:
        receiver("leave", number, groups)
        receiver("leave", other, groups[:1])


@pytest.mark.parametrize("sending", SIDES)
@pytest.mark.parametrize("kind", ["pubsub", "queue"])
def test_one_group_has_members_in_processes_of_both(
    sending: str, kind: str, peers: dict[str, list[PeerProcess]], shards: list[RedisServer]
) -> None:
    arguments = {"hosts": [shards[0].url], "prefix": "both"}
    members = [
        (peer, *peer("join", peer("make", kind, arguments), ["room"])) for both in peers.values() for peer in both
    ]
    sender = peers[sending][0]
    by = sender("make", kind, arguments)
    for index in range(3):
        sender("group_send", by, "room", {"type": "test", "index": index})
    for peer, number, _ in members:
        assert [peer("next", number)["index"] for _ in range(3)] == [0, 1, 2]
    for peer, number, _ in members:
        peer("leave", number, ["room"])


@pytest.mark.parametrize("kind", ["pubsub", "queue"])
def test_members_of_both_may_be_excluded_but_on_pubsub_those_of_channels_redis(
    kind: str, peers: dict[str, list[PeerProcess]], shards: list[RedisServer]
) -> None:
    arguments = {"hosts": [shards[0].url], "prefix": "exclude"}
    one, other, theirs = *peers["ours"], peers["theirs"][0]
    layers = {peer: peer("make", kind, arguments) for peer in (one, other, theirs)}
    members = {peer: peer("join", layers[peer], ["room"]) for peer in layers}
    names = {peer: name for peer, (_, name) in members.items()}
    one("group_send", layers[one], "room", {"type": "first"}, names[one])
    one("group_send", layers[one], "room", {"type": "second"}, names[other], names[theirs])
    one("group_send", layers[one], "room", {"type": "third"})
    heard = {peer: [peer("next", number)] for peer, (number, _) in members.items()}
    for peer, (number, _) in members.items():
        while heard[peer][-1] != {"type": "third"}:
            heard[peer].append(peer("next", number))
        peer("leave", number, ["room"])
    assert heard[one] == [{"type": "second"}, {"type": "third"}]
    assert heard[other] == [{"type": "first"}, {"type": "third"}]
    types = ["first", "second", "third"] if kind == "pubsub" else ["first", "third"]
    assert [message["type"] for message in heard[theirs]] == types
    if kind == "queue":  # nothing in it is of use to channels_redis
        assert heard[theirs] == [{"type": type_} for type_ in types]


def test_a_consumer_can_be_taken_out_of_a_group_by_another_process(
    peers: dict[str, list[PeerProcess]], shards: list[RedisServer]
) -> None:
    one, other = peers["ours"]
    layers = [peer("make", "queue", {"hosts": [shards[0].url], "prefix": "kick"}) for peer in (one, other)]
    number, channel = one("join", layers[0], ["room"])
    other("group_discard", layers[1], "room", channel)
    other("group_send", layers[1], "room", {"type": "not.for.it"})
    other("send", layers[1], channel, {"type": "direct"})
    assert one("next", number) == {"type": "direct"}
    one("leave", number, [])


NOTICE = {"type": "consumers.close", "code": 4001, "reason": "bye"}


@pytest.mark.parametrize("kind", ["pubsub", "queue"])
def test_a_group_of_both_is_closed(kind: str, peers: dict[str, list[PeerProcess]], shards: list[RedisServer]) -> None:
    arguments = {"hosts": [shards[0].url], "prefix": "close"}
    ours, theirs = peers["ours"][0], peers["theirs"][0]
    member, _ = ours("join", ours("make", kind, arguments), ["room"])
    other, _ = theirs("join", theirs("make", kind, arguments), ["room"])
    sender = peers["ours"][1]
    sender("close_group", sender("make", kind, arguments), "room", 4001, "bye")
    assert [ours("next", member) for _ in range(2)] == [{"closed": [4001, "bye"]}, NOTICE]
    assert theirs("next", other) == NOTICE
    ours("leave", member, ["room"])
    theirs("leave", other, ["room"])


@pytest.mark.parametrize("kind", ["pubsub", "queue"])
def test_no_message_of_channels_redis_closes_a_member(
    kind: str, peers: dict[str, list[PeerProcess]], shards: list[RedisServer]
) -> None:
    arguments = {"hosts": [shards[0].url], "prefix": "forge"}
    ours, theirs = peers["ours"][0], peers["theirs"][0]
    member, channel = ours("join", ours("make", kind, arguments), ["room"])
    by = theirs("make", kind, arguments)
    head = channel.partition("!")[0].removeprefix("forge" if kind == "pubsub" else "") + "!"
    order = {**NOTICE, "type": "layer.close", "group": "room", "channels": [f"{head}group.room"]}
    forgeries = [NOTICE, order, {**order, "__asgi_channel__": [f"{head}control"]}]
    for forgery in forgeries:
        theirs("group_send", by, "room", forgery)
        assert ours("next", member)["type"] == forgery["type"]
    for forgery in forgeries[:2]:
        theirs("send", by, channel, forgery)
        assert ours("next", member)["type"] == forgery["type"]
    ours("leave", member, ["room"])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("encryption", ["plain", "encrypted"])
def test_a_group_with_history_is_to_channels_redis_as_any_other(
    encryption: str, format: str, peers: dict[str, list[PeerProcess]], shards: list[RedisServer]
) -> None:
    group = f"kept.{encryption}.{format}"
    arguments: dict[str, Any] = {"hosts": [shards[0].url], "serializer_format": format}
    if encryption == "encrypted":
        arguments["symmetric_encryption_keys"] = KEYS
    kept = {**arguments, "history": {"kept.*": {"size": 100, "ttl": 60}}}
    ours = [(peer, peer("make", "pubsub", kept)) for peer in peers["ours"]]
    their, layer = peers["theirs"][0], peers["theirs"][0]("make", "pubsub", arguments)
    members = [(peer, peer("join", number, [group])[0]) for peer, number in ours]
    their_member, _ = their("join", layer, [group])
    sends = [
        (*ours[0], "group_send"),
        (their, layer, "group_send"),
        (*ours[1], "group_send"),
        (*ours[1], "group_send_unkept"),
        (their, layer, "group_send"),
        (*ours[0], "group_send"),
    ]
    with shards[0].client(decode_responses=False) as client, client.pubsub(ignore_subscribe_messages=True) as raw:
        raw.subscribe(f"asgi__group__{group}")
        raw.get_message(timeout=8)
        positions = []
        for index, (peer, number, send) in enumerate(sends):
            message = {"type": "test", **FORMATS[format], "index": index % 2}
            positions.append(peer(send, number, group, message))
            assert their("next", their_member) == message
            for reader, member in members:
                mark = {"group": group, "position": positions[-1], "replayed": False}
                assert reader("next", member) == {**message, "history": mark}
        payloads = [raw.get_message(timeout=8)["data"] for _ in sends]
    if encryption == "plain":  # else no two are the same
        assert payloads[::2] == payloads[:1] * 3 and payloads[1::2] == payloads[1:2] * 3
    assert [position and position.rpartition(".")[2] for position in positions] == ["1", None, "2", None, None, "3"]
    again, _ = ours[1][0]("join", ours[1][1], [group], positions[0])
    for position in (positions[2], positions[5]):
        assert ours[1][0]("next", again)["history"] == {"group": group, "position": position, "replayed": True}
    their("group_send", layer, group, {"type": "test", "index": 9})
    assert ours[1][0]("next", again)["history"]["position"] is None
    for peer, member in [*members, (ours[1][0], again), (their, their_member)]:
        peer("leave", member, [group])
