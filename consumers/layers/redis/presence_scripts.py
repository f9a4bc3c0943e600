"""The commands by which a process tells Redis who is there; `presence_lua` says what they do."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .lease_lua import ASK, BEAT, END, REAP
from .pipelined import Command
from .presence_lua import AT_ONCE, READ, TOUCH, TRACK, UNTRACK

MARK = "__presence__"
"""What stands between the prefix and the rest of the names that presence has in Redis."""


class Item(NamedTuple):
    """A channel that is to stand for a key.

    Attributes:
        group: the group.
        known: a version that the group has had, or 0.
        channel: the channel.
        id: tells the key from others.
        others: ids that other processes may know the key by, one after the other.
        name: the key, sealed.
        digest: tells the meta from others.
        meta: the meta, sealed.
    """

    group: str
    known: int
    channel: str
    id: bytes
    others: bytes
    name: bytes
    digest: bytes
    meta: bytes


class Beat(NamedTuple):
    """What `BEAT` replies.

    Attributes:
        lives: whether the incarnation has not expired.
        expired: incarnations that have.
        pause: seconds until there is more to do; None: it is not known of anything.
    """

    lives: bool
    expired: list[str]
    pause: float | None


class PresenceScripts:
    """Makes the commands of one layer.

    Args:
        prefix: the layer's.
        grace: seconds.
    """

    def __init__(self, prefix: str, grace: float) -> None:
        self.base = f"{prefix}{MARK}"
        self._grace = _milliseconds(grace)

    def own(self, process_id: str) -> str:
        """Return the name of the channel by which a process is asked."""
        return f"{self.base}:{process_id}"

    def track(self, incarnation: str, items: Iterable[Item]) -> Command:
        """Track channels, `AT_ONCE` at most. The reply: a version for each, or None; none without a lease."""
        return self._command(TRACK, incarnation, *(value for item in items for value in item))

    def untrack(self, channels: Iterable[tuple[str, int, str]]) -> Command:
        """Untrack channels, each with its group and a version that this has had, `AT_ONCE` at most."""
        return self._command(UNTRACK, *(value for channel in channels for value in channel))

    def beat(self, incarnation: str, lease: float, is_new: bool) -> Command:
        """Renew a lease, or begin one; `beat_of()` makes something of the reply."""
        return self._command(BEAT, incarnation, _milliseconds(lease), int(is_new), 0)

    def sweep(self, ahead: float = 0.0) -> Command:
        """Look after others without a lease of one's own, as `beat()`; let off these seconds of grace."""
        return self._command(BEAT, "", 0, 0, _milliseconds(ahead))

    def touch(self, incarnation: str, groups: Iterable[str]) -> Command:
        """Keep groups in which channels are tracked from expiring, `AT_ONCE` at most."""
        return self._command(TOUCH, incarnation, *groups)

    def reap(self, incarnation: str) -> Command:
        """Let go of some channels of an incarnation whose lease has ended. The reply: whether there is more."""
        return self._command(REAP, incarnation)

    def end(self, incarnation: str, after: float, is_final: bool) -> Command:
        """Have a lease end after some seconds; if it `is_final`, at once if no other goes on.

        The reply: whether one does.
        """
        return self._command(END, incarnation, _milliseconds(after), int(is_final))

    def read(self, group: str, cursor: bytes | int = 0, count: int = AT_ONCE, known: int = 0) -> Command:
        """Read a part of a group's keys, none with a `count` of 0, and a version from `known` on."""
        return self._command(READ, group, cursor, count, known)

    def ask(self, process_id: str, question: bytes) -> Command:
        """Ask the other processes. The reply: those whose answers are to be waited for."""
        return self._command(ASK, process_id, question)

    def version_key(self, group: str) -> str:
        """Return the key of a group's version."""
        return f"{self.base}{{{group}}}:version"

    def answers_key(self, question_id: str) -> str:
        """Return the key of the list that answers go into."""
        return f"{self.base}:answers:{question_id}"

    def _command(self, script: str, *arguments: Any) -> Command:
        return ("EVAL", script, 0, self.base, self._grace, *arguments)


def beat_of(reply: Sequence[Any]) -> Beat:
    """Return what the reply to `PresenceScripts.beat()` says."""
    lives, expired, *pauses = reply
    known = [pause for pause in pauses if pause >= 0]
    return Beat(bool(lives), [each.decode() for each in expired], min(known) / 1000 if known else None)


def version_of(text: bytes) -> int:
    """Return a version that a script has published.

    Raises:
        ValueError: if it is none: scripts count no further than a double has each integer.
    """
    version = int(text)
    if not 0 < version < 2**53:
        raise ValueError("a version of presence that is none")
    return version


def as_texts(*texts: bytes) -> bytes:
    """Return texts as one, as the scripts publish it."""
    return b"".join(b"%d:%b" % (len(text), text) for text in texts)


def texts_of(data: bytes) -> list[bytes]:
    """Return the texts that `as_texts()` was given.

    Raises:
        ValueError: if it was not.
    """
    texts, at = [], 0
    while at < len(data):
        begins = data.index(b":", at) + 1
        size = data[at : begins - 1]
        at = begins + int(size)
        if not size.isdigit() or at > len(data):
            raise ValueError("a message about presence that is none")
        texts.append(data[begins:at])
    return texts


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
