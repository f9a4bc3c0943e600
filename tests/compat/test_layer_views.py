"""What the in-memory layer shows as `channels` and `groups` are dicts, whichever way they are looked at or changed."""

import copy
import json
import pickle
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from compat.channels.layers import InMemoryChannelLayer
from compat.layer_views import Groups

pytestmark = pytest.mark.anyio

ROOMS = {"hall": {"one": None}, "room": {"one": None, "two": None}}


@pytest.fixture
async def layer() -> InMemoryChannelLayer:
    layer = InMemoryChannelLayer()
    for room, members in ROOMS.items():
        for name in members:
            await layer.group_add(room, name)
    return layer


@pytest.mark.parametrize("way", ["clear", "assignment", "popitem"])
async def test_emptying_the_channels_ends_while_some_are_in_use(way: str) -> None:
    layer: Any = InMemoryChannelLayer()
    name = layer.attach(lambda message: 1)
    got: list[Any] = []

    async def wait() -> None:
        got.append(await layer.receive("waited"))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await layer.send("stored", {"type": "note"})
        if way == "clear":
            layer.channels.clear()
        elif way == "assignment":
            layer.channels = {}
        else:
            with pytest.raises(KeyError):
                while layer.channels:
                    layer.channels.popitem()
        assert set(layer.channels) == {name, "waited"}
        await layer.send("waited", {"type": "note"})
    assert got == [{"type": "note"}]


async def test_popitem_takes_out_the_last_name_with_what_it_had(layer: Any) -> None:
    assert layer.groups["room"].popitem() == ("two", None)
    assert layer.groups.popitem() == ("room", {"one": None})
    assert layer.groups.pop("hall") == {"one": None}
    with pytest.raises(KeyError):
        layer.groups.popitem()


LOOKS: dict[str, Callable[[Any], Any]] = {
    "json": json.dumps,
    "indented json": lambda groups: json.dumps(groups, indent=2),
    "json of members": lambda groups: json.dumps(groups["room"]),
    "or": lambda groups: groups | {"new": 1},
    "reflected or": lambda groups: {"new": 1, "room": 2} | groups,
    "equal": lambda groups: (groups == ROOMS, groups == {}),
    "unequal": lambda groups: (groups != ROOMS, groups != {}),
    "reversed": lambda groups: list(reversed(groups)),
    "star": lambda groups: {**groups},
    "dict": dict,
    "copy": lambda groups: groups.copy(),
    "shallow copy": copy.copy,
    "deep copy": copy.deepcopy,
    "pickle": lambda groups: pickle.loads(pickle.dumps(groups)),
    "repr": repr,
    "text": lambda groups: f"{groups}",
    "truth": bool,
    "items": lambda groups: list(groups.items()),
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
async def test_a_view_looks_as_a_dict_does(layer: Any, look: Callable[[Any], Any]) -> None:
    held = InMemoryChannelLayer().groups
    assert look(layer.groups) == look(ROOMS)
    # From Python 3.13 on, json puts a line break into what it takes for a dict that is not empty.
    if look is not LOOKS["json of members"] and look is not LOOKS["indented json"]:
        assert look(held) == look({})


@pytest.mark.parametrize("look", ["json", "or"])
async def test_a_view_that_was_taken_before_looks_as_the_layer_does_now(layer: Any, look: str) -> None:
    layer = InMemoryChannelLayer()
    groups = layer.groups
    await layer.group_add("room", "one")
    assert LOOKS[look](groups) == LOOKS[look]({"room": {"one": None}})


async def test_no_method_of_dict_looks_past_the_layer() -> None:
    harmless = {
        "__new__",
        "__hash__",
        "__getattribute__",
        "__lt__",
        "__le__",
        "__gt__",
        "__ge__",
        "__sizeof__",
        "fromkeys",
    }
    inherited = {name for name in vars(dict) if getattr(Groups, name) is getattr(dict, name)}
    assert inherited <= harmless


async def test_groups_can_be_saved_and_put_back(layer: Any) -> None:
    saved = layer.groups.copy()
    layer.groups = {"other": {"three": 1.0}}
    assert layer.groups == {"other": {"three": None}}
    layer.groups = saved
    assert layer.groups == ROOMS
    layer.groups = layer.groups
    layer.groups["room"] = layer.groups["room"]
    assert layer.groups == ROOMS
    layer.groups |= {"new": {"four": 1.0}}
    assert layer.groups == {**ROOMS, "new": {"four": None}}
    await layer.send("one", {"type": "note"})
    layer.channels |= {}
    assert list(layer.channels) == ["one"]
