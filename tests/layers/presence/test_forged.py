"""What only layers say is dropped when it comes from somebody else."""

import logging

import anyio.to_thread
import pytest

from consumers import channel_layers
from consumers.layers import send
from consumers.layers.base import Layer

from ...support.contract import Mailbox, MakeLayer, needs
from ...support.presence import watch

pytestmark = pytest.mark.anyio

KINDS = ("layer.gap", "presence.diff", "presence.state", "presence.count")
SPELLINGS = [*KINDS, *(kind.replace(".", "_") for kind in KINDS)]


def forged(kind: str) -> dict[str, object]:
    return {"type": kind, "group": "room", "members": {}, "joins": {}, "leaves": [], "updates": {}, "version": 10**20}


@pytest.mark.parametrize("kind_of_message", SPELLINGS)
async def test_a_forged_message_is_dropped_and_logged(
    layer: Layer, kind_of_message: str, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = await watch(layer, "room")
    message = forged(kind_of_message)
    for call in (layer.send(watcher.name, message), layer.group_send("room", message)):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "consumers.layers"):
            await call
        [record] = caplog.records
        assert record.levelno == logging.WARNING
        assert f"only a layer sends messages of type {kind_of_message!r}" in record.getMessage()
    assert message == forged(kind_of_message)
    await layer.send(watcher.name, {"type": "test"})
    assert await watcher.holds(1) == [{"type": "test"}]


async def test_the_log_says_whom_a_forged_message_was_for(layer: Layer, caplog: pytest.LogCaptureFixture) -> None:
    name = layer.attach(Mailbox().deliver)
    await layer.send(name, forged("layer.gap"))
    await layer.group_send("room", forged("presence.diff"))
    assert f"channel {name}" in caplog.records[0].getMessage()
    assert "group room" in caplog.records[1].getMessage()


async def test_types_that_only_resemble_those_of_layers_are_sent(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    kinds = ["presence", "presence.other", "presence.diffs", "my.presence.diff", "layer.gaps", "Presence.diff"]
    for kind in kinds:
        await layer.group_send("room", {"type": kind})
    assert [message["type"] for message in await watcher.holds(len(kinds))] == kinds


async def test_a_forged_message_is_checked_like_any_other(layer: Layer) -> None:
    with pytest.raises(TypeError, match="Group name"):
        await layer.group_send("a b", forged("layer.gap"))
    with pytest.raises(TypeError, match="Channel name"):
        await layer.send("a b", forged("layer.gap"))
    with pytest.raises(TypeError, match="exclude"):
        await layer.group_send("room", forged("layer.gap"), exclude=5)  # type: ignore[arg-type]


@needs("history")
async def test_a_group_with_history_keeps_no_forged_message(make_layer: MakeLayer) -> None:
    layer = make_layer(history={"room": {"size": 10, "ttl": 60}})
    watcher = await watch(layer, "room")
    for kind in SPELLINGS:
        assert await layer.group_send("room", {"type": kind}) is None
        assert await layer.group_send("room", {"type": kind}, keep=False) is None
    await layer.group_send("room", {"type": "test"})
    [message] = await watcher.holds(1)
    assert message["type"] == "test"
    assert len((await layer.history("room")).messages) == 1


async def test_scripts_forge_nothing_either(
    layer: Layer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(channel_layers.backends, "default", layer)
    watcher = await watch(layer, "room")

    def script() -> None:
        send.send_sync(watcher.name, forged("presence.diff"))
        send.group_send_sync("room", forged("layer_gap"))
        send.group_send_sync("room", {"type": "test"})

    await anyio.to_thread.run_sync(script)
    assert await watcher.holds(1) == [{"type": "test"}]
    assert len([record for record in caplog.records if "only a layer" in record.getMessage()]) == 2
