"""Mailboxes, group tables and fan-out inside one process.

Nothing here awaits, and everything may be called from any thread or event loop: a lock is held for each
look at the tables, never while foreign code (`deliver`, `wake`) runs.

A group's members are of two kinds. *Attached* ones have a `deliver` function of their own, called on their
own loop. *Stored* ones are channels whose messages wait here until somebody takes them.
"""

import logging
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable
from functools import partial

from ..exceptions import ChannelFull
from ..types import Deliver, Message
from .isolation import Copier, choose_copier
from .loops import call_soon, running_loop

logger = logging.getLogger("consumers.layers")

WARNING_INTERVAL = 60.0
"""Seconds between two warnings that one channel is full."""

Entry = tuple[float, Message]
"""A waiting message: when it expires, and itself."""


class LocalChannels:
    """The channels and groups of one process.

    Args:
        capacity: returns how many messages a channel holds.
        expiry: seconds until a stored message is dropped.
        group_expiry: seconds until a stored channel that is not added again leaves a group.
        attached_prefix: what the names of attached channels, and no others, begin with. A channel so named
            that is not attached has ended: it gets no messages and joins no groups.
        clock: returns the time in seconds; never goes backwards.
        emptied: told the name of a group that has lost its last member; called with the lock held, from any thread.
    """

    def __init__(
        self,
        capacity: Callable[[str], int],
        expiry: float,
        group_expiry: float,
        attached_prefix: str,
        clock: Callable[[], float],
        emptied: Callable[[str], object] | None = None,
    ) -> None:
        self.dropped = 0
        self._emptied = emptied
        self._capacity = capacity
        self._expiry = expiry
        self._group_expiry = group_expiry
        self._attached_prefix = attached_prefix
        self._clock = clock
        self._lock = threading.Lock()
        self._receivers: dict[str, _Receiver] = {}  # the attached, and stored ones in groups
        self._groups: dict[str, dict[str, _Receiver]] = {}
        self._waiters: dict[str, deque[Waiter]] = {}
        # Everything in one table lives equally long, so what was last renewed first expires first. For the
        # queues that is the time of the newest message: when it expires, the whole queue has.
        self._queues: OrderedDict[str, deque[Entry]] = OrderedDict()
        self._memberships: OrderedDict[tuple[str, str], float] = OrderedDict()  # only of stored channels

    def attach(self, name: str, deliver: Deliver) -> None:
        """Hand the messages of this channel to `deliver`, on the event loop that is running now.

        Raises:
            RuntimeError: if none is running.
        """
        loop = running_loop()
        if loop is None:
            raise RuntimeError("attach() must be called on the event loop that the receiver belongs to")
        receiver = _Receiver(name, deliver, loop, self._capacity(name))
        with self._lock:
            self._receivers[name] = receiver

    def detach(self, name: str) -> None:
        """Forget a channel's `deliver`, and take it out of its groups. Harmless if there is none."""
        with self._lock:
            receiver = self._receivers.pop(name, None)
            if receiver is not None:
                receiver.deliver = _ignore  # fan-outs under way, here or on another loop, may still hold it
                for group in list(receiver.groups):
                    self._leave(group, receiver)

    def is_attached_name(self, channel: str) -> bool:
        """Whether this is the name of a channel that is, or was, attached."""
        return channel.startswith(self._attached_prefix)

    def has_group(self, group: str) -> bool:
        """Whether the group has members."""
        return group in self._groups

    def has_receiver(self, channel: str) -> bool:
        """Whether the channel is attached or in a group."""
        return channel in self._receivers

    def is_awaited(self, channel: str) -> bool:
        """Whether somebody waits in line for the channel's next message."""
        return channel in self._waiters

    def awaited(self) -> list[str]:
        """Return the channels that somebody waits in line for."""
        with self._lock:
            return list(self._waiters)

    def members(self, group: str) -> frozenset[str]:
        """Return a group's members."""
        with self._lock:
            return frozenset(self._groups.get(group, ()))

    def loops(self) -> set[object]:
        """Return the event loops of those that are attached or wait."""
        with self._lock:
            attached = {receiver.loop for receiver in self._receivers.values() if receiver.loop is not None}
            return attached | {waiter.loop for waiters in self._waiters.values() for waiter in waiters if waiter.loop}

    def group_add(self, group: str, channel: str) -> None:
        """Add a channel to a group, or renew its membership. A channel that has ended stays out."""
        with self._lock:
            now = self._expire()
            receiver = self._receiver(channel)
            if receiver is None:
                return
            self._receivers[channel] = receiver
            receiver.groups.add(group)
            self._groups.setdefault(group, {})[channel] = receiver
            if receiver.loop is None:
                self._memberships[group, channel] = now + self._group_expiry
                self._memberships.move_to_end((group, channel))

    def group_discard(self, group: str, channel: str) -> None:
        """Remove a channel from a group. Harmless if it is not in it."""
        with self._lock:
            self._expire()
            receiver = self._groups.get(group, {}).get(channel)
            if receiver is not None:
                self._leave(group, receiver)

    def send(self, channel: str, message: Message) -> int:
        """Send one channel a copy of the message.

        Returns:
            How many messages wait for it, if that is over half its capacity and its mailbox is of this event
            loop; otherwise 0. The sender should let others run the longer, the more there are.

        Raises:
            ChannelFull: if it is full; a mailbox of another event loop counts what it drops instead.
        """
        receiver = self._receivers.get(channel)
        if receiver is None and self.is_attached_name(channel):
            return 0
        copy, original = choose_copier(message)
        if receiver is None or receiver.loop is None:
            stored = self._store(channel, copy(original))
            if not stored:
                raise self._full(channel)
            return stored if stored > self._capacity(channel) // 2 else 0
        if receiver.loop is not running_loop():
            self._post([receiver], original, copy)
            return 0
        full: list[_Receiver] = []
        waiting = self._hand_over([receiver], original, copy, full.append)
        if full:
            raise self._full(channel)
        return waiting

    def group_send(self, group: str, message: Message) -> int:
        """Send every member of a group a copy of the message of its own.

        The messages of one sender reach one receiver in their order. A member that is full, or whose
        `deliver` raises, misses the message; members of a closed event loop are detached.

        Returns:
            The largest number that `send` would return for a member that took the message, or 0.
        """
        return self.deliver(message, groups=(group,))

    def deliver(self, message: Message, channels: Iterable[str] = (), groups: Iterable[str] = ()) -> int:
        """Send a copy of the message of its own to each of these channels and each member of these groups, once.

        Otherwise as `group_send`: also a channel named here that is full only misses the message.
        """
        with self._lock:
            self._expire()
            found: dict[str, _Receiver] = {}
            for group in groups:
                found.update(self._groups.get(group, ()))
            for channel in channels:
                if channel not in found and (receiver := self._receiver(channel)) is not None:
                    found[channel] = receiver
        return self._fan_out(list(found.values()), message)

    def tell_attached(self, message: Message) -> None:
        """Send every attached channel a copy of the message."""
        with self._lock:
            receivers = [receiver for receiver in self._receivers.values() if receiver.loop is not None]
        self._fan_out(receivers, message)

    def _fan_out(self, receivers: list["_Receiver"], message: Message) -> int:
        if not receivers:
            return 0
        copy, original = choose_copier(message)
        here = running_loop()
        local = [receiver for receiver in receivers if receiver.loop is here or receiver.loop is None]
        if len(local) < len(receivers):
            loops: dict[object, list[_Receiver]] = {}
            for receiver in receivers:
                if receiver.loop is not here and receiver.loop is not None:
                    loops.setdefault(receiver.loop, []).append(receiver)
            for remote in loops.values():
                self._post(remote, original, copy)
        return self._hand_over(local, original, copy, self._drop)

    def take(self, channel: str, wake: Callable[[], object]) -> "Waiter":
        """Take the oldest message of a channel, or wait in line for the next.

        Args:
            channel: the channel, not an attached one.
            wake: called, on the event loop that is running now, when the waiter has got a message.

        Returns:
            The waiter; if its `entry` is None, wait for `wake`. If that is given up, call `withdraw`.
        """
        waiter = Waiter(channel, wake, running_loop())
        with self._lock:
            queue = self._live_queue(channel, self._expire())
            if queue:
                waiter.entry = queue.popleft()
                self._forget_if_empty(channel, queue)
            else:
                self._waiters.setdefault(channel, deque()).append(waiter)
        return waiter

    def withdraw(self, waiter: "Waiter") -> None:
        """Stop waiting. A message that the waiter has already got goes to the next, or back to the front."""
        with self._lock:
            entry = waiter.entry
            if entry is None:
                waiters = self._waiters[waiter.channel]
                waiters.remove(waiter)
                if not waiters:
                    del self._waiters[waiter.channel]
        if entry is not None:
            self._offer(waiter.channel, entry, back=True)

    def flush(self) -> None:
        """Forget all stored messages and all groups."""
        with self._lock:
            self._queues.clear()
            self._groups.clear()
            self._memberships.clear()
            for name, receiver in list(self._receivers.items()):
                receiver.groups.clear()
                if receiver.loop is None:
                    del self._receivers[name]

    def channels(self) -> dict[str, int]:
        """Return how many messages are stored for each channel that is attached, waited on, or has some."""
        with self._lock:
            self._expire()
            known = dict.fromkeys(self._waiters, 0)
            known.update((name, 0) for name, receiver in self._receivers.items() if receiver.loop is not None)
            known.update((name, len(queue)) for name, queue in self._queues.items())
            return known

    def groups(self) -> dict[str, frozenset[str]]:
        """Return each group's members."""
        with self._lock:
            self._expire()
            return {group: frozenset(members) for group, members in self._groups.items()}

    # Handing over; without the lock

    def _hand_over(
        self,
        receivers: Iterable["_Receiver"],
        message: Message,
        copy: Copier,
        refused: Callable[["_Receiver"], None],
    ) -> int:
        """Call `deliver` of receivers that are stored or belong to the running loop.

        Returns:
            The largest count that it returned of those over half the receiver's capacity, or 0. A receiver
            that stays full takes nothing, so it never counts.
        """
        most = 0
        for receiver in receivers:
            try:
                waiting = receiver.deliver(copy(message))
            except Exception:
                logger.exception("Channel %s could not take a message", receiver.name)
                continue
            if not waiting:
                refused(receiver)
            elif waiting > most and waiting > receiver.capacity // 2:
                most = waiting
        return most

    def _post(self, receivers: list["_Receiver"], message: Message, copy: Copier) -> None:
        """Have the receivers' loop, which is not the running one, hand the message over."""
        snapshot = copy(message)  # the sender may change its own before that loop gets to it
        try:
            call_soon(receivers[0].loop, partial(self._hand_over, receivers, snapshot, copy, self._drop))
        except RuntimeError:  # that loop is closed
            for receiver in receivers:
                self.detach(receiver.name)

    def _drop(self, receiver: "_Receiver") -> None:
        now = self._clock()
        with self._lock:
            self.dropped += 1
            receiver.dropped += 1
            receiver.unreported += 1
            if now < receiver.silent_until:
                return
            receiver.silent_until = now + WARNING_INTERVAL
            count, receiver.unreported = receiver.unreported, 0
        logger.warning(
            "Channel %s is full (capacity %d): %d message(s) dropped since the last warning, %d in all",
            receiver.name,
            receiver.capacity,
            count,
            receiver.dropped,
        )

    def _full(self, channel: str) -> ChannelFull:
        return ChannelFull(f"Channel {channel!r} is full: it holds {self._capacity(channel)} messages, its capacity")

    def _store(self, channel: str, message: Message) -> int:
        """Do as a `Deliver` does, for a channel that is not attached."""
        return self._offer(channel, (self._clock() + self._expiry, message), back=False)

    def _offer(self, channel: str, entry: Entry, back: bool) -> int:
        """Give an entry to the oldest waiter, or store it: `back` at the front, new if there is room.

        Returns:
            How many wait now: 1 if a waiter got it, 0 if there was no room.
        """
        while True:
            with self._lock:
                waiter = self._next_waiter(channel)
                if waiter is None:
                    return self._enqueue(channel, entry, back)
                waiter.entry = entry
            if waiter.wake_up():
                return 1

    # The tables; the caller holds the lock

    def _receiver(self, channel: str) -> "_Receiver | None":
        """Return what takes the channel's messages, made anew for a stored one; None if the channel has ended."""
        receiver = self._receivers.get(channel)
        if receiver is None and not self.is_attached_name(channel):
            receiver = _Receiver(channel, partial(self._store, channel), None, self._capacity(channel))
        return receiver

    def _next_waiter(self, channel: str) -> "Waiter | None":
        waiters = self._waiters.get(channel)
        if waiters is None:
            return None
        waiter = waiters.popleft()
        if not waiters:
            del self._waiters[channel]
        return waiter

    def _enqueue(self, channel: str, entry: Entry, back: bool) -> int:
        queue = self._live_queue(channel, self._expire())
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

    def _leave(self, group: str, receiver: "_Receiver") -> None:
        members = self._groups[group]
        del members[receiver.name]
        if not members:
            del self._groups[group]
            if self._emptied is not None:
                self._emptied(group)
        receiver.groups.discard(group)
        if receiver.loop is None:
            del self._memberships[group, receiver.name]
            if not receiver.groups:
                self._receivers.pop(receiver.name, None)

    def _expire(self) -> float:
        """Drop the queues and memberships whose time has come, and return the time."""
        now = self._clock()
        while self._queues:
            channel, queue = next(iter(self._queues.items()))
            if queue[-1][0] > now:
                break
            del self._queues[channel]
        while self._memberships:
            (group, channel), deadline = next(iter(self._memberships.items()))
            if deadline > now:
                break
            self._leave(group, self._receivers[channel])
        return now


class Waiter:
    """One `receive()` in line for a channel's next message.

    Args:
        channel: the channel.
        wake: called when `entry` is set.
        loop: the event loop to call it on.
    """

    __slots__ = ("_wake", "channel", "entry", "loop")

    def __init__(self, channel: str, wake: Callable[[], object], loop: object | None) -> None:
        self.channel = channel
        self.entry: Entry | None = None
        self._wake = wake
        self.loop = loop

    def wake_up(self) -> bool:
        """Call `wake` on its loop; False if that is closed."""
        if self.loop is running_loop():
            self._wake()
            return True
        try:
            call_soon(self.loop, self._wake)
        except RuntimeError:
            return False
        return True


class _Receiver:
    """A channel as a group's member: an attached one, or (`loop` is None) a stored one."""

    __slots__ = ("capacity", "deliver", "dropped", "groups", "loop", "name", "silent_until", "unreported")

    def __init__(self, name: str, deliver: Deliver, loop: object | None, capacity: int) -> None:
        self.name = name
        self.deliver = deliver
        self.loop = loop
        self.capacity = capacity
        self.groups: set[str] = set()
        self.dropped = 0
        self.unreported = 0
        self.silent_until = float("-inf")


def _ignore(message: Message) -> int:
    """Stand in for the `deliver` of a receiver that has ended."""
    return 1
