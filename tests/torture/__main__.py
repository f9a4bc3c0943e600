"""`python -m tests.torture`: see `--help`."""

import asyncio
import logging
import sys
import time

from ..soak.run import folder_for
from ..support.command_line import options_from
from . import report
from .bugs import BUGS
from .plan import Options
from .run import CLIENTS, torture

MOST_LINES = 30
"""Of what is wrong."""


async def main(arguments: list[str]) -> int:
    """Run a torture and print its report; return 1 if something is wrong."""
    options, keep = options_from(
        arguments,
        Options(),
        "python -m tests.torture",
        "Groups with history, and everything that can go wrong.",
        {"bug": list(BUGS), "client": list(CLIENTS)},
    )
    logging.getLogger("consumers.client").setLevel(logging.ERROR)  # being offline is what this is about
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)

    with folder_for(keep) as folder:
        outcome = await torture(options, folder, say)
    print()
    for line in report.lines(outcome):
        print(line)
    wrong = report.verdict(outcome)
    print()
    for line in wrong[:MOST_LINES]:
        print(f"WRONG: {line}")
    if len(wrong) > MOST_LINES:
        print(f"WRONG: {len(wrong) - MOST_LINES} more")
    print("Something is wrong." if wrong else "No client has missed anything without being told, or got it twice.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
