"""Who is there, and what members and trackers are told of it."""

import pytest

from consumers.layers.base import Layer

from ...support.contract import Mailbox
from ...support.presence import Watcher, arrive, settle, shows, watch

pytestmark = pytest.mark.anyio

ANN, LAPTOP, PHONE = {"name": "Ann"}, {"on": "laptop"}, {"on": "phone"}


async def test_nobody_is_in_an_unknown_group(layer: Layer) -> None:
    assert await layer.presence("room") == {}
    assert await layer.presence_count("room") == 0


async def test_a_key_joins_with_its_first_channel_and_members_are_told(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann", ANN)
    await watcher.is_told(("joins", "ann", [ANN]))
    await arrive(layer, "room", "bob")
    await watcher.is_told(("joins", "ann", [ANN]), ("joins", "bob", [{}]))
    await shows(layer, "room", {"ann": [ANN], "bob": [{}]})


async def test_a_diff_says_who_has_come_to_which_group(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann", ANN)
    [event] = await watcher.holds(1)
    version = event["version"]
    assert type(version) is int
    assert event == {
        "type": "presence.diff",
        "group": "room",
        "joins": {"ann": [ANN]},
        "leaves": [],
        "updates": {},
        "version": version,
    }


async def test_a_second_tab_with_an_equal_meta_is_told_to_nobody(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann", {"name": "Ann", "age": 5})
    await arrive(layer, "room", "ann", {"age": 5, "name": "Ann"})
    await shows(layer, "room", {"ann": [{"name": "Ann", "age": 5}]})
    await settle(layer, watcher)
    assert watcher.told == [("joins", "ann", [{"name": "Ann", "age": 5}])]


async def test_a_second_tab_with_another_meta_updates_the_whole_list(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    await arrive(layer, "room", "ann", LAPTOP)
    await settle(layer, watcher)
    await arrive(layer, "room", "ann", PHONE)
    await watcher.is_told(("joins", "ann", [LAPTOP]), ("updates", "ann", [LAPTOP, PHONE]))
    await shows(layer, "room", {"ann": [LAPTOP, PHONE]})
    assert await layer.presence_count("room") == len(await layer.presence("room"))


async def test_the_end_of_one_of_several_tabs_is_an_update_at_most(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    laptop, phone, same = [await arrive(layer, "room", "ann", meta) for meta in (LAPTOP, PHONE, PHONE)]
    await settle(layer, watcher)
    layer.detach(same)
    await settle(layer, watcher)
    layer.detach(phone)
    await watcher.is_told(("joins", "ann", [LAPTOP, PHONE]), ("updates", "ann", [LAPTOP]))
    await shows(layer, "room", {"ann": [LAPTOP]})
    await layer.presence_update("room", laptop, meta=PHONE)
    await shows(layer, "room", {"ann": [PHONE]})


async def test_an_update_tells_the_whole_list_and_an_equal_one_nothing(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "ann", LAPTOP)
    await settle(layer, watcher)
    await layer.presence_update("room", name, meta=LAPTOP)
    await settle(layer, watcher)
    await layer.presence_update("room", name, meta=None)
    await watcher.is_told(("joins", "ann", [LAPTOP]), ("updates", "ann", [{}]))
    await shows(layer, "room", {"ann": [{}]})


async def test_tracking_again_changes_the_meta(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "ann", LAPTOP)
    await settle(layer, watcher)
    await layer.presence_track("room", name, key="ann", meta=LAPTOP)
    await settle(layer, watcher)
    await layer.presence_track("room", name, key="ann", meta=PHONE)
    await watcher.is_told(("joins", "ann", [LAPTOP]), ("updates", "ann", [PHONE]))


async def test_tracking_again_by_another_key_is_a_change_of_both(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    name = await arrive(layer, "room", "guest", LAPTOP)
    await arrive(layer, "room", "guest", PHONE)
    await settle(layer, watcher)
    await layer.presence_track("room", name, key="ann", meta=LAPTOP)
    await watcher.knows({"guest": [PHONE], "ann": [LAPTOP]})
    await shows(layer, "room", {"guest": [PHONE], "ann": [LAPTOP]})


async def test_who_tracks_and_is_no_member_is_told_too_and_once(layer: Layer) -> None:
    tracker, both = Watcher(layer, "room"), Watcher(layer, "room")
    await layer.group_add("room", both.name)
    await layer.presence_track("room", tracker.name, key="ann", meta=ANN)
    await tracker.is_told(("joins", "ann", [ANN]))
    await layer.presence_track("room", both.name, key="bob")
    await settle(layer, tracker, both)
    for watcher in (tracker, both):
        assert watcher.told == [("joins", "ann", [ANN]), ("joins", "bob", [{}])]


async def test_who_is_neither_member_nor_tracked_is_told_nothing(layer: Layer) -> None:
    outsider, former, untracked = Watcher(layer, "room"), Watcher(layer, "room"), Watcher(layer, "room")
    await layer.group_add("elsewhere", outsider.name)
    await layer.presence_track("elsewhere", outsider.name, key="outsider")
    await layer.group_add("room", former.name)
    await layer.group_discard("room", former.name)
    watcher = await watch(layer, "room")
    await layer.presence_track("room", untracked.name, key="fence.first")
    await layer.presence_untrack("room", untracked.name)
    await settle(layer, watcher)
    got = len(untracked.messages)
    await arrive(layer, "room", "ann")
    await watcher.is_told(("joins", "ann", [{}]))
    for each in (outsider, former):
        assert all(message["group"] != "room" for message in each.messages)
    assert len(untracked.messages) == got


async def test_tracking_makes_no_membership_and_membership_tracks_nobody(layer: Layer) -> None:
    member = await watch(layer, "room")
    name = await arrive(layer, "room", "ann")
    assert await layer.group_channels("room") == {member.name}
    assert await layer.group_count("room") == 1
    assert layer.groups_of(name) == frozenset()
    assert await layer.presence_count("room") == 1
    await layer.group_add("room", name)
    await layer.group_discard("room", name)
    await shows(layer, "room", {"ann": [{}]})
    await layer.presence_untrack("room", member.name)
    assert await layer.group_count("room") == 1


async def test_groups_do_not_mix(layer: Layer) -> None:
    red, green = await watch(layer, "red"), await watch(layer, "green")
    name = await arrive(layer, "red", "ann", LAPTOP)
    await layer.presence_track("green", name, key="bob", meta=PHONE)
    await layer.presence_update("green", name, meta=ANN)
    await settle(layer, red, green)
    await red.is_told(("joins", "ann", [LAPTOP]))
    await shows(layer, "red", {"ann": [LAPTOP]})
    await shows(layer, "green", {"bob": [ANN]})


async def test_a_stored_channel_may_stand_for_a_key(layer: Layer) -> None:
    """It is no consumer's, but a program's that calls `receive()`; nothing but `presence_untrack()` ends it."""
    channel = await layer.new_channel()
    watcher = await watch(layer, "room")
    await layer.presence_track("room", channel, key="bot")
    await watcher.is_told(("joins", "bot", [{}]))
    await layer.presence_untrack("room", channel)
    await shows(layer, "room", {"bot": []})


async def test_any_key_and_any_meta_that_json_has_may_be_used(layer: Layer) -> None:
    meta = {"text": 'ä "quoted" \\ \x00 😀', "deep": [{"a": [1, 2.5, None, True]}], "": {}}
    keys = ["a b", "é", "user:1", "{x}", "\x00", "*", "a" * 200, "😀" * 200, "__proto__", "0", "null"]
    watcher = await watch(layer, "room")
    for key in keys:
        await arrive(layer, "room", key, meta)
    await watcher.knows({key: [meta] for key in keys})
    await shows(layer, "room", {key: [meta] for key in keys})


async def test_a_meta_may_be_changed_after_it_was_given(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    meta = {"deep": {"list": [1]}}
    name = await arrive(layer, "room", "ann", meta)
    meta["deep"]["list"].append(2)
    await shows(layer, "room", {"ann": [{"deep": {"list": [1]}}]})
    (await layer.presence("room"))["ann"][0]["deep"]["list"].append(3)  # the list is the caller's
    await shows(layer, "room", {"ann": [{"deep": {"list": [1]}}]})
    await layer.presence_update("room", name, meta=meta)
    meta.clear()
    await watcher.knows({"ann": [{"deep": {"list": [1, 2]}}]})


async def test_untracking_who_is_not_tracked_is_harmless(layer: Layer) -> None:
    watcher = await watch(layer, "room")
    name = layer.attach(Mailbox().deliver)
    await layer.presence_untrack("room", name)
    await layer.presence_track("room", name, key="ann")
    await layer.presence_untrack("elsewhere", name)
    await settle(layer, watcher)
    await watcher.is_told(("joins", "ann", [{}]))
    for _ in range(2):
        await layer.presence_untrack("room", name)
    await shows(layer, "room", {"ann": []})
