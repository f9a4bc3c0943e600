"""What members are told, given what is heard: with holes, a truth that takes its time, and members that are full."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest

from consumers.layers._presence import GATHER, Change
from consumers.layers._presence_feed import LONGEST_RETRY, RETRY, PresenceFeeds, Truth
from consumers.types import Message

A, B = '{"a":1}', '{"b":2}'


def joins(*keys: str) -> list[Change]:
    return [Change("joins", key, (A,)) for key in keys]


def leaves(*keys: str) -> list[Change]:
    return [Change("leaves", key) for key in keys]


class FullReceiver:
    def __init__(self, name: str) -> None:
        self.name = name


class Group:
    """A process with members of one group, where the test says what is heard, read and full, and when time passes.

    Attributes:
        told: the messages, and to whom; None: to all.
        reads: how many reads of the truth have begun and not ended.
        due: what is to be called, and after how many seconds.
        full: the members that have no room.
    """

    def __init__(self, max_list: int = 100) -> None:
        self.told: list[tuple[Message, set[str] | None]] = []
        self.reads = 0
        self.due: list[tuple[float, Callable[[], object]]] = []
        self.full: set[str] = set()
        self.is_empty = False
        self.posted: list[Callable[[], object]] = []
        local: Any = self
        self.feeds = PresenceFeeds(local, max_list, lambda _: [], self.read, self.later)

    def tell(
        self, message: Message, group: str, channels: Iterable[str], only: Iterable[str] | None, refused: Any
    ) -> bool:
        assert group == "room"
        self.told.append((message, None if only is None else set(only)))
        for name in sorted(self.full if only is None else self.full & set(only)):
            self.posted.append(partial(refused, FullReceiver(name)))  # as members of another event loop are
        return not self.is_empty

    def read(self, group: str) -> None:
        self.reads += 1

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        self.due.append((seconds, function))

    def run_posted(self) -> None:
        posted, self.posted = self.posted, []
        for call in posted:
            call()

    def pass_time(self) -> list[float]:
        """Call what is due; return after how many seconds that was."""
        self.run_posted()
        due, self.due = self.due, []
        for _, function in due:
            function()
        self.run_posted()
        return [seconds for seconds, _ in due]

    def hear(self, version: int, previous: int, count: int, changes: list[Change]) -> None:
        self.feeds.hear("room", version, previous, count, changes)

    def truth(self, version: int, members: dict[str, tuple[str, ...]] | None, count: int | None = None) -> None:
        assert self.reads > 0
        self.reads -= 1
        self.feeds.tell_truth("room", Truth(version, len(members or {}) if count is None else count, members))

    def take(self) -> list[tuple[str, Any]]:
        """Return what was told since, as types and what counts, and forget it."""
        told, self.told = self.told, []
        return [self.short(message) for message, _ in told]

    @staticmethod
    def short(message: Message) -> tuple[str, Any]:
        match message["type"]:
            case "presence.diff":
                changes = [sorted(message["joins"]), sorted(message["updates"]), sorted(message["leaves"])]
                return "diff", (message["version"], *changes)
            case "presence.state":
                return "state", (message["version"], sorted(message["members"]))
            case _:
                return "count", (message["version"], message["count"])


def test_changes_are_gathered() -> None:
    group = Group()
    group.hear(1, 0, 1, joins("ann"))
    group.hear(2, 1, 2, joins("bob"))
    assert group.take() == []
    assert group.pass_time() == [GATHER]
    assert group.take() == [("diff", (2, ["ann", "bob"], [], []))]
    assert group.pass_time() == []
    group.hear(3, 2, 1, leaves("bob"))
    assert group.pass_time() == [GATHER]
    assert group.take() == [("diff", (3, [], [], ["bob"]))]


@pytest.mark.parametrize(
    ("kinds", "told"),
    [
        (["joins", "updates"], "joins"),
        (["joins", "leaves"], "leaves"),
        (["joins", "leaves", "joins"], "joins"),
        (["updates", "updates"], "updates"),
        (["updates", "leaves"], "leaves"),
        (["leaves", "joins"], "updates"),
        (["leaves", "joins", "leaves"], "leaves"),
    ],
)
def test_several_changes_of_one_key_are_one(kinds: Any, told: str) -> None:
    group = Group()
    for version, kind in enumerate(kinds, start=1):
        group.hear(version, version - 1, 5, [Change(kind, "ann", () if kind == "leaves" else (f'{{"n":{version}}}',))])
    group.pass_time()
    [(message, _)] = group.told
    assert {kind: list(message[kind]) for kind in ("joins", "updates", "leaves") if message[kind]} == {told: ["ann"]}
    if told != "leaves":
        assert message[told]["ann"] == [{"n": len(kinds)}]


def test_what_was_heard_before_is_nothing_new() -> None:
    group = Group()
    group.hear(5, 4, 1, joins("ann"))
    group.hear(5, 4, 1, joins("ann"))
    group.hear(4, 3, 2, joins("old"))
    group.pass_time()
    assert group.take() == [("diff", (5, ["ann"], [], []))]
    assert group.reads == 0


def test_the_first_that_is_heard_is_no_hole() -> None:
    group = Group()
    group.hear(9, 8, 1, joins("ann"))
    assert group.reads == 0


def test_a_hole_has_the_truth_read_and_told_to_all() -> None:
    group = Group()
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    group.take()
    group.hear(3, 2, 3, joins("eve"))
    assert group.reads == 1
    group.pass_time()
    assert group.take() == []  # first the truth
    group.truth(3, {"ann": (A,), "bob": (A,), "eve": (A,)})
    assert group.take() == [("state", (3, ["ann", "bob", "eve"]))]
    group.pass_time()
    assert group.take() == []  # it was in it
    group.hear(4, 3, 2, leaves("bob"))
    group.pass_time()
    assert group.take() == [("diff", (4, [], [], ["bob"]))]
    assert group.reads == 0


def test_what_is_heard_while_the_truth_is_read_is_told_after_it_unless_it_was_in_it() -> None:
    group = Group()
    group.feeds.lose("room")
    group.hear(5, 4, 2, joins("in it"))
    group.hear(6, 5, 3, joins("after it"))
    group.hear(7, 6, 3, [Change("updates", "ann", (B,))])
    group.pass_time()
    assert group.take() == []
    group.truth(5, {"ann": (A,), "in it": (A,)})
    assert group.take() == [("state", (5, ["ann", "in it"]))]
    assert group.pass_time() == [GATHER]
    assert group.take() == [("diff", (7, ["after it"], ["ann"], []))]


def test_a_key_that_has_left_and_come_back_since_the_truth_is_told_by_what_that_said() -> None:
    group = Group()
    group.feeds.lose("room")
    group.hear(6, 5, 1, leaves("ann"))
    group.hear(7, 6, 2, joins("ann", "bob"))
    group.truth(5, {"ann": (A,)})
    group.take()
    group.pass_time()
    assert group.take() == [("diff", (7, ["bob"], ["ann"], []))]


def test_a_change_since_the_truth_is_a_join_if_that_did_not_have_the_key() -> None:
    group = Group()
    group.hear(3, 2, 2, [Change("updates", "ann", (B,))])
    group.feeds.lose("room")
    group.hear(4, 3, 3, joins("bob"))
    group.hear(5, 4, 2, leaves("ann"))
    group.hear(6, 5, 3, joins("ann"))
    group.hear(7, 6, 3, [Change("updates", "bob", (B,))])
    group.truth(5, {"bob": (A,), "eve": (A,)})
    group.take()
    group.pass_time()
    assert group.take() == [("diff", (7, ["ann"], ["bob"], []))]


def test_a_hole_while_the_truth_is_read_has_it_read_again() -> None:
    """What was asked for before the hole may be older than that."""
    group = Group()
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    group.take()
    group.feeds.lose("room")
    group.hear(4, 3, 4, joins("eve"))
    assert group.reads == 1
    group.truth(2, {"ann": (A,), "bob": (A,)})
    assert group.reads == 1
    group.pass_time()
    assert group.take() == []
    group.truth(4, {"ann": (A,), "bob": (A,), "dan": (A,), "eve": (A,)})
    assert group.take() == [("state", (4, ["ann", "bob", "dan", "eve"]))]
    assert group.reads == 0


def test_a_truth_is_read_once_for_many_losses() -> None:
    group = Group()
    group.feeds.lose("room")
    for _ in range(3):
        group.feeds.lose("room")
    assert group.reads == 1
    group.truth(1, {})
    assert group.reads == 1
    group.truth(1, {})
    assert group.reads == 0
    assert group.take() == [("state", (1, []))]
    group.feeds.tell_truth("room", Truth(2, 0, {}))  # nobody has asked
    assert group.take() == []


def test_an_older_truth_takes_no_version_and_no_count_back() -> None:
    group = Group(max_list=2)
    group.feeds.lose("room")
    group.hear(6, 5, 4, joins("eve"))
    group.truth(5, None, count=3)
    assert group.take() == [("count", (5, 3))]
    group.pass_time()
    assert group.take() == [("count", (6, 4))]
    assert group.feeds.groups() == {"room": 6}
    group.hear(6, 5, 4, joins("eve"))
    group.pass_time()
    assert group.take() == []


def test_one_that_was_full_is_told_the_truth_alone() -> None:
    group = Group()
    group.full = {"slow"}
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    group.take()
    assert group.pass_time() == [RETRY]
    assert group.reads == 1
    group.full = set()
    group.truth(1, {"ann": (A,)})
    assert [only for _, only in group.told] == [{"slow"}]
    assert group.take() == [("state", (1, ["ann"]))]
    assert group.pass_time() == []


def test_one_that_stays_full_is_tried_less_and_less_often() -> None:
    group = Group()
    group.full = {"slow"}
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    waits = []
    for _ in range(6):
        waits += group.pass_time()
        group.truth(1, {"ann": (A,)})
        group.run_posted()
    assert waits == [RETRY, 2 * RETRY, 4 * RETRY, LONGEST_RETRY, LONGEST_RETRY, LONGEST_RETRY]
    group.full = set()
    group.pass_time()
    group.truth(1, {"ann": (A,)})
    assert group.pass_time() == []
    for version, wait in ((2, GATHER), (3, GATHER)):  # it is forgiven
        group.full = {"slow"} if version == 3 else set()
        group.hear(version, version - 1, 1, [Change("updates", "ann", (str(version),))])
        assert group.pass_time() == [wait]
    assert group.pass_time() == [RETRY]


def test_what_is_heard_while_one_that_was_full_is_helped_is_told_to_all_after_that() -> None:
    """Were it told before, that one would know a greater version than that of the list, and not take the list."""
    group = Group()
    group.full = {"slow"}
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    group.take()
    group.pass_time()
    group.full = set()
    group.hear(2, 1, 2, joins("bob"))
    group.hear(3, 2, 3, joins("eve"))
    group.pass_time()
    assert group.take() == []
    group.truth(2, {"ann": (A,), "bob": (A,)})
    assert [only for _, only in group.told] == [{"slow"}]
    group.pass_time()
    assert group.take() == [("state", (2, ["ann", "bob"])), ("diff", (3, ["bob", "eve"], [], []))]


def test_beyond_max_list_all_are_told_the_count_and_below_it_the_list() -> None:
    group = Group(max_list=1)
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    group.hear(2, 1, 2, joins("bob"))
    group.pass_time()
    group.hear(3, 2, 1, leaves("ann"))
    group.pass_time()
    assert group.take() == [("diff", (1, ["ann"], [], [])), ("count", (2, 2))]
    group.truth(3, {"bob": (A,)})
    group.hear(4, 3, 0, leaves("bob"))
    group.pass_time()
    assert group.take() == [("state", (3, ["bob"])), ("diff", (4, [], [], ["bob"]))]


@pytest.mark.parametrize("is_named", [True, False], ids=["the list is read all the same", "only the count is read"])
def test_who_was_told_a_count_for_the_truth_is_told_the_list_below_max_list(is_named: bool) -> None:
    group = Group(max_list=1)
    group.feeds.lose("room")
    group.truth(2, {"ann": (A,), "bob": (A,)} if is_named else None, count=2)
    assert group.take() == [("count", (2, 2))]
    group.hear(3, 2, 1, leaves("ann"))
    group.pass_time()
    assert group.take() == []
    group.truth(3, {"bob": (A,)})
    assert group.take() == [("state", (3, ["bob"]))]


def test_one_that_was_full_and_is_told_a_count_is_told_the_list_later() -> None:
    """The others know the list, and are not told of the moment in which it was too long."""
    group = Group(max_list=1)
    group.full = {"slow"}
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    group.pass_time()
    group.full = set()
    group.hear(2, 1, 2, joins("bob"))
    group.truth(2, {"ann": (A,), "bob": (A,)})
    group.hear(3, 2, 1, leaves("bob"))
    group.take()
    group.pass_time()
    assert group.take() == []
    group.truth(3, {"ann": (A,)})
    assert [only for _, only in group.told] == [None]
    assert group.take() == [("state", (3, ["ann"]))]


def test_a_group_of_which_nothing_was_known_may_have_been_too_large() -> None:
    group = Group(max_list=2)
    group.hear(7, 6, 2, leaves("ann"))
    group.pass_time()
    assert group.take() == []
    group.truth(7, {"bob": (A,), "eve": (A,)})
    assert group.take() == [("state", (7, ["bob", "eve"]))]


def test_a_group_without_anybody_is_forgotten() -> None:
    group = Group()
    group.hear(1, 0, 1, joins("ann"))
    group.feeds.forget("room")
    assert group.feeds.groups() == {"room": 1}  # trackers may be there, who are to be told
    group.pass_time()
    group.feeds.forget("room")
    group.feeds.forget("room")
    assert group.feeds.groups() == {}
    group.is_empty = True
    group.hear(2, 1, 2, joins("bob"))
    group.pass_time()
    assert group.feeds.groups() == {}


def test_a_group_whose_last_member_was_full_is_forgotten() -> None:
    group = Group()
    group.full = {"slow"}
    group.hear(1, 0, 1, joins("ann"))
    group.pass_time()
    group.feeds.forget("room")
    group.full, group.is_empty = set(), True
    group.pass_time()
    group.truth(1, {"ann": (A,)})
    assert group.feeds.groups() == {}
    assert group.pass_time() == []


def test_a_tracker_that_was_full_is_helped_though_the_members_have_gone_meanwhile() -> None:
    group = Group()
    group.full = {"tracker"}
    group.hear(1, 0, 1, joins("ann"))
    for _, tell in group.due:
        tell()
    group.due.clear()
    group.feeds.forget("room")
    group.run_posted()  # only now its event loop comes to the message
    assert group.pass_time() == [RETRY]
    group.full = set()
    group.truth(1, {"ann": (A,)})
    assert group.told[-1][1] == {"tracker"}


def test_a_flush_forgets_all_and_what_comes_late_is_harmless() -> None:
    group = Group()
    group.hear(1, 0, 1, joins("ann"))
    group.feeds.lose("room")
    group.feeds.flush()
    group.truth(1, {"ann": (A,)})
    group.pass_time()
    assert group.take() == []
    assert group.feeds.groups() == {}
