"""Presence in memory against a simple model: at rest the list is what is true, and everybody who was told knows it."""

import heapq
from collections.abc import Callable
from itertools import count
from typing import Any

import anyio
import anyio.from_thread
import anyio.lowlevel
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule

from consumers import InMemoryChannelLayer
from consumers.exceptions import PresenceFull
from consumers.layers import _memory_presence, _presence_table
from consumers.types import Message

from ...support.presence import nothing_left
from ...support.presence_model import Client, PresenceModel, normal

MAX_LIST = 3
MOST_CHANNELS = 3
LONG_ENOUGH = 20.0  # seconds: all has been told by then, whoever was full
ROUNDS = 5  # of the event loop

groups = st.sampled_from(["red", "green"])
keys = st.sampled_from(["ann", "bob", "eve", "dan", "kim"])
metas = st.sampled_from([{}, {}, {"a": 1}, {"a": {"b": [1]}}])


class FakeTimers:
    """Calls functions when the test lets time pass."""

    def __init__(self) -> None:
        self._numbers = count()
        self._waiting: list[tuple[float, int, Callable[[], object]]] = []
        self.now = 0.0

    def later(self, seconds: float, function: Callable[[], object]) -> None:
        heapq.heappush(self._waiting, (self.now + seconds, next(self._numbers), function))

    def run_overdue(self) -> None: ...

    def next_due(self, until: float) -> Callable[[], object] | None:
        """Return what is due next, at its time; None, at the end: nothing is until then."""
        if self._waiting and self._waiting[0][0] <= until:
            self.now, _, function = heapq.heappop(self._waiting)
            return function
        self.now = until
        return None


class Receiver:
    """A channel, which may be a member, and tracked, or both; it folds what it has read and is told."""

    def __init__(self) -> None:
        self.name = ""
        self.is_attached = True
        self.is_full = False
        self.member_of: set[str] = set()
        self.tracked_in: set[str] = set()
        self.clients: dict[str, Client] = {}  # by group, of those that it has been told of without a break

    def deliver(self, message: Message) -> int:
        assert self.is_attached
        if self.is_full:
            return 0
        group = message["group"]
        assert group in self.member_of | self.tracked_in
        if group in self.clients:
            self.clients[group].hear(message)
        return 1

    @property
    def heard_of(self) -> set[str]:
        return self.member_of | self.tracked_in


class PresenceMachine(RuleBasedStateMachine):
    """Every rule lets the event loop come to rest; time passes when a rule says so."""

    backend = "asyncio"
    grace = 10.0
    receivers = Bundle("receivers")  # those that are attached, and those that were

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.timers = FakeTimers()
        self.patch.setattr(_memory_presence, "Timers", lambda loops: self.timers)
        self.patch.setattr(_presence_table, "MAX_CHANNELS", MOST_CHANNELS)
        options: Any = {"grace": self.grace, "max_list": MAX_LIST}
        self.layer: Any = InMemoryChannelLayer(presence=options, clock=lambda: self.timers.now)
        self.model = PresenceModel(self.grace)
        self.all: list[Receiver] = []
        self.versions: dict[str, int] = {}
        self.portal_manager = anyio.from_thread.start_blocking_portal(self.backend)
        self.portal: anyio.from_thread.BlockingPortal = self.portal_manager.__enter__()

    def teardown(self) -> None:
        try:
            self.come_to_rest()
            for receiver in self.all:
                self.detach(receiver)
            self.pass_time(self.grace + LONG_ENOUGH)
            assert nothing_left(self.layer)
        finally:
            self.portal_manager.__exit__(None, None, None)
            self.patch.undo()

    def call(self, method: Any, *arguments: Any, **options: Any) -> Any:
        async def run() -> Any:
            try:
                return await method(*arguments, **options)
            finally:
                for _ in range(ROUNDS):
                    await anyio.lowlevel.checkpoint()

        return self.portal.call(run)

    @property
    def now(self) -> float:
        return self.timers.now

    def see(self, group: str, version: int) -> None:
        """Check that a group's version does not go back."""
        assert version >= self.versions.get(group, 0)
        self.versions[group] = version

    def follow(self, receiver: Receiver, group: str) -> None:
        """Have a receiver read the list, as one does that is to be told from now on."""
        client = receiver.clients.setdefault(group, Client())
        snapshot = self.call(self.layer.presence, group)
        self.see(group, snapshot.version)
        client.read(snapshot)

    def unfollow(self, receiver: Receiver, group: str) -> None:
        if group not in receiver.heard_of:
            receiver.clients.pop(group, None)

    @rule(target=receivers)
    def attach(self) -> Receiver:
        receiver = Receiver()
        receiver.name = self.portal.call(self.layer.attach, receiver.deliver)
        self.all.append(receiver)
        return receiver

    @rule(receiver=receivers, group=groups, reads=st.booleans())
    def join(self, receiver: Receiver, group: str, reads: bool) -> None:
        self.call(self.layer.group_add, group, receiver.name)
        if receiver.is_attached:
            receiver.member_of.add(group)
            if reads:
                self.follow(receiver, group)

    @rule(receiver=receivers, group=groups)
    def leave(self, receiver: Receiver, group: str) -> None:
        self.call(self.layer.group_discard, group, receiver.name)
        receiver.member_of.discard(group)
        self.unfollow(receiver, group)

    @rule(receiver=receivers, group=groups)
    def read(self, receiver: Receiver, group: str) -> None:
        if group in receiver.heard_of:
            self.follow(receiver, group)

    @rule(receiver=receivers, group=groups, key=keys, meta=metas, reads=st.booleans())
    def track(self, receiver: Receiver, group: str, key: str, meta: Any, reads: bool) -> None:
        def track() -> Any:
            return self.call(self.layer.presence_track, group, receiver.name, key=key, meta=meta)

        channels = self.model.group(group, self.now).channels
        others = [name for name, (other, _) in channels.items() if other == key and name != receiver.name]
        if not receiver.is_attached:
            with pytest.raises(RuntimeError, match="ended"):
                track()
        elif len(others) == MOST_CHANNELS:
            with pytest.raises(PresenceFull):
                track()
        else:
            self.model.track(group, receiver.name, key, meta, self.now)
            receiver.tracked_in.add(group)
            self.see(group, track())
            if reads:
                self.follow(receiver, group)

    @rule(receiver=receivers, group=groups, meta=metas)
    def update(self, receiver: Receiver, group: str, meta: Any) -> None:
        if self.model.update(group, receiver.name, meta, self.now):
            self.see(group, self.call(self.layer.presence_update, group, receiver.name, meta=meta))
        else:
            with pytest.raises(ValueError, match="not tracked"):
                self.call(self.layer.presence_update, group, receiver.name, meta=meta)

    @rule(receiver=receivers, group=groups)
    def untrack(self, receiver: Receiver, group: str) -> None:
        self.model.untrack(group, receiver.name, self.now)
        self.call(self.layer.presence_untrack, group, receiver.name)
        receiver.tracked_in.discard(group)
        self.unfollow(receiver, group)

    @rule(receiver=receivers)
    def detach(self, receiver: Receiver) -> None:
        self.model.end(receiver.name, self.now)
        receiver.is_attached = False
        receiver.member_of.clear()
        receiver.tracked_in.clear()
        receiver.clients.clear()
        self.portal.call(self.layer.detach, receiver.name)

    @rule(receiver=receivers)
    def fill(self, receiver: Receiver) -> None:
        receiver.is_full = True

    @rule(receiver=receivers)
    def empty(self, receiver: Receiver) -> None:
        receiver.is_full = False

    @rule(seconds=st.sampled_from([0.01, 0.04, 0.05, 1.0, 5.0, 9.95, 10.0, 30.0]))
    def pass_time(self, seconds: float) -> None:
        until = self.now + seconds

        async def run() -> None:
            while (function := self.timers.next_due(until)) is not None:
                function()
                for _ in range(ROUNDS):
                    await anyio.lowlevel.checkpoint()

        self.portal.call(run)

    @rule(sure=st.sampled_from([False] * 9 + [True]))
    def flush(self, sure: bool) -> None:
        if sure:
            self.call(self.layer.flush)
            self.model.groups.clear()
            for receiver in self.all:
                receiver.member_of.clear()
                receiver.tracked_in.clear()
                receiver.clients.clear()

    @rule()
    def come_to_rest(self) -> None:
        """Have all be told, and check that whoever has read the list once knows what is true."""
        for receiver in self.all:
            receiver.is_full = False
        self.pass_time(LONG_ENOUGH)
        for receiver in self.all:
            for group, client in receiver.clients.items():
                assert self.model.is_known_to(client, group, self.now), (receiver.name, group, client.changes)

    @invariant()
    def the_list_is_what_is_true(self) -> None:
        for group in ("red", "green"):
            expected = self.model.group(group, self.now).members()
            assert self.call(self.layer.presence_count, group) == len(expected)
            members = {receiver.name for receiver in self.all if group in receiver.member_of}
            assert self.call(self.layer.group_channels, group) == members
            assert self.call(self.layer.group_count, group) == len(members)
            table = self.layer._presence._tables.get(group)
            known = {} if table is None else {key: list(each.metas) for key, each in table._keys.items()}
            assert known.keys() == expected.keys()  # without a read, which changes what others are told

    @rule(group=groups)
    def look(self, group: str) -> None:
        found = self.call(self.layer.presence, group)
        self.see(group, found.version)
        assert normal(found) == self.model.group(group, self.now).members()

    @invariant()
    def no_message_went_back(self) -> None:
        assert not any(client.went_back for receiver in self.all for client in receiver.clients.values())


class WithoutGrace(PresenceMachine):
    grace = 0.0


class TrioPresenceMachine(PresenceMachine):
    backend = "trio"


TestOnAsyncio = PresenceMachine.TestCase
TestWithoutGrace = WithoutGrace.TestCase
TestOnTrio = pytest.mark.slow(TrioPresenceMachine.TestCase)
TestOnAsyncio.settings = TestWithoutGrace.settings = TestOnTrio.settings = settings(
    max_examples=settings().max_examples * 3 // 5, stateful_step_count=40, deadline=None
)
