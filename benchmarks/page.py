"""The page and the chart that a whole run leaves behind."""

import os
import platform
from datetime import date
from importlib.metadata import version
from pathlib import Path

from . import chart, goals, report
from .peers import PEERS
from .plan import IN_PROCESS, MEMBERS, SECONDS_A_ROUND, TYPED, WIRE, Options
from .results import Results

FOLDER = Path(__file__).parent.parent / "docs" / "explanation"
PAGE, CHART = FOLDER / "results.md", FOLDER / "results.svg"

SERVER = ("uvicorn", "uvloop", "websockets")


def write(results: Results, options: Options) -> None:
    """Write `results.md` and `results.svg` into the documentation."""
    CHART.write_text(chart.draw(series(results, options)), encoding="utf-8")
    PAGE.write_text(page(results, options), encoding="utf-8")


def series(results: Results, options: Options) -> dict[str, list[tuple[int, float]]]:
    """The lines of the chart."""
    lines = {}
    for peer in options.peers:
        medians = [(size, results.median("fanout", size, peer)) for size in map(options.size, MEMBERS)]
        if points := [(size, median) for size, median in medians if median is not None]:
            lines[PEERS[peer]] = points
    return lines


def machine() -> str:
    """The processor, how many there are, and the Python."""
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        [model, *_] = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    except (OSError, ValueError):
        model = platform.processor() or platform.machine()
    return f"{os.cpu_count()} cores of {model}, {platform.system()}, {platform.python_implementation()} " + (
        platform.python_version()
    )


def page(results: Results, options: Options) -> str:
    """The whole page, in Markdown."""
    versions = [f"- {PEERS[peer]}: {text}" for peer, text in results.versions.items() if text]
    verdicts = [
        f"- {'reached' if reached else '**falls short**'}: {t}" for reached, t in goals.verdicts(results, options)
    ]
    failures = ["", "Failed:", "", *(f"- {failure}" for failure in results.failures)] if results.failures else []
    return "\n".join(
        [
            "<!-- generated -->",
            "",
            "# Results of `make bench`",
            "",
            f"Written on {date.today()} by a run on {machine()}. Most figures are medians of {options.rounds}",
            "measurements, for which the libraries take turns; every frame is counted and compared.",
            "`benchmarks/plan.py` says what runs, and `benchmarks/peers` how each library is used. The goals compare",
            "two libraries round by round, and take the median of the ratios. The machine is faster in some minutes",
            "than in others. [Performance](performance.md) says what the figures mean.",
            "",
            "## In one process",
            "",
            "No sockets: the applications run on asyncio's own event loop against a `receive` and a `send` that do",
            "next to nothing. Times are CPU times. Memory is what tracemalloc counts; tasks include the server's own.",
            "A peer stops before a group so large that one message to it would take longer than"
            f" {SECONDS_A_ROUND:g} s.",
            "",
            report.table(results, options, [name for name in IN_PROCESS if name not in TYPED]),
            "",
            "Messages that are pydantic models, validated as they come in and encoded as they go out:",
            "",
            report.table(results, options, TYPED),
            "",
            "![The cost of a delivery against the members of the group](results.svg)",
            "",
            "## Over sockets",
            "",
            f"{', '.join(f'{name} {version(name)}' for name in SERVER)}, no compression, on 127.0.0.1.",
            "The clients are in another process on the same machine, on a processor of its own if there are several; "
            + ("servers have to wake it." if options.clients_sleep else "it never sleeps."),
            "A server stands still while another one is measured, and is started three times, as some are faster than",
            "others of their kind. Two messages to the group are under way at once.",
            "",
            report.table(results, options, WIRE),
            "",
            "## Goals",
            "",
            *verdicts,
            *failures,
            "",
            "## Versions",
            "",
            *versions,
            "",
        ]
    )
