"""Mailboxes and groups inside one process: who is there, who is in which group, and what waits for whom.

Nothing here awaits, and everything may be called from any thread or event loop: a lock is held for each look at the
tables, never while foreign code (`deliver`, `wake`) runs.

A group's members are of two kinds. *Attached* ones have a `deliver` function of their own, called on their own loop.
*Stored* ones are channels whose messages wait here until somebody takes them.
"""

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from weakref import WeakValueDictionary

from .._aio.loops import running_loop
from ..types import Close, Deliver, DeliversMany, Message, Room
from ._feed import Missing, is_complete
from ._feeds import Feeds
from ._log import Log
from ._receivers import ENDED, Entry, Lane, PendingJoin, Receiver, Waiter


class LocalGroups:
    """The channels and groups of one process, without what hands messages over.

    Args:
        capacity: returns how many messages a channel holds.
        expiry: seconds until a stored message is dropped.
        group_expiry: seconds until a stored channel that is not added again leaves a group.
        attached_prefix: what the names of attached channels, and no others, begin with. A channel so named
            that is not attached has ended: it gets no messages and joins no groups.
        clock: returns the time in seconds; never goes backwards.
        emptied: told the name of a group that has lost its last member; called with the lock held, from any thread.
        missing: gets messages of groups with history that their logs do not have at hand.

    Attributes:
        lock: guards all tables here.
        feeds: how members follow the logs of their groups.
        has_group: tells whether the group of a name has members.
        has_receiver: tells whether the channel of a name is attached or in a group.
    """

    def __init__(
        self,
        capacity: Callable[[str], int],
        expiry: float,
        group_expiry: float,
        attached_prefix: str,
        clock: Callable[[], float],
        emptied: Callable[[str], object] | None = None,
        missing: Missing = is_complete,
    ) -> None:
        self._emptied = emptied
        self._capacity = capacity
        self._expiry = expiry
        self._group_expiry = group_expiry
        self._attached_prefix = attached_prefix
        self._clock = clock
        self.lock = threading.Lock()
        self._receivers: dict[str, Receiver] = {}  # the attached, and stored ones in groups
        self.has_receiver = self._receivers.__contains__
        self._lanes: WeakValueDictionary[tuple[object, type[DeliversMany] | None], Lane] = WeakValueDictionary()
        self._groups: dict[str, dict[str, Receiver]] = {}
        self.has_group = self._groups.__contains__
        self._waiters: dict[str, deque[Waiter]] = {}
        # Everything in one table lives equally long, so what was last renewed first expires first. For the
        # queues that is the time of the newest message: when it expires, the whole queue has.
        self._queues: OrderedDict[str, deque[Entry]] = OrderedDict()
        self._memberships: OrderedDict[tuple[str, str], float] = OrderedDict()  # only of stored channels
        self._joinings: dict[tuple[str, str], PendingJoin] = {}
        self.feeds = Feeds(self.lock, missing, self._drop, self.detach, clock)

    def attach(self, name: str, deliver: Deliver, close: Close | None = None, room: Room | None = None) -> None:
        """Hand the messages of this channel to `deliver`, on the event loop that is running now.

        Args:
            name: the channel's name.
            deliver: takes a message.
            close: closes the receiver; None: it cannot be closed.
            room: says how many more messages of groups with history it takes; None: it cannot say.

        Raises:
            RuntimeError: if none is running.
        """
        loop = running_loop()
        if loop is None:
            raise RuntimeError("attach() must be called on the event loop that the receiver belongs to")
        capacity = self._capacity(name)
        with self.lock:
            self._receivers[name] = Receiver(name, deliver, capacity, self._lane(loop, deliver), close, room)

    def detach(self, name: str) -> None:
        """Forget a channel's `deliver`, and what waits, and take it out of its groups. Harmless if it has none."""
        with self.lock:
            receiver = self._receivers.get(name)
            if receiver is None or receiver.loop is None:
                return
            del self._receivers[name]
            self._queues.pop(name, None)
            receiver.lane, receiver.close = ENDED, None
            for group in list(receiver.groups):
                self._leave(group, receiver)

    def is_attached_name(self, channel: str) -> bool:
        """Whether this is the name of a channel that is, or was, attached."""
        return channel.startswith(self._attached_prefix)

    def has_groups(self) -> bool:
        """Whether there is a group with members."""
        return bool(self._groups)

    def is_awaited(self, channel: str) -> bool:
        """Whether somebody waits in line for the channel's next message."""
        return channel in self._waiters

    def has_attached(self) -> bool:
        """Whether a channel is attached."""
        with self.lock:
            return any(receiver.loop is not None for receiver in self._receivers.values())

    def awaited(self) -> list[str]:
        """Return the channels that somebody waits in line for."""
        with self.lock:
            return list(self._waiters)

    def members(self, group: str) -> frozenset[str]:
        """Return a group's members."""
        with self.lock:
            self._expire()
            return frozenset(self._groups.get(group, ()))

    def member_names(self, group: str) -> list[str]:
        """Return a group's members, attached and stored, in the order in which they joined."""
        with self.lock:
            return list(self._groups.get(group, ()))

    def groups_of(self, channel: str) -> frozenset[str]:
        """Return the groups that a channel is in, or is about to be."""
        with self.lock:
            receiver = self._receivers.get(channel)
            return frozenset() if receiver is None else frozenset(receiver.groups)

    def loops(self) -> set[object]:
        """Return the event loops of those that are attached or wait."""
        with self.lock:
            waiting = {waiter.loop for waiters in self._waiters.values() for waiter in waiters if waiter.loop}
            return waiting.union(loop for loop, _ in self._lanes)

    def group_add(self, group: str, channel: str) -> None:
        """Add a channel to a group, or renew its membership. A channel that has ended stays out."""
        with self.lock:
            self.renew(group, channel)

    @contextmanager
    def joining(self, group: str, channel: str) -> Iterator[PendingJoin]:
        """Add a channel to a group for a block of code; it stays if the block succeeds, or if it was there before.

        Of several such blocks at once for the same channel and group one that succeeds is enough. Whatever takes the
        channel out of the group meanwhile has the last word over all of them.
        """
        with self.lock:
            self._expire()
            is_settled = channel in self._groups.get(group, ())
            joining = self._joinings.setdefault((group, channel), PendingJoin(is_settled))
            joining.blocks += 1
            self._join(group, channel)
        succeeded = False
        try:
            yield joining
            succeeded = True
        finally:
            with self.lock:
                joining.blocks -= 1
                joining.is_settled |= succeeded
                if self._joinings.get((group, channel)) is joining and not joining.blocks:
                    del self._joinings[group, channel]
                    receiver = self._groups.get(group, {}).get(channel)
                    if receiver is not None and not joining.is_settled:
                        self._leave(group, receiver)

    def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group. Harmless if it is not in it."""
        with self.lock:
            self._expire()
            receiver = self._groups.get(group, {}).get(channel)
            if receiver is not None:
                self._leave(group, receiver)

    def is_member(self, group: str, channel: str) -> bool:
        """Whether a channel is in a group, or about to be; the lock is held."""
        self._expire()
        return channel in self._groups.get(group, ())

    def has_member(self, group: str, channel: str) -> bool:
        """Whether a channel is in a group, or about to be."""
        with self.lock:
            return self.is_member(group, channel)

    def renew(self, group: str, channel: str) -> None:
        """Do as `group_add()`; the lock is held."""
        self._join(group, channel)
        if (joining := self._joinings.get((group, channel))) is not None:
            joining.is_settled = True

    def follow(self, group: str, channel: str, log: Log, cursor: int) -> None:
        """Have a channel that has joined a group follow its log, from after `cursor`, unless it has left; locked."""
        receiver = self._groups.get(group, {}).get(channel)
        if receiver is not None:
            self.feeds.joined(group, log, receiver, cursor)

    def follows(self, group: str, channel: str) -> bool:
        """Whether a channel follows its group's log; the lock is held."""
        receiver = self._groups.get(group, {}).get(channel)
        return receiver is not None and self.feeds.has_member(group, receiver)

    def is_under_way(self, group: str, channel: str, joining: PendingJoin) -> bool:
        """Whether nothing has taken a channel out of a group since `joining()`; the lock is held."""
        return self._joinings.get((group, channel)) is joining

    def resume(self, channel: str) -> None:
        """Go on with a receiver that has room again; on its event loop."""
        receiver = self._receivers.get(channel)
        if receiver is not None:
            self.feeds.resume(receiver)

    def flush(self) -> None:
        """Forget all stored messages and all groups."""
        with self.lock:
            for table in (self._queues, self._groups, self._memberships, self._joinings):
                table.clear()
            self.feeds.flushed()
            for name, receiver in list(self._receivers.items()):
                receiver.groups.clear()
                if receiver.loop is None:
                    del self._receivers[name]

    def forget(self, channel: str) -> None:
        """Forget a channel's stored messages. Harmless if there are none."""
        with self.lock:
            self._queues.pop(channel, None)

    def channels(self, expire: bool = True) -> dict[str, int]:
        """Return how many messages are stored for each channel that is attached, waited on, or has some.

        Args:
            expire: drop first what has expired; otherwise it counts until something else drops it.
        """
        with self.lock:
            if expire:
                self._expire()
            known = dict.fromkeys(self._waiters, 0)
            known.update((name, 0) for name, receiver in self._receivers.items() if receiver.loop is not None)
            known.update((name, len(queue)) for name, queue in self._queues.items())
            return known

    def stored(self) -> int:
        """Return how many messages are stored in all."""
        with self.lock:
            self._expire()
            return sum(map(len, self._queues.values()))

    def held(self, channel: str) -> int:
        """Return how many messages are stored for a channel."""
        with self.lock:
            return len(self._live_queue(channel, self._expire()))

    def least_room(self, channels: Iterable[str]) -> int:
        """Return how many more messages the fullest can store of these channels and of those that have some stored.

        There must be at least one channel.
        """
        with self.lock:
            self._expire()
            return min(self._capacity(name) - len(self._queues.get(name, ())) for name in {*channels, *self._queues})

    def groups(self, expire: bool = True) -> dict[str, frozenset[str]]:
        """Return each group's members; `expire` as for `channels()`."""
        with self.lock:
            if expire:
                self._expire()
            return {group: frozenset(members) for group, members in self._groups.items()}

    def lasting_groups(self) -> set[str]:
        """Return the groups that have stored members, which belong to no event loop and outlive all."""
        with self.lock:
            self._expire()
            return {group for group, _ in self._memberships}

    def stored_members(self) -> set[str]:
        """Return the channels in groups that are not attached."""
        with self.lock:
            return {channel for _, channel in self._memberships}

    # The caller holds the lock

    def _receiver(self, channel: str) -> Receiver | None:
        """Return what takes the channel's messages, made anew for a stored one; None if the channel has ended."""
        receiver = self._receivers.get(channel)
        if receiver is None and not self.is_attached_name(channel):
            receiver = Receiver(channel, partial(self._store, channel), self._capacity(channel))
        return receiver

    def _lane(self, loop: object, deliver: Deliver) -> Lane:
        """Return what receivers share that are of one event loop, and of one kind."""
        kind = type(deliver) if isinstance(deliver, DeliversMany) else None
        lane = self._lanes.get((loop, kind))
        if lane is None:
            lane = self._lanes[loop, kind] = Lane(loop, kind)
        return lane

    def _drop(self, receiver: Receiver) -> None:
        """Take note that a receiver was full; the lock is not held."""
        raise NotImplementedError

    def _store(self, channel: str, message: Message) -> int:
        """Do as a `Deliver` does, for a channel that is not attached; the lock is not held."""
        raise NotImplementedError

    def _join(self, group: str, channel: str) -> None:
        now = self._expire()
        receiver = self._receiver(channel)
        if receiver is None:
            return
        self._receivers[channel] = receiver
        receiver.groups[group] = None
        self._groups.setdefault(group, {})[channel] = receiver
        if receiver.loop is None:
            self._memberships[group, channel] = now + self._group_expiry
            self._memberships.move_to_end((group, channel))

    def _next_waiter(self, channel: str) -> Waiter | None:
        waiters = self._waiters.get(channel)
        if waiters is None:
            return None
        waiter = waiters.popleft()
        if not waiters:
            del self._waiters[channel]
        return waiter

    def _enqueue(self, channel: str, entry: Entry, back: bool) -> int:
        # Other channels' expired messages go with the next receive, as in Channels, or after as long again.
        queue = self._live_queue(channel, self._expire(self._expiry))
        if back:
            queue.appendleft(entry)
        elif len(queue) < self._capacity(channel):
            queue.append(entry)
        else:
            return 0
        self._queues[channel] = queue
        if queue[-1] is entry:  # put back into an empty queue, it is older than others'
            self._queues.move_to_end(channel, last=not back)
        return len(queue)

    def _live_queue(self, channel: str, now: float) -> deque[Entry]:
        """Return the channel's queue without what has expired."""
        queue = self._queues.get(channel)
        if queue is None:
            return deque()
        while queue and queue[0][0] <= now:
            queue.popleft()
        self._forget_if_empty(channel, queue)
        return queue

    def _forget_if_empty(self, channel: str, queue: deque[Entry]) -> None:
        if not queue:
            self._queues.pop(channel, None)

    def _leave(self, group: str, receiver: Receiver) -> None:
        members = self._groups[group]
        del members[receiver.name]
        self.feeds.left(group, receiver)
        self._joinings.pop((group, receiver.name), None)
        if not members:
            del self._groups[group]
            if self._emptied is not None:
                self._emptied(group)
        receiver.groups.pop(group, None)
        if receiver.loop is None:
            del self._memberships[group, receiver.name]
            if not receiver.groups:
                self._receivers.pop(receiver.name, None)

    def _expire(self, grace: float = 0.0) -> float:
        """Drop the memberships whose time has come, and the queues `grace` seconds after that; return the time."""
        now = self._clock()
        while self._queues:
            channel, queue = next(iter(self._queues.items()))
            if queue[-1][0] + grace > now:
                break
            del self._queues[channel]
        while self._memberships:
            (group, channel), deadline = next(iter(self._memberships.items()))
            if deadline > now:
                break
            self._leave(group, self._receivers[channel])
        return now
