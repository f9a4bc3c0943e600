"""Groups with history in memory against a simple model: who gets what, in which order, and what is a gap."""

from itertools import pairwise
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from consumers import InMemoryChannelLayer
from consumers.layers import _feed

from ...support.history import GAP
from ...support.history_model import DAY, SWEEP, Member, ModelLog, Sent

RULES: Any = {"red": {"size": 3, "ttl": 20}, "green": {"size": 8, "ttl": 400}}
ROUNDS = 20  # of the event loop: more than it takes to hand over all that is kept

groups = st.sampled_from(["red", "green"])
ids = st.sampled_from([None, None, None, "a", "b"])
MADE_UP = ["", "0", "a-b.1", "0" * 16 + "-" + "0" * 16 + ".1", "x" * 10_000]


class HistoryMachine(RuleBasedStateMachine):
    """Every rule lets the event loop come to rest."""

    backend = "asyncio"
    members = Bundle("members")  # those that are attached, and those that were
    positions = Bundle("positions")  # of both groups, of logs that are and logs that were

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(_feed, "AT_ONCE", 4)
        self.patch.setattr(_feed, "RETRY", 3600.0)  # those that cannot say when they have room are told to go on
        self.now = 0.0
        self.number = 0
        self.dropped = 0
        self.next_sweep = float(SWEEP)
        self.all: list[Member] = []
        self.logs: dict[str, ModelLog] = {}
        self.layer = InMemoryChannelLayer(history=RULES, clock=lambda: self.now)
        self.portal_manager = anyio.from_thread.start_blocking_portal(self.backend)
        self.portal: anyio.from_thread.BlockingPortal = self.portal_manager.__enter__()

    def teardown(self) -> None:
        try:
            for member in self.all:
                while member.held:
                    self.read(member, member.held)
                    self.members_got_what_they_should()
                self.detach(member)
            assert self.layer.groups == {}
            assert self.layer._local.feeds._feeds == {}
        finally:
            self.portal_manager.__exit__(None, None, None)
            self.patch.undo()

    # The model

    def members_of(self, group: str) -> list[Member]:
        return [member for member in self.all if member.group == group]

    def log_of(self, group: str) -> ModelLog:
        if self.now >= self.next_sweep:
            self.next_sweep = self.now + SWEEP
            for log in self.logs.values():
                log.expire(self.now)
        found = self.logs.get(group)
        if found is None or (found.until <= self.now and not self.members_of(group)):
            found = self.logs[group] = ModelLog(RULES[group]["size"], RULES[group]["ttl"], self.now)
        found.expire(self.now)
        return found

    def check_newest(self, log: ModelLog, position: Any) -> str:
        """Check that this is the newest position of the group, and of no other; return it."""
        known = log.positions.setdefault(log.newest, position)
        assert position == known
        assert sum(position in other.positions.values() for other in self.logs.values()) == 1
        return str(position)

    # Both

    def call(self, method: Any, *arguments: Any) -> Any:
        result = self.portal.call(method, *arguments)
        self.portal.call(self.let_all_run)
        return result

    async def let_all_run(self) -> None:
        for _ in range(ROUNDS):
            await anyio.lowlevel.checkpoint()

    @rule(target=members, says_room=st.booleans())
    def attach(self, says_room: bool) -> Member:
        member = Member(says_room)
        room = member.room if says_room else None
        member.name = self.portal.call(self.layer.attach, member.deliver, None, room)
        self.all.append(member)
        return member

    @rule(
        target=positions, member=members, group=groups, since=st.none() | positions, last=st.sampled_from([0, 0, 2, 9])
    )
    def join(self, member: Member, group: str, since: str | None, last: int) -> str:
        if member.group not in (None, group):
            self.leave(member)
        log = self.log_of(group)
        log.touch(self.now)
        if member.group == group:
            return self.join_again(member, log, since, last)
        missed = None if since is None else log.after(since)
        recovered = since is None or missed is not None
        if missed is None:
            missed = log.kept[-last:] if last else []
        count = sum(sent.excluded != member.name for sent in missed)
        if member.is_attached:
            member.joinings.append((len(member.got), log, missed[0].offset - 1 if missed else log.newest))
            member.follow(group, list(missed), log.newest)
            member.get(log.newest)
        joined = self.call(self.layer.group_add, group, member.name, since, last)
        assert joined[1:] == (recovered, count)
        return self.check_newest(log, joined.position)

    def join_again(self, member: Member, log: ModelLog, since: str | None, last: int) -> str:
        assert member.group is not None
        if since is not None or last:
            with pytest.raises(ValueError, match="already"):
                self.call(self.layer.group_add, member.group, member.name, since, last)
        joined = self.call(self.layer.group_add, member.group, member.name)
        assert joined[1:] == (True, 0)
        return self.check_newest(log, joined.position)

    @rule(target=positions, member=members)
    def reconnect(self, member: Member) -> Any:
        """Come back by another channel, since what the client has got last."""
        got = [item[1] for item in member.got if isinstance(item, tuple) and item[1]["position"] is not None]
        self.detach(member)
        if not got:
            return multiple()
        return self.join(self.attach(member.says_room), got[-1]["group"], got[-1]["position"], 0)

    @rule(member=members, since=st.sampled_from(MADE_UP), group=groups)
    def join_since_what_is_no_position(self, member: Member, since: str, group: str) -> None:
        self.join(member, group, since, 0)

    @rule(member=members)
    def leave(self, member: Member) -> None:
        if member.group is not None:
            self.call(self.layer.group_discard, member.group, member.name)
            member.leave()

    @rule(member=members)
    def detach(self, member: Member) -> None:
        self.call(self.layer.detach, member.name)
        member.leave()
        member.is_attached = False

    @rule(member=members, count=st.integers(1, 4))
    def read(self, member: Member, count: int) -> None:
        count = min(count, member.held)
        member.expected_held -= count
        if member.group is not None:
            member.get(self.logs[member.group].newest)
        member.held -= count
        self.call(self.layer.resume, member.name)

    @rule(target=positions, group=groups, times=st.sampled_from([1, 1, 2, 5, 12]), id=ids)
    def send(self, group: str, times: int, id: str | None) -> Any:
        return multiple(*[self.send_one(group, id) for _ in range(times)])

    @rule(target=positions, group=groups, member=members, id=ids)
    def send_to_others(self, group: str, member: Member, id: str | None) -> str:
        return self.send_one(group, id, member.name)

    def send_one(self, group: str, id: str | None, excluded: str | None = None) -> str:
        self.number += 1
        log = self.log_of(group)
        known = log.ids.get(id or "")
        message = {"type": "test", "number": self.number}
        position: str = self.call(self.layer.group_send, group, message, id, True, excluded or ())
        if known is not None:
            assert position == known[1]
            return position
        if id is not None:
            log.ids[id] = self.now + min(log.ttl, 300), position
        sent = Sent(log.newest + 1, position, self.number, excluded)
        log.add(sent, self.now)
        self.check_newest(log, position)
        for member in self.members_of(group):
            member.pending.append(sent)
            member.get(log.newest)
        return position

    @rule(group=groups, member=members)
    def send_what_is_not_kept(self, group: str, member: Member) -> None:
        self.number += 1
        message = {"type": "test", "number": self.number}
        assert self.call(self.layer.group_send, group, message, None, False, member.name) is None
        for other in self.members_of(group):
            if other is member:
                continue
            if other.expected_held < Member.HARD:
                other.expect((self.number, {"group": group, "position": None, "replayed": False}))
            else:
                self.dropped += 1

    @rule(target=positions, group=groups, since=st.none() | positions, limit=st.integers(1, 10))
    def look_at_history(self, group: str, since: str | None, limit: int) -> str:
        log = self.log_of(group)
        found = log.kept[-limit:] if since is None else log.after(since)
        page = self.call(self.layer.history, group, since, limit)
        shown = [] if found is None else found[:limit]
        assert page.recovered == (found is not None)
        assert [message["number"] for message in page.messages] == [sent.number for sent in shown]
        assert [message["history"]["position"] for message in page.messages] == [sent.position for sent in shown]
        if shown:
            assert page.position == shown[-1].position
            return shown[-1].position
        return self.check_newest(log, page.position)

    @rule(target=positions, group=groups)
    def look_at_position(self, group: str) -> str:
        log = self.log_of(group)
        return self.check_newest(log, self.call(self.layer.position, group))

    @rule(seconds=st.sampled_from([1, 9, 19, 20, 299, 399, 400, DAY - 1, DAY]))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(sure=st.sampled_from([False, False, False, True]))
    def flush(self, sure: bool) -> None:
        if sure:
            self.call(self.layer.flush)
            self.logs.clear()
            for member in self.all:
                member.leave()

    @invariant()
    def members_got_what_they_should(self) -> None:
        for member in self.all:
            assert member.got == member.expected
            assert member.held == member.expected_held
        assert self.layer.dropped == self.dropped

    @invariant()
    def positions_grow_and_every_hole_is_told(self) -> None:
        """What is promised, without regard to how the model has come to it."""
        for member in self.all:
            for begin, end in pairwise([*(begin for begin, _, _ in member.joinings), len(member.got)]):
                _, log, offset = next(joining for joining in reversed(member.joinings) if joining[0] == begin)
                offsets = {position: number for number, position in log.positions.items()}
                is_told = False
                for item in member.got[begin:end]:
                    if item == GAP:
                        is_told = True
                    elif isinstance(item, tuple) and (position := item[1]["position"]) is not None:
                        assert offsets[position] > offset
                        skipped = range(offset + 1, offsets[position])
                        assert is_told or all(log.excluded[number] == member.name for number in skipped)
                        offset, is_told = offsets[position], False

    @invariant()
    def tables_hold_what_they_should(self) -> None:
        expected = {group: {member.name for member in self.members_of(group)} for group in RULES}
        assert self.layer.groups == {group: names for group, names in expected.items() if names}
        feeds = self.layer._local.feeds._feeds
        assert feeds.keys() == self.layer.groups.keys()
        for group, of_group in feeds.items():
            [feed] = of_group.values()
            assert {receiver.name for receiver in feed.members} == expected[group]
            behind = {m.name for m in self.members_of(group) if m.pending or m.is_to_be_told}
            assert {receiver.name for receiver in feed.lags} == behind
            assert not feed._ready
            assert not feed._waits_for_entry
            assert not feed._left


class TrioHistoryMachine(HistoryMachine):
    backend = "trio"


TestOnAsyncio = HistoryMachine.TestCase
TestOnTrio = pytest.mark.slow(TrioHistoryMachine.TestCase)
TestOnAsyncio.settings = TestOnTrio.settings = settings(
    max_examples=settings().max_examples * 3 // 5, stateful_step_count=40, deadline=None
)
