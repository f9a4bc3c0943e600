"""Sending without an event loop, by whichever layer is configured."""

from collections.abc import Callable
from typing import Any

import anyio
import pytest

from consumers import InMemoryChannelLayer, InvalidChannelLayerError
from consumers.layers import group_send_sync, send_sync

CALLS = pytest.mark.parametrize("call", [send_sync, group_send_sync])


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
