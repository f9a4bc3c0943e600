"""`python -m tests.torture`: see `--help`."""

import argparse
import asyncio
import sys
import time
from dataclasses import fields
from pathlib import Path

from ..soak.run import folder_for
from . import report
from .bugs import BUGS
from .plan import Options
from .run import torture

MOST_LINES = 30
"""Of what is wrong."""


def options_from(arguments: list[str]) -> tuple[Options, Path | None]:
    """Return what the command line asks for, and the folder for the records, if they are to be kept."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.torture", description="Groups with history, and everything that can go wrong."
    )
    defaults = Options()
    for option in fields(Options):
        default = getattr(defaults, option.name)
        choices = list(BUGS) if option.name == "bug" else None
        parser.add_argument(
            f"--{option.name}", type=type(default), default=default, choices=choices, help="%(default)s"
        )
    parser.add_argument("--keep", type=Path, help="a folder for the records and the servers' logs")
    given = vars(parser.parse_args(arguments))
    keep = given.pop("keep")
    return Options(**given), keep


async def main(arguments: list[str]) -> int:
    """Run a torture and print its report; return 1 if something is wrong."""
    options, keep = options_from(arguments)
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
