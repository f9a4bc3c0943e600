"""mypy and pyright, run on folders of small files."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ..support.pages import ROOT

STRICT = ("--strict",)

UNANNOTATED = (
    *STRICT,
    "--allow-untyped-defs",
    "--allow-incomplete-defs",
    "--allow-untyped-calls",
    "--allow-untyped-decorators",
    "--check-untyped-defs",
)
"""What code without annotations is held to: no function needs them, but what is in it is checked."""


@dataclass(frozen=True, order=True)
class Fault:
    """What a type checker objects to.

    Attributes:
        file: the file's path below the folder.
        line: the line's number.
        rule: the checker's name for the kind of mistake, such as "override".
        text: what the checker says.
    """

    file: str
    line: int
    rule: str
    text: str


def mypy(folder: Path, *options: str, found_in: Path | None = None) -> list[Fault]:
    """Run mypy on a folder, without any configuration file.

    Args:
        folder: the folder.
        options: what mypy is run with.
        found_in: a further folder that modules are imported from.
    """
    cache = ROOT / ".mypy_cache" / "typing"
    command = [sys.executable, "-m", "mypy", "--config-file=", f"--cache-dir={cache}", "--explicit-package-bases"]
    command += ["--no-error-summary", "--hide-error-context", *options, str(folder)]
    path = os.pathsep.join(map(str, filter(None, [folder, found_in])))
    ended = subprocess.run(
        command, cwd=folder, env={**os.environ, "MYPYPATH": path}, capture_output=True, text=True, timeout=300
    )
    found = re.findall(r"^(.+?):(\d+): error: (.*?)(?:  \[([\w-]+)\])?$", ended.stdout, re.MULTILINE)
    faults = [
        Fault(str(Path(folder, file).relative_to(folder)), int(line), rule, text) for file, line, text, rule in found
    ]
    if ended.returncode != bool(faults):
        raise RuntimeError(f"mypy failed: {ended.stdout}{ended.stderr}")
    return sorted(faults)


def pyright(folder: Path, found_in: Path | None = None) -> list[Fault]:
    """Run pyright in its default mode on a folder; arguments as of `mypy()`."""
    config = {"include": ["."], "extraPaths": [str(found_in)] if found_in else []}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "--project",
        str(folder),
    ]
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    try:
        found = json.loads(ended.stdout)["generalDiagnostics"]
    except ValueError:
        raise RuntimeError(f"pyright failed: {ended.stdout}{ended.stderr}") from None
    return sorted(
        Fault(
            str(Path(one["file"]).relative_to(folder)),
            one["range"]["start"]["line"] + 1,
            one.get("rule", ""),
            one["message"],
        )
        for one in found
        if one["severity"] == "error"
    )
