"""The `history` option is checked when a layer is configured; the error names what is wrong."""

import re
from decimal import Decimal
from typing import Any

import pytest

from consumers import BaseChannelLayer, InMemoryChannelLayer
from consumers.types import Message

RIGHT = {"size": 10, "ttl": 60}


@pytest.mark.parametrize("history", [None, {}])
def test_no_group_has_a_history_unless_it_is_configured(history: Any) -> None:
    layer = InMemoryChannelLayer(history=history)
    assert not layer.has_history
    assert layer.retention_of("room") is None


def test_what_is_kept_is_that_of_the_first_rule_that_matches() -> None:
    rules: Any = {re.compile(r"room\.\d"): {"size": 1, "ttl": 0.5}, "room.*": RIGHT, "*": {"size": 100_000, "ttl": 1}}
    layer = InMemoryChannelLayer(history=rules)
    assert layer.has_history
    found = [layer.retention_of(group) for group in ("room.1", "room.12", "room.x", "room", "a")]
    assert [(keep.size, keep.ttl) for keep in found if keep is not None] == [
        (1, 0.5),
        (1, 0.5),
        (10, 60),
        (100_000, 1),
        (100_000, 1),
    ]


def test_so_many_groups_names_do_not_pile_up() -> None:
    layer = InMemoryChannelLayer(history={"room.*": RIGHT})
    for number in range(25_000):
        assert (layer.retention_of(f"room.{number}") is None) == (layer.retention_of(f"x.{number}") is not None)
    assert len(layer._history_rules._found) <= 10_000


@pytest.mark.parametrize(
    ("history", "named"),
    [
        ("chat.*", "not 'chat.*'"),
        (["chat.*"], "not ['chat.*']"),
        (True, "not True"),
        ({5: RIGHT}, "not 5"),
        ({None: RIGHT}, "not None"),
        ({re.compile(b"chat"): RIGHT}, "not re.compile(b'chat')"),
        ({"chat.*": 1000}, "history['chat.*'] must be a dict"),
        ({"chat.*": None}, "history['chat.*'] must be a dict"),
        ({"chat.*": {}}, "history['chat.*'] needs"),
        ({"chat.*": {"size": 10}}, "history['chat.*'] needs 'ttl', too"),
        ({"chat.*": {"ttl": 10}}, "history['chat.*'] needs 'size', too"),
        ({re.compile("chat"): {"ttl": 10}}, "history['chat'] needs 'size', too"),
        ({"good": RIGHT, "chat.*": {**RIGHT, "tll": 1}}, "history['chat.*'] has an unknown key 'tll'"),
        ({"chat.*": {"size": 10, "tll": 1}}, "history['chat.*'] has an unknown key 'tll'"),
        *(
            ({"chat.*": {"size": size, "ttl": 60}}, "history['chat.*'][\"size\"] must be an int from 1 to 100,000")
            for size in (0, -1, 1.0, 100_001, 10**30, True, "10", None)
        ),
        *(
            (
                {"chat.*": {"size": 1, "ttl": ttl}},
                "history['chat.*'][\"ttl\"] must be a number of seconds above 0, at most",
            )
            for ttl in (0, -1, float("inf"), float("nan"), 10**400, 1e17, True, "60", None, Decimal(60))
        ),
    ],
)
def test_a_wrong_option_is_named(history: Any, named: str) -> None:
    with pytest.raises((TypeError, ValueError), match=re.escape(named)):
        InMemoryChannelLayer(history=history)


def test_a_layer_without_groups_with_history_is_not_made_with_some() -> None:
    class Mine(BaseChannelLayer):
        pass

    for layer in (BaseChannelLayer, Mine):
        with pytest.raises(TypeError, match=f"{layer.__name__} has no groups with history: configure"):
            layer(history={"chat.*": RIGHT})


@pytest.mark.anyio
async def test_a_group_that_no_pattern_matches_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    history: Any = {"chats.*": RIGHT, re.compile("room"): RIGHT}
    layer = InMemoryChannelLayer(history=history)
    await layer.group_add("chat.1", layer.attach(len))
    assert not caplog.records
    await layer.group_add("chat.1", layer.attach(len), last=5)
    await layer.history("chat.2")
    assert [record.message for record in caplog.records] == [
        "Group 'chat.1' has no history to hand over: the layer's `history` option has only 'chats.*', 'room'"
    ]
    caplog.clear()
    await InMemoryChannelLayer().position("chat.1")
    assert [record.message for record in caplog.records] == [
        "Group 'chat.1' has no history to hand over: the layer's `history` option is not set"
    ]


def test_later_changes_of_what_was_configured_change_nothing() -> None:
    rules: Any = {"room": dict(RIGHT)}
    layer = InMemoryChannelLayer(history=rules)
    rules["room"]["size"] = 1
    rules.clear()
    retention = layer.retention_of("room")
    assert retention is not None
    assert retention.size == 10


@pytest.mark.parametrize("method", ["attach", "send", "receive", "new_channel"])
def test_a_subclass_whose_method_history_goes_past_is_refused(method: str) -> None:
    def override(self: Any, *arguments: Any) -> None: ...

    subclass = type("Mine", (InMemoryChannelLayer,), {method: override, "__module__": "app"})
    subclass()
    with pytest.raises(TypeError, match=rf"Mine overrides {method}\(\)"):
        subclass(history={"room": RIGHT})


async def group_send(self: Any, group: str, message: Message, **options: Any) -> Any:
    return await InMemoryChannelLayer.group_send(self, group, {**message, "by": "subclass"}, **options)


@pytest.mark.anyio
async def test_a_subclass_may_override_what_history_goes_through() -> None:
    subclass = type("Mine", (InMemoryChannelLayer,), {"group_send": group_send, "__module__": "app"})
    layer = subclass(history={"room": RIGHT})
    await layer.group_send("room", {"type": "test"})
    assert (await layer.history("room")).messages[0]["by"] == "subclass"
