"""The `presence` option of layers, and layers that have none."""

import re
from typing import Any

import pytest

from consumers import InMemoryChannelLayer
from consumers.exceptions import InvalidChannelLayerError
from consumers.layers._parts import WhoIsThere
from consumers.layers._presence import PresenceOptions, presence_options
from consumers.layers.base import BaseChannelLayer

from ...support.contract import MakeLayer

DEFAULTS = PresenceOptions(grace=5, lease=15, max_list=1000)

WRONG: list[tuple[Any, type[Exception], str]] = [
    (5, TypeError, 'presence must be a dict such as {"grace": 5, "lease": 15}, not 5'),
    (True, TypeError, "presence must be a dict"),
    ([("grace", 5)], TypeError, "presence must be a dict"),
    ({"graze": 5}, TypeError, "presence has no option 'graze': there are grace, lease, max_list"),
    ({5: 5}, TypeError, "presence has no option 5: there are grace, lease, max_list"),
    ({"grace": -1}, ValueError, 'presence["grace"] must be a number of seconds from 0 to 86,400, not -1'),
    ({"grace": 86401}, ValueError, 'presence["grace"] must be a number of seconds from 0 to 86,400, not 86401'),
    ({"grace": "5"}, ValueError, "presence[\"grace\"] must be a number of seconds from 0 to 86,400, not '5'"),
    ({"grace": None}, ValueError, 'presence["grace"] must be a number of seconds from 0 to 86,400, not None'),
    ({"grace": True}, ValueError, 'presence["grace"] must be a number of seconds from 0 to 86,400, not True'),
    ({"grace": float("nan")}, ValueError, 'presence["grace"] must be a number of seconds from 0 to 86,400, not nan'),
    ({"lease": 0}, ValueError, 'presence["lease"] must be a number of seconds from 1 to 3,600, not 0'),
    ({"lease": 3601}, ValueError, 'presence["lease"] must be a number of seconds from 1 to 3,600, not 3601'),
    ({"lease": float("inf")}, ValueError, 'presence["lease"] must be a number of seconds from 1 to 3,600, not inf'),
    ({"max_list": -1}, ValueError, 'presence["max_list"] must be a number of keys, 0 or more, not -1'),
    ({"max_list": 1.5}, ValueError, 'presence["max_list"] must be a number of keys, 0 or more, not 1.5'),
    ({"max_list": False}, ValueError, 'presence["max_list"] must be a number of keys, 0 or more, not False'),
    ({"max_list": None}, ValueError, 'presence["max_list"] must be a number of keys, 0 or more, not None'),
]


def test_what_is_left_out_has_its_default() -> None:
    assert presence_options(None) == presence_options({}) == DEFAULTS
    assert presence_options({"grace": 0}) == PresenceOptions(grace=0)
    assert presence_options({"lease": 1, "max_list": 0}) == PresenceOptions(lease=1, max_list=0)
    assert presence_options({"grace": 86400, "lease": 3600.0}) == PresenceOptions(grace=86400, lease=3600)


@pytest.mark.parametrize(("rule", "error", "text"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_option_is_refused(rule: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=re.escape(text)):
        presence_options(rule)


@pytest.mark.parametrize(("rule", "error", "text"), WRONG, ids=range(len(WRONG)))
def test_a_layer_with_a_wrong_option_is_not_made(
    make: MakeLayer, rule: Any, error: type[Exception], text: str, anyio_backend: str
) -> None:
    with pytest.raises(error, match=re.escape(text)):
        make(presence=rule)


class Plain(BaseChannelLayer):
    pass


class Bare(WhoIsThere):
    """A layer that has the whole contract but this part."""


def test_a_layer_without_presence_refuses_the_option() -> None:
    text = "Plain has no presence: configure consumers.layers.InMemoryChannelLayer"
    with pytest.raises(TypeError, match=text):
        Plain(presence={"grace": 5})
    Plain(presence=None)


@pytest.mark.anyio
async def test_a_layer_that_does_not_know_says_which_layers_do() -> None:
    layer = Bare()
    calls = {
        "group_count()": layer.group_count("room"),
        "group_channels()": layer.group_channels("room"),
        "presence_track()": layer.presence_track("room", "one", key="ann"),
        "presence_update()": layer.presence_update("room", "one", meta={}),
        "presence_untrack()": layer.presence_untrack("room", "one"),
        "presence()": layer.presence("room"),
        "presence_count()": layer.presence_count("room"),
    }
    for name, call in calls.items():
        text = f"Bare has no {name}, as it does not know who is there: configure consumers.layers.InMemoryChannelLayer"
        with pytest.raises(InvalidChannelLayerError, match=re.escape(text)):
            await call


@pytest.mark.anyio
async def test_a_layer_needs_no_option_to_know_who_is_there() -> None:
    layer = InMemoryChannelLayer()
    await layer.presence_track("room", await layer.new_channel(), key="ann")
    assert await layer.presence_count("room") == 1
