"""Sending and asking without an event loop, by whichever layer is configured."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from consumers import InMemoryChannelLayer, InvalidChannelLayerError, channel_layers
from consumers.layers import (
    Presence,
    group_channels_sync,
    group_count_sync,
    group_send_sync,
    presence_count_sync,
    presence_sync,
    send_sync,
)
from consumers.telemetry import instrument, uninstrument

from ..support.foreign import Foreign

CALLS = pytest.mark.parametrize("call", [send_sync, group_send_sync])
QUESTIONS = pytest.mark.parametrize("ask", [group_count_sync, group_channels_sync, presence_sync, presence_count_sync])


def test_a_script_sends(layer: InMemoryChannelLayer) -> None:
    anyio.run(layer.group_add, "room", "reader")
    send_sync("reader", {"type": "direct"})
    group_send_sync("room", {"type": "test"})
    assert [anyio.run(layer.receive, "reader") for _ in range(2)] == [{"type": "direct"}, {"type": "test"}]


@CALLS
def test_there_must_be_a_layer(call: Callable[..., Any], no_layer: None) -> None:
    with pytest.raises(InvalidChannelLayerError, match="no channel layer 'other'"):
        call("name", {"type": "test"}, "other")


@CALLS
@pytest.mark.anyio
async def test_a_loop_is_not_blocked(call: Callable[..., Any], layer: InMemoryChannelLayer) -> None:
    with pytest.raises(RuntimeError, match="await the layer's"):
        call("name", {"type": "test"})


@CALLS
def test_a_layers_errors_are_raised(call: Callable[..., Any], layer: InMemoryChannelLayer) -> None:
    with pytest.raises(TypeError, match="must be a dict"):
        call("name", "no message")


def test_a_script_asks_who_is_there(layer: InMemoryChannelLayer) -> None:
    async def come() -> None:
        for channel in ("one", "two"):
            await layer.group_add("room", channel)
            await layer.presence_track("room", channel, key="ann", meta={"tab": channel})

    anyio.run(come)
    assert group_count_sync("room") == 2
    assert group_channels_sync("room") == {"one", "two"}
    there = presence_sync("room")
    assert there == {"ann": [{"tab": "one"}, {"tab": "two"}]} and there.version > 0
    assert presence_count_sync("room") == 1


def test_a_layer_may_answer_without_a_loop(no_layer: None) -> None:
    asked: list[str] = []

    class Own(InMemoryChannelLayer):
        def group_count_sync(self, group: str) -> int:
            asked.append(group)
            return 7

        def group_channels_sync(self, group: str) -> frozenset[str]:
            asked.append(group)
            return frozenset({"one"})

        def presence_sync(self, group: str) -> Presence:
            asked.append(group)
            return Presence({"ann": ["{}"]}, 5)

        def presence_count_sync(self, group: str) -> int:
            asked.append(group)
            return 9

    channel_layers.configure({"default": InMemoryChannelLayer(), "own": Own()})
    assert group_count_sync("a", "own") == 7
    assert group_channels_sync("b", "own") == {"one"}
    there = presence_sync("c", "own")
    assert there == {"ann": [{}]} and there.version == 5
    assert presence_count_sync("d", alias="own") == 9
    assert asked == ["a", "b", "c", "d"]


@QUESTIONS
def test_a_layer_that_does_not_know_is_named_with_those_that_do(ask: Callable[..., Any], no_layer: None) -> None:
    channel_layers.configure({"other": Foreign()})
    with pytest.raises(InvalidChannelLayerError, match="no channel layer 'default', only 'other'"):
        ask("room")
    name = ask.__name__.removesuffix("_sync")
    lacks = rf"'other' is a .*Foreign, which has no {name}\(\): configure one of consumers.layers.InMemory.*\.Redis"
    with pytest.raises(InvalidChannelLayerError, match=lacks):
        ask("room", "other")


@QUESTIONS
@pytest.mark.anyio
async def test_a_question_blocks_no_loop(ask: Callable[..., Any], layer: InMemoryChannelLayer) -> None:
    name = ask.__name__
    with pytest.raises(RuntimeError, match=rf"^{name}\(\) would block .*: await the layer's {name[:-5]}\(\)"):
        ask("room")


@QUESTIONS
def test_a_questions_errors_are_raised(ask: Callable[..., Any], layer: InMemoryChannelLayer) -> None:
    with pytest.raises(TypeError, match="Group name must be"):
        ask("no name")


@QUESTIONS
def test_a_layer_that_is_measured_answers(ask: Callable[..., Any], no_layer: None) -> None:
    class Sealing(InMemoryChannelLayer):
        async def send(self, channel: str, message: Any) -> None:
            await super().send(channel, message)

    instrument()
    try:
        for layer in (InMemoryChannelLayer(), Sealing()):
            channel_layers.configure({"default": layer})
            assert not ask("room")
    finally:
        uninstrument()
