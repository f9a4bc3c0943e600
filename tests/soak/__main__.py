"""`python -m tests.soak`: see `--help`."""

import asyncio
import sys
import time

from ..support.command_line import options_from
from . import report
from .rolling import rolling_restart
from .run import Options, folder_for, soak

RATE = 40.0
"""Messages that the clients of the rolling restart say in a second; each is for twenty of them."""

ROLLING_SECONDS = 10.0
"""Seconds that they talk before it, and after it."""


async def main(arguments: list[str]) -> int:
    """Run a soak and print its report; return 1 if something is wrong."""
    options, keep = options_from(
        arguments,
        Options(),
        "python -m tests.soak",
        "Clients of every kind, and where each message went.",
        {"layer": ["pubsub", "queue"]},
    )
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"[{time.monotonic() - started:6.1f} s] {text}", flush=True)

    wrong: list[str] = []
    if options.clients:
        with folder_for(keep) as folder:
            outcome = await soak(options, folder, say)
        print()
        for line in report.lines(outcome):
            print(line)
        wrong += report.verdict(outcome)
        print()
    if options.rolling:
        say(f"rolling restart: {options.rolling} clients come")
        rolling = await rolling_restart(options.rolling, RATE, ROLLING_SECONDS, say)
        print(f"two workers were replaced within {rolling.seconds:.1f} s")
        for what, count in rolling.counts.items():
            print(f"{count:>10,} {what}")
        wrong += rolling.wrong
        print()
    for line in wrong:
        print(f"WRONG: {line}")
    print("Something is wrong." if wrong else "All is accounted for, and everything has gone back.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
