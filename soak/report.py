"""What a soak says at its end."""

from collections.abc import Iterator

from .behaviours import crowd
from .run import Outcome

SLACK = {"resident": (1.10, 8 * 2**20), "objects": (1.01, 0)}
"""How much more than after the warm-up is no leak, times and plus: allocators keep pieces."""

RESOURCES = ("tasks", "threads", "files", "receivers", "groups")
"""What has to be exactly as before."""


def verdict(outcome: Outcome) -> list[str]:
    """Return what is wrong; nothing, if all is well."""
    wrong = list(outcome.problems)
    wrong += [f"left over: {count} {what}" for what, count in outcome.account.left_over.items() if count]
    for index, (_, before, after) in enumerate(zip(*outcome.measures, strict=True)):
        for what in RESOURCES:
            if after[what] != before[what]:
                wrong.append(f"server {index} has {after[what]} {what} at the end, {before[what]} after the warm-up")
        for what, (times, plus) in SLACK.items():
            if after[what] > before[what] * times + plus:
                wrong.append(f"server {index}: {what} went from {before[what]} to {after[what]}")
    for index, look in enumerate(outcome.looks):
        wrong += [f"server {index} logged: {error}" for error in look["errors"][:5]]
        if look["open"]:
            wrong.append(f"server {index} has {look['open']} connections left")
        windows = len(outcome.account.windows[index])
        if windows != outcome.options.kills:
            wrong.append(f"server {index} announced {windows} gaps, Redis was killed {outcome.options.kills} times")
    counted = outcome.account.counts["copies dropped by a full mailbox, counted"]
    dropped = sum(look["dropped"] - look["overfull"] for look in outcome.looks)
    if counted != dropped:
        wrong.append(f"the mailboxes dropped {counted} copies, the layers counted {dropped}")
    wrong += [
        f"Redis is left with {count} {what}" for what, count in outcome.redis.items() if count and what != "connections"
    ]
    return wrong


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
    yield "share of a core used: " + ", ".join(f"{load:.0%}" for load in outcome.load)
    yield ""
    yield from (f"{count:>10,}  {what}" for what, count in sorted(account.counts.items()))
    yield ""
    for index, windows in enumerate(account.windows):
        spans = ", ".join(f"{up - down:.2f} s" for down, up in windows)
        yield f"server {index}: from the loss of Redis to the announcement of the gap: {spans or 'never'}"
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
