"""The example's chat, driven as clients would, through the example's own application."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from consumers import InMemoryChannelLayer, channel_layers
from consumers.testing import WebsocketCommunicator
from example_project.app import OPTIONS
from example_project.consumers import breaking

from .driving import connect, refusal

pytestmark = pytest.mark.anyio


def use_presence(**options: Any) -> None:
    """Have the application's layer with other options of presence, for this test."""
    channel_layers.set("default", InMemoryChannelLayer(**OPTIONS, presence=options))  # type: ignore[arg-type]


async def enter(room: str, name: str) -> tuple[WebsocketCommunicator, dict[str, str]]:
    """Join, as a new person, a room in which nothing was said; return the client and who it is."""
    client, welcome, messages = await come_back(room, name, None)
    assert (welcome["recovered"], messages) == (True, [])
    assert await changes(client) == ({welcome["person"]["id"]: [{"name": welcome["person"]["name"]}]}, [])
    return client, welcome["person"]


async def changes(client: WebsocketCommunicator) -> tuple[dict[str, Any], list[str]]:
    """Return what has changed: the metas of some, and who has left."""
    content = await client.receive_json_from()
    assert content["type"] == "changed"
    return content["people"], content["left"]


async def come_back(
    room: str, name: str, since: str | None, id: str = "", key: str = ""
) -> tuple[WebsocketCommunicator, dict[str, Any], list[Any]]:
    """Join a room; return the client, what its welcome says, and the messages that came then."""
    place = {} if since is None else {"since": f"room:{since}"}
    client = await connect(f"/ws/chat/{room}?{urlencode({'name': name, 'id': id, 'client': key, **place})}")
    welcome: dict[str, Any] = {}
    for kind in ("joined", "welcome", "here"):
        content = await client.receive_json_from()
        assert content.pop("type") == kind
        welcome |= content
    return client, welcome, [await client.receive_json_from() for _ in range(welcome["missed"])]


async def say(client: WebsocketCommunicator, *texts: str) -> list[Any]:
    """Say something, and return it as everyone gets it."""
    messages = []
    for text in texts:
        await client.send_json_to({"type": "say", "text": text})
        message = await client.receive_json_from()
        assert (message["type"], message["text"]) == ("said", text)
        messages.append(message)
    return messages


async def test_a_newcomer_and_the_people_in_the_room_learn_of_each_other() -> None:
    ada, ada_person = await enter("lobby", "Ada")
    bob, welcome, _ = await come_back("lobby", "Bob", None)
    bob_id = welcome["person"]["id"]
    assert welcome["people"] == {ada_person["id"]: [{"name": "Ada"}], bob_id: [{"name": "Bob"}]}
    assert await changes(ada) == ({bob_id: [{"name": "Bob"}]}, [])
    await ada.disconnect()
    await bob.disconnect()


async def test_what_is_newer_than_the_list_of_a_newcomer_has_a_higher_version() -> None:
    ada, welcome, _ = await come_back("lobby", "Ada", None)
    assert (await ada.receive_json_from())["version"] <= welcome["version"]
    bob, later, _ = await come_back("lobby", "Bob", None)
    assert (await ada.receive_json_from())["version"] > welcome["version"]
    assert later["version"] > welcome["version"]
    await ada.disconnect()
    await bob.disconnect()


async def test_several_tabs_are_one_person_and_nobody_hears_of_the_second() -> None:
    ada, _ = await enter("lobby", "Ada")
    bob, person = await enter("lobby", "Bob")
    await ada.receive_json_from()
    other, welcome, _ = await come_back("lobby", "Bob", None, person["id"])
    assert welcome["person"] == person
    assert welcome["people"][person["id"]] == [{"name": "Bob"}]
    await other.disconnect()
    assert await ada.receive_nothing()
    await ada.disconnect()
    await bob.disconnect()


async def test_a_person_with_another_name_in_another_tab_has_both() -> None:
    ada, person = await enter("lobby", "Ada")
    other, _, _ = await come_back("lobby", "Countess", None, person["id"])
    assert await changes(ada) == ({person["id"]: [{"name": "Ada"}, {"name": "Countess"}]}, [])
    await other.disconnect()
    assert await changes(ada) == ({person["id"]: [{"name": "Ada"}]}, [])
    await ada.disconnect()


async def test_two_people_may_have_one_name() -> None:
    ada, person = await enter("lobby", "Ada")
    other, other_person = await enter("lobby", "Ada")
    assert person["id"] != other_person["id"]
    assert await changes(ada) == ({other_person["id"]: [{"name": "Ada"}]}, [])
    await ada.disconnect()
    await other.disconnect()


@pytest.mark.parametrize("id", ["", "me", "A" * 32, "a" * 33, "a" * 32 + "\n"])
async def test_what_is_no_id_is_replaced_by_a_new_one(id: str) -> None:
    ada, welcome, _ = await come_back("lobby", "Ada", None, id)
    assert re.fullmatch("[0-9a-f]{32}", welcome["person"]["id"])
    await ada.disconnect()


async def test_who_reloads_the_page_has_not_left() -> None:
    use_presence(grace=0.3)
    ada, _ = await enter("lobby", "Ada")
    bob, person = await enter("lobby", "Bob")
    await ada.receive_json_from()
    await bob.disconnect()
    bob, _, _ = await come_back("lobby", "Bob", None, person["id"])
    assert await ada.receive_nothing(0.5)
    await ada.disconnect()
    await bob.disconnect()


async def test_a_message_reaches_everyone_in_its_room_and_nobody_else() -> None:
    ada, person = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    eve, _ = await enter("elsewhere", "Eve")
    await ada.receive_json_from()
    await ada.send_json_to({"type": "say", "text": "  <b>hello</b> 👋 "})
    for client in (ada, bob):
        message = await client.receive_json_from()
        assert timedelta(0) <= datetime.now(UTC) - datetime.fromisoformat(message.pop("sent")) < timedelta(minutes=1)
        label, position = message.pop("at")
        assert label == "room"
        assert position
        assert message == {"type": "said", "person": person, "text": "<b>hello</b> 👋"}
    assert await eve.receive_nothing()
    for client in (ada, bob, eve):
        await client.disconnect()


async def test_a_message_that_is_said_again_with_its_id_is_shown_once() -> None:
    key = "k" * 22
    ada, welcome, _ = await come_back("lobby", "Ada", None, key=key)
    await changes(ada)
    await ada.send_json_to({"type": "say", "text": "Once", "id": "1"})
    ack, said = sorted([await ada.receive_json_from() for _ in range(2)], key=lambda message: message["type"])
    assert (said["text"], ack) == ("Once", {"type": "ack", "to": "1"})
    await ada.disconnect()
    ada, _, missed = await come_back("lobby", "Ada", welcome["position"], welcome["person"]["id"], key)
    assert missed == [said]
    await ada.send_json_to({"type": "say", "text": "Once", "id": "1"})
    assert await ada.receive_json_from() == ack
    await say(ada, "Last")
    await ada.disconnect()


async def test_a_newcomer_gets_the_newest_fifty_messages_with_their_times_and_nothing_that_is_not_kept() -> None:
    ada, person = await enter("lobby", "Ada")
    said = await say(ada, *(f"message {number}" for number in range(60)))
    await ada.send_json_to({"type": "type"})
    bob, welcome, messages = await come_back("lobby", "Bob", None)
    assert messages == said[10:]
    assert welcome["position"] == said[-1]["at"][1]
    assert messages[0]["person"] == person
    assert (await bob.receive_json_from())["type"] == "changed"
    assert await bob.receive_nothing()
    await ada.disconnect()
    await bob.disconnect()


async def test_who_comes_back_gets_all_that_was_said_meanwhile_once_and_then_what_is_new() -> None:
    ada, _ = await enter("lobby", "Ada")
    bob, person = await enter("lobby", "Bob")
    await ada.receive_json_from()
    (first,) = await say(ada, "first")
    assert await bob.receive_json_from() == first
    await bob.disconnect()
    missed = await say(ada, *(f"missed {number}" for number in range(60)))
    bob, welcome, messages = await come_back("lobby", "Bob", first["at"][1], person["id"])
    assert (welcome["recovered"], messages) == (True, missed)
    assert await say(ada, "new") == [await bob.receive_json_from()]
    for client in (ada, bob):
        await client.disconnect()


@pytest.mark.parametrize("since", ["", "nonsense", f"{'0' * 16}-{'0' * 16}.1"])
async def test_who_comes_back_with_no_position_of_this_room_is_told_that_messages_may_be_missing(since: str) -> None:
    ada, _ = await enter("lobby", "Ada")
    said = await say(ada, "one", "two")
    bob, welcome, messages = await come_back("lobby", "Bob", since)
    assert (welcome["recovered"], messages) == (False, said)
    for client in (ada, bob):
        await client.disconnect()


async def test_who_is_typing_is_shown_to_the_others_alone() -> None:
    ada, person = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    await ada.receive_json_from()
    await ada.send_json_to({"type": "type"})
    assert await bob.receive_json_from() == {"type": "typing", "person": person}
    assert await ada.receive_nothing(0.02)
    for client in (ada, bob):
        await client.disconnect()


@pytest.mark.parametrize("how", ["goodbye", "connection reset", "cancelled by the server"])
async def test_the_room_learns_of_everyone_who_leaves(how: str) -> None:
    use_presence(grace=0.1)
    ada, ada_person = await enter("lobby", "Ada")
    bob, bob_person = await enter("lobby", "Bob")
    await ada.receive_json_from()
    if how == "cancelled by the server":
        bob.stop()
    else:
        code = 1000 if how == "goodbye" else 1006
        await bob.send_input({"type": "websocket.disconnect", "code": code})
    assert await changes(ada) == ({}, [bob_person["id"]])
    eve, welcome, _ = await come_back("lobby", "Eve", None)
    assert [*welcome["people"]] == [ada_person["id"], welcome["person"]["id"]]
    await ada.disconnect()
    await eve.disconnect()


@pytest.mark.slow
async def test_in_a_crowded_room_a_newcomer_learns_of_everyone() -> None:
    crowd = [(await come_back("lobby", f"Person {number}", None))[0] for number in range(110)]
    newcomer, welcome, _ = await come_back("lobby", "Newcomer", None)
    names = {meta["name"] for metas in welcome["people"].values() for meta in metas}
    assert names == {"Newcomer", *(f"Person {number}" for number in range(110))}
    for client in [*crowd, newcomer]:
        client.stop()


async def test_of_a_room_with_too_many_people_for_a_list_their_number_is_shown_until_there_are_fewer() -> None:
    use_presence(max_list=2, grace=0)
    ada, ada_person = await enter("lobby", "Ada")
    bob, bob_person = await enter("lobby", "Bob")
    await ada.receive_json_from()
    eve, _, _ = await come_back("lobby", "Eve", None)
    for client in (ada, bob, eve):
        content = await client.receive_json_from()
        assert (content["type"], content["count"]) == ("crowd", 3)
    await eve.disconnect()
    for client in (ada, bob):
        content = await client.receive_json_from()
        assert content["type"] == "here"
        assert content["people"] == {ada_person["id"]: [{"name": "Ada"}], bob_person["id"]: [{"name": "Bob"}]}
        await client.disconnect()


async def test_someone_who_cannot_join_is_never_mentioned() -> None:
    ada, _ = await enter("lobby", "Ada")
    visitor = await connect("/ws/chat/lobby?name=")
    assert (await visitor.receive_output())["type"] == "websocket.close"
    await visitor.wait()
    assert await ada.receive_nothing()
    await ada.disconnect()


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "Choose a name first."),
        (" \n\t ", "Choose a name first."),
        ("\u200d", "Choose a name first."),
        ("x" * 31, "That name has 31 characters; 30 is the limit."),
        ("Ada\u202eadA", "invisible characters"),
        ("Ada\x00", "invisible characters"),
        ("\ue000", "invisible characters"),
    ],
)
async def test_a_name_that_will_not_do_is_closed_with_a_reason(name: str, why: str) -> None:
    client = await connect(f"/ws/chat/lobby?{urlencode({'name': name})}")
    closed = await client.receive_output()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4003)
    assert why in closed["reason"]
    await client.wait()


@pytest.mark.parametrize(
    ("name", "shown"),
    [("  Ada   Lovelace ", "Ada Lovelace"), ("علی‌رضا", "علی‌رضا"), ("👩‍🔬", "👩‍🔬"), ("x" * 30, "x" * 30)],
)
async def test_names_in_any_script_are_welcome(name: str, shown: str) -> None:
    client, person = await enter("lobby", name)
    assert person["name"] == shown
    await client.disconnect()


@pytest.mark.parametrize("room", ["a.b", "a%20b", "x" * 41, "%C3%BC", "a/b", "lobby!x", ""])
async def test_a_room_name_that_will_not_do_is_closed_with_a_reason(room: str) -> None:
    client = await connect(f"/ws/chat/{room}?name=Ada")
    closed = await client.receive_output()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4004)
    assert closed["reason"].startswith("A room name is")
    await client.wait()


@pytest.mark.parametrize(
    "content",
    [
        {"type": "presence.diff", "joins": {}, "leaves": [], "updates": {}, "version": 1},
        {"type": "said", "person": {"id": "1", "name": "Eve"}, "text": "x", "sent": "2026-01-01T00:00:00Z"},
        {"type": "join", "name": "Eve"},
        {"type": "say"},
        {"type": "break", "how": "everything"},
        {},
        [],
        "join",
        None,
        12,
    ],
)
async def test_anything_else_is_answered_and_never_reaches_the_room(content: Any) -> None:
    ada, _ = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    await ada.receive_json_from()
    await bob.send_json_to(content)
    answer = await bob.receive_json_from()
    assert (answer["type"], answer["code"] in ("invalid", "unknown_type")) == ("error", True)
    assert await ada.receive_nothing(0.02)
    await ada.disconnect()
    await bob.disconnect()


async def test_what_can_not_be_said_is_answered() -> None:
    client, _ = await enter("lobby", "Ada")
    assert await refusal(client, {"type": "say", "text": " \n "}) == "That message is empty."
    too_long = {"type": "say", "text": "x" * 1001}
    assert await refusal(client, too_long) == "That message has 1001 characters; 1000 is the limit."
    await client.send_input({"type": "websocket.receive", "text": '{"type": "say", "text": "half a pair: \\ud800"}'})
    assert (await client.receive_json_from())["code"] == "not_json"
    await client.disconnect()


# A client that breaks its own connection


async def test_a_client_that_kills_its_connection_is_told_when_to_come_back_and_others_keep_theirs() -> None:
    ada, _ = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    await ada.receive_json_from()
    await bob.send_json_to({"type": "break", "how": "kill"})
    closed = await bob.receive_output()
    assert (closed["type"], closed["code"], closed["reason"]) == ("websocket.close", 1012, "retry=3-6")
    await bob.disconnect()
    await say(ada, "still here")
    await ada.disconnect()


async def test_a_client_that_has_its_connection_delayed_gets_all_afterwards_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(breaking, "DELAY", 0.2)
    ada, _ = await enter("lobby", "Ada")
    bob, _ = await enter("lobby", "Bob")
    await ada.receive_json_from()
    await bob.send_json_to({"type": "break", "how": "delay", "id": 1})
    said = await say(ada, "one", "two")
    assert await bob.receive_nothing(0.05)
    assert [await bob.receive_json_from() for _ in range(3)] == [{"type": "ack", "to": 1}, *said]
    for client in (ada, bob):
        await client.disconnect()


async def test_a_server_that_cannot_cut_a_connection_closes_it() -> None:
    client, _ = await enter("lobby", "Ada")
    await client.send_json_to({"type": "break", "how": "cut"})
    assert (await client.receive_output())["code"] == 1012
    await client.disconnect()
