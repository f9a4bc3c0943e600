"""What a torture says at its end."""

from collections.abc import Iterator

from .judge import COUNTS, WRONG, Account
from .plan import KINDS
from .run import Outcome

MUST_HAPPEN = (*KINDS, "refilled", "hops", "connections")
"""Facts without which nothing is proven."""


def verdict(outcome: Outcome) -> list[str]:
    """Return what is wrong; nothing, if all is well."""
    total = total_of(outcome)
    wrong = [*outcome.problems, *total.examples]
    wrong += [f"{total.counts[what]} {what}" for what in WRONG if total.counts[what]]
    wrong += [f"did not happen: {what}" for what in MUST_HAPPEN if not outcome.facts[what]]
    return wrong + [f"did not happen: {what}" for what in ("recoveries", "gaps told") if not total.counts[what]]


def total_of(outcome: Outcome) -> Account:
    """Return what became of all clients' messages."""
    total = Account()
    for account in outcome.accounts.values():
        total += account
    return total


def lines(outcome: Outcome) -> Iterator[str]:
    """Yield the report's lines: each client, and the table for docs/explanation/reliability.md."""
    options = outcome.options
    yield f"{'':12}" + "".join(f"{what:>15}" for what in COUNTS)
    for name, account in outcome.accounts.items():
        yield f"{name:12}" + "".join(f"{account.counts[what]:>15,}" for what in COUNTS)
    yield ""
    yield f"{options.clients} clients, {options.groups} groups, {options.seconds:g} s, seed {options.seed}"
    yield ""
    yield "| | |"
    yield "|---|---:|"
    total = total_of(outcome)
    rows = {**{kind: outcome.facts[kind] for kind in KINDS}, **outcome.facts, **total.counts}
    yield from (f"| {what} | {count:,} |" for what, count in rows.items())
    longest = max(outcome.right_again.values(), default=0)
    yield f"| seconds until all clients knew again who was there, at most | {longest:.1f} |"
