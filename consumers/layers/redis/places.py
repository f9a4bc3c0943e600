"""A process' places in the groups of the queue layer.

A process is one member of a group, however many of its consumers are in it: its name in Redis is
`specific.<process>!group.<group>`, and whoever sends to the group, channels_redis too, puts one message into the
process' queue. The table of who is in the group is the process' own.

A member's place in the group's sorted set says when it goes: senders drop what is older than `group_expiry`. A process
therefore joins as if it had joined long ago, so that it has only the lease left, and renews that while it lives.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import Any

from ...types import Message
from . import scripts
from .home import HomeEnded
from .layer import RedisLayer
from .pipelined import FAILURES, Command
from .process import Process
from .running import GAP, Flow

logger = logging.getLogger("consumers.layers")

GROUPS_AT_ONCE = 200
"""Groups renewed by one script, so that none keeps Redis from its other clients for long."""

CONTROL = "!control"
"""How the name of a process' own channel ends by which others tell it what to do; no message comes by it."""

JOIN = "layer.join"
DISCARD = "layer.discard"
CLOSE = "layer.close"


class GroupedLayer(RedisLayer):
    """A layer whose groups are in Redis. What is here runs on the home loop.

    Attributes:
        lease: seconds until a process that was killed is in no group any more.
    """

    group_mark = ":group:"
    lease: float

    def _group_key(self, group: str) -> bytes:
        return f"{self.prefix}{self.group_mark}{group}".encode()

    async def _join(self, process: Process, group: str) -> None:
        if not process.local.has_group(group):
            return  # the channel has ended
        process.require_home()
        joining = process.joined.get(group)
        if joining is None or not _is_of_use(joining):
            joining = process.joined[group] = asyncio.ensure_future(
                self._write_joins(process, self._shard(group), [group])
            )
            joining.add_done_callback(_see)
            process.note(joining)
        await asyncio.shield(joining)
        if not process.local.has_group(group):
            self._leave(process, group)

    async def _join_beside(self, process: Process, group: str) -> None:
        with contextlib.suppress(*FAILURES):  # the next renewal does it
            await self._join(process, group)

    async def _write_joins(self, process: Process, shard: int, groups: list[str]) -> list[str]:
        """Join groups; return those that had this process, as far as it knows, and have lost it."""
        await process.after_other_homes()  # what they have yet to write would undo it
        commands = process.require_home().commands[shard]
        known = process.in_redis.intersection(groups)  # of others the join may be on its way
        [missing] = await commands.run([self._joining(process, groups, self.lease)])
        process.in_redis.update(filter(process.local.has_group, groups))
        return [groups[index] for index in missing if groups[index] in known]

    def _joining(self, process: Process, groups: list[str], lasts: float) -> Command:
        """Return the command by which the process joins groups for a number of seconds."""
        oldest = time.time() - self.group_expiry
        keys = [self._group_key(group) for group in groups]
        names = [self._place(process, group) for group in groups]
        return scripts.join(keys, names, oldest + lasts, oldest, math.ceil(lasts))

    def _leaving(self, process: Process, group: str) -> Command:
        return ("ZREM", self._group_key(group), self._place(process, group))

    def _place(self, process: Process, group: str) -> str:
        """Return the process' name as a member of a group."""
        return f"{process.head}group.{group}"

    def _on_empty(self, process: Process, group: str) -> None:
        process.left.add(group)
        super()._on_empty(process, group)

    def _leave(self, process: Process, group: str) -> None:
        if process.home_here is not None and not process.local.has_group(group):
            process.joined.pop(group, None)
            process.in_redis.discard(group)
            process.spawn(self._write_leave(process, group))

    async def _write_leave(self, process: Process, group: str) -> None:
        await process.after_other_homes()
        home = process.home_here
        if home is None or process.local.has_group(group):
            return
        try:
            await home.commands[self._shard(group)].run([self._leaving(process, group)])
        except FAILURES as error:
            logger.debug("Redis: group %.200r could not be left: %s", group, error)
            if process.home is not home:
                return  # a later home's farewell leaves it
        process.left.discard(group)  # after a failure too: the lease will end

    async def _do_chores(self, process: Process) -> None:
        while True:
            await asyncio.sleep(self.lease / 3)
            for shard in range(len(self.hosts)):
                try:
                    await self._renew(process, shard, self._note_lost)
                except FAILURES as error:
                    logger.debug("Redis: the leases could not be renewed: %s", error)

    async def _renew(
        self, process: Process, shard: int, on_lost: Callable[[Process, int, list[str]], object] | None = None
    ) -> None:
        groups = [group for group in process.local.groups() if self._shard(group) == shard]
        for part in _in_parts(groups):
            lost = await self._write_joins(process, shard, part)
            if lost and on_lost is not None:
                on_lost(process, shard, lost)
        for group in groups:  # left while it was being renewed
            self._leave(process, group)

    def _note_lost(self, process: Process, shard: int, groups: list[str]) -> None:
        """Tell the members of groups that Redis had lost this process from; what was sent to them since has not come.

        Where the connection is lost too, its return tells every consumer.
        """
        if process.home is None or not process.home.listeners[shard].is_up:
            return
        logger.warning(
            "Redis at %s had lost this process from %d group(s), such as %.200r, and has it there again; messages may "
            "have been missed. Were keys deleted or evicted? Have all processes the same group_expiry and time?",
            self.hosts[shard],
            len(groups),
            groups[0],
        )
        for group in groups:
            process.local.tell_attached({**GAP, "group": group}, group)

    async def _on_reconnect(self, process: Process, shard: int) -> None:
        try:
            await self._renew(process, shard)
        except HomeEnded:
            raise
        except FAILURES as error:
            logger.warning("Redis at %s: the groups could not be joined again: %s", self.hosts[shard], error)

    def _farewell(self, process: Process, is_final: bool) -> Flow[None]:
        process.joined.clear()
        process.in_redis.clear()
        groups = set(process.local.groups())
        kept = set() if is_final else process.local.lasting_groups()
        left, process.left = (groups | process.left) - kept, set()
        heads = process.queues.all() if is_final or not process.has_channels else ()
        for shard in range(len(self.hosts)):
            commands: list[Command] = [self._leaving(process, group) for group in left if self._shard(group) == shard]
            names = [group for group in kept if self._shard(group) == shard]
            for part in _in_parts(names):  # nobody renews a lease from now on: they join as with channels_redis
                commands.append(self._joining(process, part, self.group_expiry))
            if heads:
                commands.append(("UNLINK", *(self.prefix + head for head in heads)))
            if commands:
                yield [(shard, commands)]

    # What other processes order

    def _control(self, channel: str) -> str:
        """Return the channel by which the process of this one is told what to do."""
        return self.non_local_name(channel)[:-1] + CONTROL

    def _addressed(self, process: Process, names: list[str]) -> tuple[list[str], list[str]]:
        """Tell the channels of this process from the groups that stand for those of its channels in them."""
        of_group = f"{process.head}group."
        groups = [name[len(of_group) :] for name in names if name.startswith(of_group)]
        return [name for name in names if not name.startswith(of_group) and process.is_own(name)], groups

    def _obey(self, process: Process, order: Message) -> None:
        group, channel = str(order.get("group")), str(order.get("channel"))
        if order.get("type") == JOIN and process.local.has_receiver(channel):
            process.local.group_add(group, channel)
            process.spawn(self._join_beside(process, group))
        elif order.get("type") == DISCARD:
            process.local.group_discard(group, channel)
        elif order.get("type") == CLOSE and isinstance(order.get("channels"), list):
            self._close(process, order, *self._addressed(process, [str(name) for name in order["channels"]]))

    def _require_channel(self, name: str) -> None:
        super()._require_channel(name)
        if name.endswith(CONTROL) or self.group_mark in self.prefix + name:
            raise TypeError(
                f"Channel {name!r:.200} is a layer's own: its key in Redis contains {self.group_mark!r}, as a group's, "
                f"or the name ends with {CONTROL!r}"
            )


def _in_parts(groups: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(groups), GROUPS_AT_ONCE):
        yield groups[start : start + GROUPS_AT_ONCE]


def _is_of_use(joining: "asyncio.Future[Any]") -> bool:
    """Whether a group is being joined on this event loop, or has been, without an error."""
    if joining.get_loop() is not asyncio.get_running_loop():
        return False
    return not joining.done() or not (joining.cancelled() or joining.exception())


def _see(future: "asyncio.Future[Any]") -> None:
    """Take note of an error for which all who waited have been cancelled."""
    if not future.cancelled():
        future.exception()
