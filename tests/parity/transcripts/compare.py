"""Compares two transcripts of a script, line by line."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher

from .differences import WANTED


def difference(channels: Sequence[str], compat: Sequence[str]) -> tuple[str, ...]:
    """Return the lines in which the transcripts differ, in order: "-" before Channels' own, "+" before compat's."""
    return tuple(_difference(channels, compat))


def _difference(channels: Sequence[str], compat: Sequence[str]) -> Iterator[str]:
    for kind, start, end, other_start, other_end in SequenceMatcher(None, channels, compat, False).get_opcodes():
        if kind != "equal":
            yield from (f"- {line}" for line in channels[start:end])
            yield from (f"+ {line}" for line in compat[other_start:other_end])


def problems(channels: Mapping[str, Sequence[str]], compat: Mapping[str, Sequence[str]]) -> list[str]:
    """Compare all transcripts and return what is wrong, a text for each.

    Args:
        channels: Channels' transcripts, by the script's name and the flavour of the consumer, as in "Chat-async".
        compat: compat's.
    """
    wanted = {script: wanted for wanted in WANTED for script in wanted.scripts}
    found = []
    for play in sorted(channels.keys() | compat.keys()):
        if play not in channels or play not in compat:
            found.append(f"{play}: played by one of them only")
            continue
        listed = wanted.get(play.partition("-")[0])
        lines = difference(channels[play], compat[play])
        if lines and listed is None:
            found.append("\n    ".join([f"{play}: they differ, which is not in the list:", *lines]))
        elif listed is not None and lines != listed.lines:
            found.append("\n    ".join([f"{play}: they do not differ as listed ({listed.reason}), but:", *lines]))
    unknown = wanted.keys() - {play.partition("-")[0] for play in channels}
    return [*found, *(f"{script}: listed, but there is no such script" for script in sorted(unknown))]
