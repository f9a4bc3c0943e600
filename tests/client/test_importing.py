"""Only Python's client needs websockets, and nothing of it is loaded before somebody asks."""

import inspect
import subprocess
import sys

import pytest

import consumers.client
from consumers.client.options import DEFAULTS


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    return (done.stdout + done.stderr).strip()


def test_nothing_of_the_client_is_imported_with_the_package() -> None:
    assert run("import sys, consumers; print({'websockets', 'consumers.client'} & sys.modules.keys())") == "set()"


def test_neither_websockets_nor_pydantic_is_imported_before_it_is_needed() -> None:
    assert run("import sys, consumers.client; print({'websockets', 'pydantic'} & sys.modules.keys())") == "set()"
    assert run("import sys; from consumers.client import Client; print('pydantic' in sys.modules)") == "False"


@pytest.mark.slow
def test_without_websockets_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['websockets'] = None; import consumers.client\n"
    says = "ImportError: consumers.client.Client needs websockets: pip install 'starlette-consumers[client]'"
    assert run(code + "from consumers.client import ClientError, State") == ""
    assert says in run(code + "from consumers.client import Client")


def test_every_public_name_is_there() -> None:
    for name in consumers.client.__all__:
        assert getattr(consumers.client, name)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        consumers.client.Nothing  # noqa: B018


def test_help_names_every_option() -> None:
    described = inspect.getdoc(consumers.client.Client)
    assert described is not None
    assert [name for name in DEFAULTS if f"`{name}`" not in described] == []
