"""`python -m consumers asyncapi`."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from consumers.__main__ import main
from consumers.typed import asyncapi_document

from ..support.documented import app
from ..support.processes import run_python

APP = "tests.support.documented:app"


def run(*words: str) -> int:
    return main(["asyncapi", *words])


def test_the_document_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(APP) == 0
    printed = capsys.readouterr().out
    assert json.loads(printed) == asyncapi_document(app)
    assert run(APP) == 0
    assert capsys.readouterr().out == printed


def test_options_are_the_functions(capsys: pytest.CaptureFixture[str]) -> None:
    servers = ["wss://a.example.com/x=y", "local=ws://localhost:8000", "wss://b.example.com"]
    assert run(APP, "--title", "T", "--version", "3", *(word for url in servers for word in ("--server", url))) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["info"]["title"], document["info"]["version"]) == ("T", "3")
    assert {name: server["host"] for name, server in document["servers"].items()} == {
        "server": "a.example.com",
        "local": "localhost:8000",
        "server3": "b.example.com",
    }
    assert document["servers"]["server"]["pathname"] == "/x=y"


@pytest.fixture
def file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """Return a file with the document."""
    run(APP)
    file = tmp_path / "asyncapi.json"
    file.write_text(capsys.readouterr().out, encoding="utf-8")
    return file


def test_a_check_says_nothing_of_a_file_that_is_up_to_date(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(json.dumps(json.loads(file.read_text(encoding="utf-8"))), encoding="utf-8")  # in other lines
    assert run(APP, "--check", str(file)) == 0
    assert capsys.readouterr() == ("", "")


def test_a_check_says_where_a_file_differs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document: Any = json.loads(file.read_text(encoding="utf-8"))
    document["channels"]["Chat"]["address"] = "/old"
    del document["components"]["messages"]["Said"]
    document["info"] |= {f"x-{number}": number for number in range(12)}
    file.write_text(json.dumps(document), encoding="utf-8")
    assert run(APP, "--check", str(file)) == 1
    output, errors = capsys.readouterr()
    assert output == ""
    lines = errors.splitlines()
    assert lines[0] == f"{file} is not what {APP} has now:"
    assert lines[1] == "  /info/x-0 is too much"
    assert lines[-2] == "  and 4 more"
    assert lines[-1] == "Run the command without --check, and write what it prints to the file."
    assert len(lines) == 13


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([APP, "--check", "no/such/file"], "No such file or directory: 'no/such/file'"),
        ([APP, "--check", __file__], f"{__file__} is no JSON: "),
        ([APP, "--server", "example.com"], "'example.com' is no URL of a server"),
        (["tests.support.documented:Say"], "tests.support.documented:Say: no consumer is found"),
        (["tests.support.documented"], "is not of the form package.module:attribute"),
        ([], "the following arguments are required: application"),
    ],
)
def test_a_usage_error_says_what_is_wrong(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(*words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_without_pydantic_the_error_says_what_to_install(tmp_path: Path) -> None:
    code = "import sys; sys.modules['pydantic'] = None; from consumers.__main__ import main; main(['asyncapi', 'a:b'])"
    done = run_python(code, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.endswith("error: consumers.typed needs pydantic: pip install 'starlette-consumers[typed]'\n")


@pytest.mark.slow
def test_the_worker_needs_no_pydantic() -> None:
    code = "import sys, consumers.__main__; print('pydantic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
