"""A process' memberships in the groups of the queue layer.

A process is one member of a group, however many of its consumers are in it: its name in Redis is
`specific.<process>!group.<group>`, and whoever sends to the group, channels_redis too, puts one message into the
process' queue. The table of who is in the group is the process' own.

    no member ──the first consumer joins──► joining ──Redis knows──► member ──┐
        ▲                                      │                      │ ▲     │ renewed while
        ├────────────────fails─────────────────┘                      │ └─────┘ it lives
        └────the last consumer leaves, or the lease ends──────────────┘

A member's score in the group's sorted set says when it goes: senders drop what is older than `group_expiry`. A process
therefore joins as if it had joined long ago, so that it has only the lease left, and renews that while it lives.
"""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from .._lag import gap
from . import scripts
from .owner_loop import OwnerLoopEnded
from .pipelined import FAILURES, Command
from .round_trips import Request
from .settings import Settings

if TYPE_CHECKING:
    from .process import Process

logger = logging.getLogger("consumers.layers")

GROUPS_AT_ONCE = 200
"""Groups renewed by one script, so that none keeps Redis from its other clients for long."""


class Memberships:
    """The groups that one process is in. All of it runs on the owner loop but for `note_empty()` and what is plain.

    Args:
        process: the process.
        settings: the layer's.
        lease: seconds until a process that was killed is in no group any more.
        key_of: returns a group's key in Redis.
    """

    def __init__(
        self, process: "Process[Any]", settings: Settings, lease: float, key_of: Callable[[str], bytes]
    ) -> None:
        self._process = process
        self._local = process.local
        self._owners = process.owners
        self._settings = settings
        self._lease = lease
        self._key_of = key_of
        self._joined: dict[str, asyncio.Future[Any]] = {}  # groups, and whether Redis knows
        self._in_redis: set[str] = set()  # groups that Redis has had the process in, while they have members here
        self._left: set[str] = set()  # groups that have no members here, and may have the process in Redis yet

    def addressed(self, names: list[str]) -> tuple[list[str], list[str]]:
        """Tell the channels of this process from the groups that stand for those of its channels in them."""
        of_group = member_name(self._process.head, "")
        groups = [name[len(of_group) :] for name in names if name.startswith(of_group)]
        return [name for name in names if not name.startswith(of_group) and self._process.is_own(name)], groups

    def has_left_some(self) -> bool:
        """Whether there are groups without members here that may have the process in Redis yet."""
        return bool(self._left)

    # Joining

    async def join(self, group: str) -> None:
        """Wait until Redis knows that the process is in a group, if that has members here.

        Raises:
            redis.exceptions.RedisError: if Redis cannot be reached.
        """
        if not self._local.has_group(group):
            return  # the channel has ended
        self._owners.require()
        joining = self._joined.get(group)
        if joining is None or not _is_of_use(joining):
            writing = self._write_joins(self._settings.shard_of(group), [group])
            joining = self._joined[group] = asyncio.ensure_future(writing)
            joining.add_done_callback(_see)
            self._process.note(joining)
        await asyncio.shield(joining)
        if not self._local.has_group(group):
            self.leave(group)

    async def join_beside(self, group: str) -> None:
        """Join a group for another process, which is not told of a failure."""
        with contextlib.suppress(*FAILURES):  # the next renewal does it
            await self.join(group)

    def forget_joins(self) -> None:
        """Join anew where that is wanted next: another loop may not have renewed what it had joined."""
        self._joined.clear()

    def forget_all(self) -> None:
        """Take note that Redis knows of no membership any more."""
        self._joined.clear()
        self._in_redis.clear()

    async def _write_joins(self, shard: int, groups: list[str]) -> list[str]:
        """Join groups; return those that had this process, as far as it knows, and have lost it."""
        await self._owners.after_others()  # what they have yet to write would undo it
        commands = self._owners.require().commands[shard]
        known = self._in_redis.intersection(groups)  # of others the join may be on its way
        [missing] = await commands.run([self._joining(groups, self._lease)])
        self._in_redis.update(filter(self._local.has_group, groups))
        return [groups[index] for index in missing if groups[index] in known]

    def _joining(self, groups: list[str], lasts: float) -> Command:
        """Return the command by which the process joins groups for a number of seconds."""
        oldest = time.time() - self._settings.group_expiry
        keys = [self._key_of(group) for group in groups]
        names = [member_name(self._process.head, group) for group in groups]
        return scripts.join(keys, names, oldest + lasts, oldest, math.ceil(lasts))

    # Leaving

    def note_empty(self, group: str) -> None:
        """Take note that a group has no members here any more; from any thread."""
        self._left.add(group)

    def leave(self, group: str) -> None:
        """Leave a group soon, unless it has new members here."""
        if self._owners.here is not None and not self._local.has_group(group):
            self._joined.pop(group, None)
            self._in_redis.discard(group)
            self._process.spawn(self._write_leave(group))

    def leaving(self, group: str) -> Command:
        """Return the command by which the process leaves a group."""
        return ("ZREM", self._key_of(group), member_name(self._process.head, group))

    def leaving_late(self, group: str) -> list[Command]:
        """Return the command by which it leaves a group where no owner loop will do it, if it has yet to be done."""
        if group in self._left and not self._owners.exists() and not self._local.has_group(group):
            return [self.leaving(group)]
        return []

    async def _write_leave(self, group: str) -> None:
        await self._owners.after_others()
        owner = self._owners.here
        if owner is None or self._local.has_group(group):
            return
        try:
            await owner.commands[self._settings.shard_of(group)].run([self.leaving(group)])
        except FAILURES as error:
            logger.debug("Redis: group %.200r could not be left: %s", group, error)
            if self._owners.current is not owner:
                return  # a later owner loop's clean-up leaves it
        self._left.discard(group)  # after a failure too: the lease will end

    def clean_up(self, is_final: bool) -> list[Request]:
        """Return, for each shard, what leaves all groups, or (not `is_final`) those that end with the owner loop."""
        self.forget_all()
        groups = set(self._local.groups())
        kept = set() if is_final else self._local.lasting_groups()
        left, self._left = (groups | self._left) - kept, set()
        requests = []
        for shard in range(len(self._settings.hosts)):
            commands = [self.leaving(group) for group in left if self._settings.shard_of(group) == shard]
            lasting = [group for group in kept if self._settings.shard_of(group) == shard]
            for part in _in_parts(lasting):  # nobody renews a lease from now on: they join as with channels_redis
                commands.append(self._joining(part, self._settings.group_expiry))
            requests.append((shard, commands))
        return requests

    # Renewing

    async def renew_forever(self) -> None:
        """Renew the leases: the background job."""
        while True:
            await asyncio.sleep(self._lease / 3)
            for shard in range(len(self._settings.hosts)):
                try:
                    await self.renew(shard, self._note_lost)
                except FAILURES as error:
                    logger.debug("Redis: the leases could not be renewed: %s", error)

    async def renew(self, shard: int, on_lost: Callable[[int, list[str]], object] | None = None) -> None:
        """Renew the leases at one shard.

        Args:
            shard: its index.
            on_lost: told the shard and the groups that have lost this process, if there are some.

        Raises:
            redis.exceptions.RedisError: if Redis cannot be reached.
        """
        groups = [group for group in self._local.groups() if self._settings.shard_of(group) == shard]
        for part in _in_parts(groups):
            lost = await self._write_joins(shard, part)
            if lost and on_lost is not None:
                on_lost(shard, lost)
        for group in groups:  # left while it was being renewed
            self.leave(group)

    async def rejoin(self, shard: int) -> None:
        """Join all groups of a shard again, which may have forgotten them.

        Raises:
            OwnerLoopEnded: if the owner loop has ended.
        """
        try:
            await self.renew(shard)
        except OwnerLoopEnded:
            raise
        except FAILURES as error:
            host = self._settings.hosts[shard]
            logger.warning("Redis at %s: the groups could not be joined again: %s", host, error)

    def _note_lost(self, shard: int, groups: list[str]) -> None:
        """Tell the members of groups that Redis had lost this process from; what was sent to them since has not come.

        Where the connection is lost too, its return tells every consumer.
        """
        owner = self._owners.current
        if owner is None or not owner.receivers[shard].connection.is_up:
            return
        logger.warning(
            "Redis at %s had lost this process from %d group(s), such as %.200r, and has it there again; messages may "
            "have been missed. Were keys deleted or evicted? Have all processes the same group_expiry and time?",
            self._settings.hosts[shard],
            len(groups),
            groups[0],
        )
        for group in groups:
            self._local.tell_attached(gap(group), group)


def member_name(head: str, group: str) -> str:
    """Return a process' name as a member of a group.

    Args:
        head: what the names of the process' channels begin with.
        group: the group.
    """
    return f"{head}group.{group}"


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
