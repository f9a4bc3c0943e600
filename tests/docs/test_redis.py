"""docs/reference/redis.md: its options are the layers', its names are those in Redis, its hosts are taken."""

import ast
import inspect
import re
from collections.abc import Iterator

import pytest

from consumers import channel_layers
from consumers.layers.redis import RedisChannelLayer, RedisPubSubChannelLayer
from consumers.layers.redis.hosts import decode_hosts
from consumers.testing import WebsocketCommunicator

from ..support.examples import connect, run
from ..support.pages import ROOT, blocks
from ..support.redis_server import RedisServer, running_redis

TEXT = (ROOT / "docs/reference/redis.md").read_text(encoding="utf-8")

LAYERS = {"pub/sub": RedisPubSubChannelLayer, "queue": RedisChannelLayer}


def section(title: str) -> str:
    return TEXT.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("kind", LAYERS)
def test_every_option_of_a_layer_is_there_with_its_default(kind: str) -> None:
    rows = re.findall(r"^\| `(\w+)` \| (both|pub/sub|queue) \| `(.+?)` \|", section("Configuration"), re.MULTILINE)
    documented = {name: ast.literal_eval(default) for name, layer, default in rows if layer in ("both", kind)}
    parameters = inspect.signature(LAYERS[kind]).parameters.values()
    assert documented == {each.name: each.default for each in parameters if each.name != "unknown"}


def test_every_kind_of_host_is_taken() -> None:
    rows = [line.rpartition("| `")[2] for line in section("Hosts").splitlines() if line.startswith("| a ")]
    assert len(rows) == 5
    for row in rows:
        hosts = [
            ast.literal_eval(text) for text in f"`{row}".removesuffix(" |").split("`") if text[:1] in ('"', "(", "{")
        ]
        assert hosts
        decode_hosts([host for host in hosts if host != "rediss://…"])


@pytest.mark.anyio
async def test_while_redis_is_away_the_example_closes_with_a_hint_and_without_a_traceback(
    no_layer: None, caplog: pytest.LogCaptureFixture
) -> None:
    [chat] = [block.text for block in blocks("docs/reference/redis.md", "python") if "on_error" in block.text]
    with running_redis() as server:
        channel_layers.set("default", RedisPubSubChannelLayer(hosts=[server.url], timeout=1))
        application = run(chat)["application"]
        client = await connect(application, "/")
        await client.send_json_to({"text": "hello"})
        assert await client.receive_json_from() == {"text": "hello"}
        server.stop()
        caplog.clear()
        await client.send_json_to({"text": "away"})
        closed = await client.receive_output(5)
        assert (closed["code"], closed["reason"]) == (1013, "retry=1-5")
        await client.disconnect()
        assert not any(record.exc_info for record in caplog.records)
        assert await WebsocketCommunicator(application, "/").connect(timeout=5) == (False, 503)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with running_redis() as server:
        yield server


def named(rows: list[tuple[str, str]]) -> re.Pattern[str]:
    """Return what matches the names of a table of keys or channels; `<group>` and the like stand for anything."""
    names = [name for cell, _ in rows for name in re.findall(r"`([^`]+)`", cell)]
    return re.compile("|".join(re.sub(r"<[^>]*>|…", ".+", re.sub(r"([{}])", r"\\\1", name)) for name in names))


@pytest.mark.anyio
@pytest.mark.parametrize("kind", LAYERS)
async def test_what_a_layer_has_in_redis_is_in_the_table(kind: str, server: RedisServer) -> None:
    found = re.findall(rf"^\| (`.+?) \| ([^|]+) \| (?:both|{kind}) \|", section("Keys and channels"), re.MULTILINE)
    rows = [row for row in found if row[0] not in ("`<name>`", "`asgi<name>`")]  # which match anything
    keys = named([row for row in rows if row[1] not in ("channel", "channels")])
    channels = named([row for row in rows if "channel" in row[1]])
    async with LAYERS[kind]([server.url]) as layer:
        name = layer.attach(lambda message: 1)
        await layer.group_add("room", name)
        await layer.presence_track("room", name, key="ann")
        assert await layer.group_count("room") == 1
        await layer.send("worker", {"type": "test"})
        with server.client() as client:
            there, heard = set(client.keys("*")), set(client.pubsub_channels())
            assert {name for name in there if not keys.fullmatch(name)} == (
                {"asgiworker"} if kind == "queue" else set()
            )
            assert {name for name in heard if not channels.fullmatch(name)} == set()
            assert all(client.ttl(key) > 0 for key in there)
            assert ("asgi:group:room" in there) is (kind == "queue")
            assert ("asgi__group__room" in heard) is (kind == "pub/sub")
