"""`python -m consumers typescript`: it prints the types, or says where a file differs from them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from consumers.__main__ import main
from consumers.typed.typescript import typescript_module

from ..support.pages import ROOT
from .documents import sample

APP = "tests.typed.documents.sample:app"


def test_the_types_are_printed() -> None:
    command = [sys.executable, "-m", "consumers", "typescript", APP]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, encoding="utf-8", timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == typescript_module(sample.app)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["typescript", "asyncapi"])
@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_what_is_printed_is_utf_8_wherever_it_goes(tmp_path: Path, kind: str, encoding: str) -> None:
    command = [sys.executable, "-m", "consumers", kind, "tests.support.documented:app"]
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    assert not done.stdout.isascii()
    file = tmp_path / "file"
    file.write_bytes(done.stdout)
    assert main([kind, command[-1], "--check", str(file)]) == 0


def test_a_file_that_is_up_to_date_is_right(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "messages.ts"
    file.write_bytes(typescript_module(sample.app).replace("\n", "\r\n").encode())  # as Git on Windows writes it
    assert main(["typescript", APP, "--check", str(file)]) == 0
    assert capsys.readouterr() == ("", "")


def test_a_file_that_differs_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "messages.ts"
    file.write_text(typescript_module(sample.app).replace("radius: number", "radius: string"), encoding="utf-8")
    assert main(["typescript", APP, "--check", str(file)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    first, *differences, _ = err.splitlines()
    assert first == f"{file} is not what {APP} has now:"
    assert [line.split() for line in differences] == [["-", "radius:", "string;"], ["+", "radius:", "number;"]]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ([APP, "--check", "/nowhere/messages.ts"], "No such file or directory: '/nowhere/messages.ts'"),
        (["tests.typed.documents.sample:lifespan"], "tests.typed.documents.sample:lifespan: no consumer is found"),
        (["tests.typed.documents.sample:nothing"], "has no attribute 'nothing'"),
    ],
)
def test_what_cannot_be_is_a_usage_error(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["typescript", *arguments])
    assert stopped.value.code == 2
    assert error in capsys.readouterr().err
