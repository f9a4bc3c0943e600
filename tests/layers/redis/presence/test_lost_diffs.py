"""What members are told when changes were lost: by `PresenceFeeds` alone, without Redis."""

from collections.abc import Callable

import anyio
import pytest

from consumers.layers._local import LocalChannels
from consumers.layers._presence import Change
from consumers.layers._presence_feed import PresenceFeeds, Truth
from consumers.types import Message

pytestmark = pytest.mark.anyio

GROUP = "room"


class Fed:
    """The feeds of a process with one member; `reads` are those of the truth that are under way."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.reads: list[str] = []
        self.timers: list[Callable[[], object]] = []
        local = LocalChannels(lambda name: 100, 60, 60, "own!", lambda: 0.0)
        local.attach("own!1", self.deliver)
        local.group_add(GROUP, "own!1")
        self.feeds = PresenceFeeds(
            local, 1000, lambda group: [], self.reads.append, lambda seconds, then: self.timers.append(then)
        )

    def deliver(self, message: Message) -> int:
        self.got.append(message)
        return 1

    def hear(self, kind: str, key: str, version: int, previous: int, count: int) -> None:
        metas = () if kind == "leaves" else ("{}",)
        self.feeds.hear(GROUP, version, previous, count, [Change(kind, key, metas)])  # type: ignore[arg-type]

    def answer(self, version: int, *keys: str) -> None:
        self.reads.pop(0)
        self.feeds.tell_truth(GROUP, Truth(version, len(keys), dict.fromkeys(keys, ("{}",))))

    async def pass_time(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            timer()
        await anyio.wait_all_tasks_blocked()  # members hear of it by their event loop


@pytest.fixture
async def fed(anyio_backend: str) -> Fed:
    return Fed()


async def test_what_follows_is_no_hole(fed: Fed) -> None:
    fed.hear("joins", "ann", 10, 0, 1)
    fed.hear("leaves", "ann", 20, 10, 0)
    fed.hear("joins", "bob", 30, 0, 1)  # an empty group has no version
    fed.hear("joins", "cat", 40, 30, 2)
    assert fed.reads == []


async def test_what_was_before_the_first_is_no_hole(fed: Fed) -> None:
    fed.hear("joins", "ann", 30, 20, 2)
    assert fed.reads == []


@pytest.mark.parametrize(
    "previous",
    [
        pytest.param(20, id="one was lost"),
        pytest.param(0, id="the last to leave was lost"),
        pytest.param(5, id="Redis has gone back"),
    ],
)
async def test_a_hole_is_made_good(fed: Fed, previous: int) -> None:
    fed.hear("joins", "ann", 10, 0, 1)
    fed.hear("joins", "bob", 30, previous, 1)
    await fed.pass_time()
    assert (fed.got, fed.reads) == ([], [GROUP])
    fed.answer(30, "bob")
    await fed.pass_time()
    [state] = fed.got
    assert (state["type"], state["members"]) == ("presence.state", {"bob": [{}]})


async def test_a_truth_that_is_older_than_the_hole_is_read_again(fed: Fed) -> None:
    fed.hear("joins", "ann", 10, 0, 1)
    fed.feeds.lose(GROUP)
    fed.hear("joins", "cat", 40, 30, 2)  # 20 and 30 were lost after the truth had been read
    fed.answer(10, "ann")
    assert fed.reads == [GROUP]
    fed.answer(40, "cat", "dan")
    await fed.pass_time()
    [state] = fed.got
    assert (state["type"], state["members"]) == ("presence.state", {"cat": [{}], "dan": [{}]})


async def test_a_truth_that_is_older_than_what_was_heard_keeps_its_count(fed: Fed) -> None:
    fed.hear("joins", "ann", 10, 0, 1)
    fed.feeds.lose(GROUP)
    fed.hear("leaves", "ann", 20, 10, 0)
    fed.answer(10, "ann")
    await fed.pass_time()
    assert [message["type"] for message in fed.got] == ["presence.state", "presence.diff"]
    fed.hear("joins", "bob", 30, 0, 1)
    assert fed.reads == []
