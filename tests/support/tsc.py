"""TypeScript's compiler: what it says of programs, all of them in one call, which takes a second."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .npm import npm_modules

_ERROR = re.compile(r"^(?P<file>[\w.-]+)\.ts\((?P<line>\d+),\d+\): error (?P<text>TS\d+: .*)$")

_OPTIONS = {
    "strict": True,
    "noEmit": True,
    "exactOptionalPropertyTypes": True,
    "noUncheckedIndexedAccess": True,
    "erasableSyntaxOnly": True,
    "verbatimModuleSyntax": True,
    "isolatedModules": True,
    "target": "es2022",
    "module": "esnext",
    "moduleResolution": "bundler",
    "types": [],
}


def compile_programs(
    programs: Mapping[str, str], folder: Path, libraries: Sequence[str] = ("es2022",)
) -> dict[str, list[str]]:
    """Compile modules, which may import each other, under `--strict`.

    Args:
        programs: their texts, by their names without ".ts".
        folder: where to put them.
        libraries: what they may use.

    Returns:
        The errors of those that have some.
    """
    (folder / "tsconfig.json").write_text(
        json.dumps({"compilerOptions": {**_OPTIONS, "lib": list(libraries)}, "include": ["*.ts"]})
    )
    for name, program in programs.items():
        (folder / f"{name}.ts").write_text(program, encoding="utf-8")
    command = [str(npm_modules() / ".bin" / "tsc"), "--project", str(folder), "--pretty", "false"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        error = _ERROR.match(line)
        if error is not None:
            at = int(error["line"])
            source = re.split("\r\n|[\n\r\u2028\u2029]", programs[error["file"]])[at - 1].strip()
            found.setdefault(error["file"], []).append(f"{error['text']}: {source}")
    assert bool(found) == bool(done.returncode), done.stdout + done.stderr
    return found
