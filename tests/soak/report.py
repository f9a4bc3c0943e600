"""What a soak says at its end."""

from collections.abc import Iterator
from typing import Any

from .behaviours import crowd
from .run import Outcome

SLACK = {"resident": (1.10, 8 * 2**20), "objects": (1.01, 0)}
"""How much more than after the warm-up is no leak, times and plus: allocators keep pieces."""

RESOURCES = ("tasks", "threads", "files", "receivers", "groups")
"""What has to be exactly as before the first client."""

Measure = dict[str, Any]
"""What a server says of itself."""


def verdict(outcome: Outcome) -> list[str]:
    """Return what is wrong; nothing, if all is well."""
    wrong = list(outcome.problems)
    wrong += [f"left over: {count} {what}" for what, count in outcome.account.left_over.items() if count]
    for index, measures in enumerate(zip(*outcome.measures, strict=True)):
        wrong += [f"server {index}: {text}" for text in _not_gone_back(*measures)]
    for index, (look, windows) in enumerate(zip(outcome.looks, outcome.account.windows, strict=True)):
        wrong += [f"server {index}: {text}" for text in _unexpected(look, len(windows), outcome.options.kills)]
    counted = outcome.account.counts["copies dropped by a full mailbox, counted"]
    dropped = sum(look["dropped"] - look["overfull"] for look in outcome.looks)
    if counted != dropped:
        wrong.append(f"the mailboxes dropped {counted} copies, the layers counted {dropped}")
    left = {what: count for what, count in outcome.redis.items() if what != "connections"}
    return wrong + [f"Redis is left with {count} {what}" for what, count in left.items() if count]


def _not_gone_back(first: Measure, warm: Measure, last: Measure) -> Iterator[str]:
    for what in RESOURCES:
        if not first[what] == warm[what] == last[what]:
            yield f"{what} went from {first[what]} to {warm[what]} and {last[what]}"
    for what, (times, plus) in SLACK.items():
        if last[what] > warm[what] * times + plus:
            yield f"{what} went from {warm[what]} to {last[what]}"


def _unexpected(look: Measure, windows: int, kills: int) -> Iterator[str]:
    errors = look["errors"]
    yield from (f"{len(errors)} errors in the log, such as {error}" for error in errors[:5])
    if look["open"]:
        yield f"{look['open']} connections are left"
    if windows != kills:
        yield f"{windows} gaps were announced, and Redis was killed {kills} times"


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield the report's lines."""
    options, account = outcome.options, outcome.account
    yield (
        f"{options.clients} clients, {options.servers} servers, {options.seconds:g} s, layer {options.layer}, "
        f"seed {options.seed}; Redis killed {options.kills} times for {options.outage:g} s"
    )
    yield "clients: " + ", ".join(f"{count} {kind}" for kind, count in crowd(options.clients).items())
    yield "sessions: " + ", ".join(f"{count} {kind}" for kind, count in outcome.sessions.items())
    yield "most connections at once: " + ", ".join(str(look["most"]) for look in outcome.looks)
    yield "frames shared: " + ", ".join(f"{look['shared']:,}" for look in outcome.looks)
    yield "share of a core used: " + ", ".join(f"{load:.0%}" for load in outcome.load)
    yield ""
    yield from (f"{count:>10,}  {what}" for what, count in sorted(account.counts.items()))
    yield ""
    for index, windows in enumerate(account.windows):
        spans = ", ".join(f"{up - down:.2f} s" for down, up in windows)
        yield f"server {index}: from the loss of Redis to the announcement of the gap: {spans or 'never'}"
    for index, (median, most, longest) in enumerate(account.ways):
        spans = f"median {median * 1e3:.1f} ms, 99 % within {most:.2f} s, longest {longest:.2f} s"
        yield f"server {index}: from group_send() to the mailboxes: {spans}"
    yield f"{sum(account.left_over.values()):>10,}  left over"
    yield from (f"{count:>10,}    {what}" for what, count in account.left_over.items())
    yield from (f"            {example}" for example in account.examples)
    yield ""
    yield "             before the first client, after the warm-up, at the end"
    for index, measures in enumerate(zip(*outcome.measures, strict=True)):
        for what in measures[0]:
            values = [measure[what] / 2**20 if what == "resident" else measure[what] for measure in measures]
            shown = ", ".join(f"{value:,.1f} MiB" if what == "resident" else f"{value:,}" for value in values)
            yield f"server {index}: {what:<10} {shown}"
    yield "left in Redis: " + ", ".join(f"{count} {what}" for what, count in outcome.redis.items())
