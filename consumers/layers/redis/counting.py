"""Who is in a group, in all processes: each is asked when somebody wants to know, and costs nothing until then.

asker ──ASK: to each process whose lease lives──▶ each process ──its members──▶ a list in Redis ──▶ asker
"""

import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis.exceptions import TimeoutError

from .pipelined import FAILURES
from .presence_scripts import PresenceScripts, as_texts, texts_of
from .round_trips import Flow
from .settings import Settings

if TYPE_CHECKING:
    from .process import Process

NAMES = b"names"
COUNT = b"count"

MARGIN = 0.5
"""Seconds of the layer's timeout, but half of it at most, that are left after waiting to say who has not answered."""


class Members:
    """Asks other processes, and answers them.

    Args:
        process: the process.
        settings: the layer's.
        scripts: the layer's.
        can_count: makes sure that processes can count each other at a shard.
    """

    def __init__(
        self,
        process: "Process[Any]",
        settings: Settings,
        scripts: PresenceScripts,
        can_count: Callable[[int], Flow[None]],
    ) -> None:
        self._process = process
        self._settings = settings
        self._scripts = scripts
        self._can_count = can_count

    def channels(self, group: str) -> Flow[frozenset[str]]:
        """Return the channels of a group; on any thread. The flow blocks.

        Raises:
            redis.exceptions.TimeoutError: if a process that is alive does not answer in time.
        """
        found = set(self._process.local.members(group))
        for texts in (yield from self._ask(group, NAMES)):
            found.update(text.decode() for text in texts)
        return frozenset(found)

    def count(self, group: str) -> Flow[int]:
        """Return how many they are; otherwise as `channels()`."""
        count, named = _divided(self._process.local.members(group))
        for number, *names in (yield from self._ask(group, COUNT)):
            count += int(number)
            named.update(name.decode() for name in names)
        return count + len(named)

    async def answer(self, shard: int, question: bytes) -> None:
        """Answer a question, on the owner loop."""
        try:
            question_id, kind, name, patience = texts_of(question)
            members = self._process.local.members(name.decode())
            if kind == COUNT:
                count, named = _divided(members)
                texts = [str(count), *named]
            else:
                texts = list(members)
            answer = as_texts(self._process.id.encode(), *(text.encode() for text in texts))
            key = self._scripts.answers_key(question_id.decode())
            commands = self._process.owners.require().commands[shard]
            await commands.run([("RPUSH", key, answer), ("PEXPIRE", key, int(patience))])
        except (ValueError, *FAILURES):
            return  # who asked says that this process has not answered

    def _ask(self, group: str, kind: bytes) -> Flow[list[list[bytes]]]:
        shard, question_id = self._settings.shard_of_group(group), secrets.token_hex(8)
        yield from self._can_count(shard)
        patience = self._settings.timeout - min(MARGIN, self._settings.timeout / 2)
        until = time.monotonic() + patience
        question = as_texts(question_id.encode(), kind, group.encode(), b"%d" % (1000 * patience + 1000))
        [[asked]] = yield [(shard, [self._scripts.ask(self._process.id, question)])]
        waiting, answers = set(asked), []  # a process may have two lives, and answer for each
        while waiting:
            left = max(0.001, until - time.monotonic())
            [[reply]] = yield [(shard, [("BLPOP", self._scripts.answers_key(question_id), f"{left:.3f}")])]
            if reply is None:
                raise TimeoutError(
                    f"{len(waiting)} of {len(set(asked))} other processes did not say within {patience:g} s who of "
                    f"theirs is in group {group!r:.200}. One that hangs is no longer asked when its lease has ended"
                )
            process_id, *texts = texts_of(reply[1])
            if process_id in waiting:
                waiting.remove(process_id)
                answers.append(texts)
        return answers


def _divided(members: frozenset[str]) -> tuple[int, set[str]]:
    """Return how many members are this process' own, and those that other processes may have as well."""
    named = {name for name in members if "!" not in name}
    return len(members) - len(named), named
