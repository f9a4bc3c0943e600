"""What is refused, and that nothing is half done then."""

import re
from typing import Any

import pytest

from consumers.exceptions import PresenceFull
from consumers.layers.base import Layer
from consumers.testing.contract import WRONG_NAMES

from ...support.contract import Mailbox
from ...support.presence import arrive, settle, shows, watch

pytestmark = pytest.mark.anyio

WRONG_KEYS: list[tuple[Any, type[Exception], str]] = [
    (None, TypeError, "key must be a str, such as a user's id, not NoneType: None"),
    (5, TypeError, "key must be a str, such as a user's id, not int: 5"),
    (b"ann", TypeError, "key must be a str, such as a user's id, not bytes: b'ann'"),
    (["ann"], TypeError, "key must be a str, such as a user's id, not list: ['ann']"),
    ("", ValueError, "key must have 1 to 200 characters, not 0: ''"),
    ("a" * 201, ValueError, "key must have 1 to 200 characters, not 201: 'aaa"),
    ("\ud800", ValueError, "key must be text that UTF-8 has bytes for, which '\\ud800' is not"),
]

CIRCULAR: dict[str, Any] = {}
CIRCULAR["self"] = CIRCULAR


def nested(depth: int, innermost: Any = 1) -> dict[str, Any]:
    """Return so many dicts and lists in one another, the first of which is a dict."""
    value = innermost
    for level in range(depth - 1):
        value = [value] if level % 2 else {"a": value}
    return {"a": value}


WRONG_METAS: list[tuple[Any, type[Exception], str]] = [
    (5, TypeError, 'meta must be a dict, such as {"name": "Ann"}, not int: 5'),
    ("{}", TypeError, 'meta must be a dict, such as {"name": "Ann"}, not str: \'{}\''),
    ([("a", 1)], TypeError, "not list: [('a', 1)]"),
    ({"a": float("nan")}, TypeError, "meta['a'] must be something that JSON has, such as text, not nan"),
    ({"a": [float("-inf")]}, TypeError, "meta['a'][0] must be something that JSON has, such as text, not -inf"),
    ({"a": b"bytes"}, TypeError, "meta['a'] must be something that JSON has, such as text, not b'bytes'"),
    ({"a": {1, 2}}, TypeError, "meta['a'] must be something that JSON has, such as text, not {1, 2}"),
    ({b"a": 1}, TypeError, "a key of meta must be text that UTF-8 has bytes for, not b'a'"),
    ({1: "a"}, TypeError, "a key of meta must be text that UTF-8 has bytes for, not 1"),
    ({"x": {("a",): 1}}, TypeError, "a key of meta['x'] must be text that UTF-8 has bytes for, not ('a',)"),
    ({"a": "\ud800"}, TypeError, "meta['a'] must be text that UTF-8 has bytes for, not '\\ud800'"),
    ({"\udfff": 1}, TypeError, "a key of meta must be text that UTF-8 has bytes for, not '\\udfff'"),
    (CIRCULAR, ValueError, "meta must have at most 32 dicts and lists in one another: flatten it"),
    ({"a": "x" * 4089}, ValueError, "meta must have at most 4,096 bytes as JSON, not 4,097: keep the rest elsewhere"),
    ({"a": "ä" * 2045}, ValueError, "meta must have at most 4,096 bytes as JSON, not 4,098: keep the rest elsewhere"),
    (nested(33), ValueError, "meta must have at most 32 dicts and lists in one another: flatten it"),
    (nested(33, {}), ValueError, "meta must have at most 32 dicts and lists in one another: flatten it"),
    (nested(700), ValueError, "meta must have at most 32 dicts and lists in one another: flatten it"),
    (nested(100_000), ValueError, "meta must have at most 32 dicts and lists in one another: flatten it"),
]

LARGEST_METAS = [{"a": "x" * 4088}, {"a": "ä" * 2044}, nested(32), {"a": [{}] * 100}, {"{[": "{[" * 100}]


async def test_a_wrong_name_is_refused_everywhere(layer: Layer) -> None:
    name = layer.attach(Mailbox().deliver)
    for wrong in WRONG_NAMES:
        for method in (layer.group_count, layer.group_channels, layer.presence, layer.presence_count):
            with pytest.raises(TypeError, match="Group name must be"):
                await method(wrong)
        for group, channel, noun in ((wrong, name, "Group"), ("room", wrong, "Channel")):
            if wrong == "a!b!c" and noun == "Group":
                continue
            with pytest.raises(TypeError, match=f"{noun} name must be"):
                await layer.presence_track(group, channel, key="ann")
            with pytest.raises(TypeError, match=f"{noun} name must be"):
                await layer.presence_update(group, channel, meta={})
            with pytest.raises(TypeError, match=f"{noun} name must be"):
                await layer.presence_untrack(group, channel)
    await shows(layer, "room", {})


@pytest.mark.parametrize(("key", "error", "text"), WRONG_KEYS, ids=range(len(WRONG_KEYS)))
async def test_a_wrong_key_is_refused(layer: Layer, key: Any, error: type[Exception], text: str) -> None:
    watcher = await watch(layer, "room")
    name = layer.attach(Mailbox().deliver)
    with pytest.raises(error, match=re.escape(text)):
        await layer.presence_track("room", name, key=key)
    await settle(layer, watcher)
    await shows(layer, "room", {})
    assert watcher.told == []


@pytest.mark.parametrize(("meta", "error", "text"), WRONG_METAS, ids=range(len(WRONG_METAS)))
async def test_a_wrong_meta_is_refused(layer: Layer, meta: Any, error: type[Exception], text: str) -> None:
    watcher = await watch(layer, "room")
    name = layer.attach(Mailbox().deliver)
    with pytest.raises(error, match=re.escape(text)):
        await layer.presence_track("room", name, key="ann", meta=meta)
    await shows(layer, "room", {})
    await layer.presence_track("room", name, key="ann", meta={"good": True})
    with pytest.raises(error, match=re.escape(text)):
        await layer.presence_update("room", name, meta=meta)
    with pytest.raises(error, match=re.escape(text)):
        await layer.presence_track("room", name, key="bob", meta=meta)
    await settle(layer, watcher)
    await shows(layer, "room", {"ann": [{"good": True}]})
    assert watcher.told == [("joins", "ann", [{"good": True}])]


async def test_the_largest_metas_are_told(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    for number, meta in enumerate(LARGEST_METAS):
        await arrive(layer, "room", f"user.{number}", meta)
    await watcher.knows({f"user.{number}": [meta] for number, meta in enumerate(LARGEST_METAS)})


async def test_a_key_and_a_meta_are_given_by_name(layer: Layer) -> None:
    name = layer.attach(Mailbox().deliver)
    track: Any = layer.presence_track
    with pytest.raises(TypeError):
        await track("room", name, "ann")
    update: Any = layer.presence_update
    with pytest.raises(TypeError):
        await update("room", name, {})


async def test_a_key_has_a_hundred_channels_and_no_more(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    names = [await arrive(layer, "room", "ann") for _ in range(100)]
    more = layer.attach(Mailbox().deliver)
    await layer.presence_track("room", more, key="bob", meta={"a": 1})
    text = "key 'ann' is there by 100 channels already, as many as one key may have in a group"
    with pytest.raises(PresenceFull, match=text) as caught:
        await layer.presence_track("room", more, key="ann")
    assert caught.value.key == "ann"
    await settle(layer, watcher)
    await shows(layer, "room", {"ann": [{}], "bob": [{"a": 1}]})  # it stands for who it did before
    assert all(kind == "joins" for kind, _, _ in watcher.told)
    await layer.presence_track("room", names[0], key="ann", meta={"again": True})  # one that it has
    await layer.presence_track("elsewhere", more, key="ann")
    layer.detach(names[1])
    await shows(layer, "room", {"ann": [{"again": True}, {}], "bob": [{"a": 1}]})
    await layer.presence_track("room", more, key="ann")
    await shows(layer, "room", {"ann": [{"again": True}, {}], "bob": []})


async def test_a_full_key_is_refused_whatever_the_name_of_its_group(layer: Layer) -> None:
    names = [layer.attach(Mailbox().deliver) for _ in range(101)]
    for name in names[:100]:
        await layer.presence_track("-1", name, key="ann")
    with pytest.raises(PresenceFull):
        await layer.presence_track("-1", names[100], key="ann")


async def test_who_is_refused_for_a_full_key_is_not_left_behind(layer: Layer) -> None:
    for _ in range(100):
        await arrive(layer, "room", "ann")
    more = layer.attach(Mailbox().deliver)
    with pytest.raises(PresenceFull):
        await layer.presence_track("room", more, key="ann")
    with pytest.raises(ValueError, match="is not tracked"):
        await layer.presence_update("room", more, meta={})
    layer.detach(more)
    await shows(layer, "room", {"ann": [{}]})


async def test_a_channel_that_has_ended_cannot_be_tracked(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    name = await arrive(layer, "elsewhere", "ann")
    layer.detach(name)
    for key in ("ann", "bob"):
        with pytest.raises(RuntimeError, match=re.escape(repr(name))):
            await layer.presence_track("room", name, key=key)
    with pytest.raises((RuntimeError, ValueError)):
        await layer.presence_update("elsewhere", name, meta={"a": 1})
    await settle(layer, watcher)
    await shows(layer, "room", {})
    await shows(layer, "elsewhere", {"ann": []})
    assert watcher.told == []


async def test_a_channel_that_is_not_tracked_cannot_be_updated(layer: Layer) -> None:
    name = await arrive(layer, "room", "ann")
    text = (
        f"channel {name!r} is not tracked in group 'elsewhere': track it first, with group_track() or presence_track()"
    )
    with pytest.raises(ValueError, match=re.escape(text)):
        await layer.presence_update("elsewhere", name, meta={})
    await layer.presence_untrack("room", name)
    with pytest.raises(ValueError, match="is not tracked"):
        await layer.presence_update("room", name, meta={"a": 1})
    await shows(layer, "room", {"ann": []})
    await shows(layer, "elsewhere", {})
