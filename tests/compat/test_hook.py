"""The import hook: `import channels…` gives the modules of `compat`."""

from pathlib import Path

import pytest

from compat.moves import MODULES, MOVES

from ..support.processes import run_python

NEED_DJANGO = {"channels.apps", "channels.testing.live", "channels.management.commands.runworker"}
PLAIN = sorted(name for name in MODULES - NEED_DJANGO if name.startswith("channels"))

INSTALL = "import compat; compat.install()\n"


def succeed(code: str, tmp_path: Path) -> str:
    """Run code that must succeed, and return what it printed."""
    ended = run_python(code, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.slow
def test_every_module_is_the_very_same_object_under_both_names(tmp_path: Path) -> None:
    code = f"""
from importlib import import_module
for name in {PLAIN!r}:
    assert import_module(name) is import_module("compat." + name), name
"""
    succeed(INSTALL + code, tmp_path)


@pytest.mark.slow
def test_it_does_not_matter_which_name_is_imported_first(tmp_path: Path) -> None:
    code = "import compat.channels.layers as ours\nimport channels.layers as theirs\nassert ours is theirs\n"
    succeed("import compat.channels.generic.websocket\n" + INSTALL + code, tmp_path)


@pytest.mark.slow
def test_exceptions_and_classes_are_those_of_the_library(tmp_path: Path) -> None:
    code = """
import consumers
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.layers import channel_layers
assert StopConsumer is consumers.StopConsumer
assert issubclass(AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer)
assert issubclass(AsyncWebsocketConsumer, consumers.AsyncWebsocketConsumer)
assert channel_layers is consumers.channel_layers
"""
    succeed(INSTALL + code, tmp_path)


@pytest.mark.slow
def test_a_module_keeps_its_spec_so_that_it_can_be_reloaded(tmp_path: Path) -> None:
    code = """
import importlib, channels.generic.websocket as module
assert module.__spec__.name == module.__name__ == "compat.channels.generic.websocket", module.__spec__
assert module.__package__ == "compat.channels.generic"
assert importlib.reload(module) is module
"""
    succeed(INSTALL + code, tmp_path)


@pytest.mark.slow
def test_installing_twice_is_installing_once(tmp_path: Path) -> None:
    code = "import sys; before = list(sys.meta_path); compat.install(); assert sys.meta_path == before"
    succeed(INSTALL + code, tmp_path)


@pytest.mark.slow
def test_a_module_that_channels_does_not_have_is_not_found(tmp_path: Path) -> None:
    ended = run_python(INSTALL + "import channels.nothing", cwd=tmp_path)
    assert "ModuleNotFoundError: No module named 'channels.nothing'" in ended.stderr


@pytest.mark.slow
def test_modules_that_channels_does_not_have_are_the_same_objects_too(tmp_path: Path) -> None:
    succeed(
        INSTALL + "import channels.testing.server as a, compat.channels.testing.server as b\nassert a is b", tmp_path
    )


@pytest.mark.slow
@pytest.mark.parametrize("module", ["daphne.server", "daphne.management.commands.runserver", "daphne.testing"])
def test_what_daphne_does_is_refused_with_what_to_do(tmp_path: Path, module: str) -> None:
    ended = run_python(INSTALL + f"import {module}", cwd=tmp_path)
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"ModuleNotFoundError: No module named '{'.'.join(module.split('.')[:2])}', which compat")
    assert "serve with `python -m compat run" in last


@pytest.mark.slow
def test_a_daphne_that_is_an_app_is_nothing_but_that(tmp_path: Path) -> None:
    code = """
import daphne
from importlib.util import find_spec
assert daphne.__name__ == "compat.daphne" and not hasattr(daphne, "server")
try:
    found = find_spec("daphne.models")
except ModuleNotFoundError as error:  # what Django's look for an app's models takes for an answer
    assert error.name == "daphne.models"
"""
    succeed(INSTALL + code, tmp_path)


@pytest.mark.slow
def test_an_installed_daphne_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "daphne.py").touch()
    succeed(INSTALL + "import daphne", tmp_path)


def test_without_the_hook_there_is_no_channels(tmp_path: Path) -> None:
    ended = run_python("import compat.channels.layers, channels", cwd=tmp_path)
    assert "ModuleNotFoundError: No module named 'channels'" in ended.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", ["channels", "channels_redis"])
def test_a_real_one_is_refused_with_what_to_uninstall(tmp_path: Path, name: str) -> None:
    real = tmp_path / "site" / name / "__init__.py"
    real.parent.mkdir(parents=True)
    real.touch()
    ended = run_python(INSTALL, cwd=tmp_path, path=tmp_path / "site")
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert f"'{name}' can be imported, from {real}" in last
    assert "pip uninstall channels channels-redis daphne" in last


@pytest.mark.slow
def test_a_real_one_that_has_been_imported_is_refused(tmp_path: Path) -> None:
    (tmp_path / "channels.py").touch()
    ended = run_python("import channels\n" + INSTALL, cwd=tmp_path)
    assert f"'channels' has been imported already, from {tmp_path / 'channels.py'}" in ended.stderr


@pytest.mark.slow
def test_routing_files_find_django_urls_where_django_is_not_installed(tmp_path: Path) -> None:
    code = "from django.urls import path, re_path, register_converter\nassert path.__module__ == 'consumers.patterns'"
    succeed(INSTALL + code, tmp_path)


@pytest.mark.slow
def test_django_is_left_alone_where_it_is_installed(tmp_path: Path) -> None:
    urls = tmp_path / "django" / "urls.py"
    urls.parent.mkdir()
    (tmp_path / "django" / "__init__.py").touch()
    urls.write_text("path = 'the real one'")
    succeed(INSTALL + "from django.urls import path\nassert path == 'the real one'", tmp_path)


@pytest.mark.slow
def test_a_library_that_looks_for_django_does_not_find_one(tmp_path: Path) -> None:
    code = """
for attempt in ("import django.conf", "from django import VERSION", "import django.db"):
    try:
        exec(attempt)
    except ImportError:
        continue
    raise AssertionError(attempt)
"""
    succeed(INSTALL + code, tmp_path)


@pytest.mark.parametrize("start", ["import compat", "from compat.channels.layers import get_channel_layer"])
def test_a_consumers_module_that_shadows_the_package_is_named(tmp_path: Path, start: str) -> None:
    shadow = tmp_path / "consumers.py"
    shadow.touch()
    ended = run_python(start, cwd=tmp_path)
    assert ended.returncode == 1
    assert f"ImportError: `import consumers` finds {shadow}, which shadows the package" in ended.stderr
    assert "rename that module, or move it into a package" in ended.stderr


@pytest.mark.slow
def test_a_consumers_module_in_a_package_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "__init__.py").touch()
    (tmp_path / "chat" / "consumers.py").write_text("from channels.generic.websocket import WebsocketConsumer")
    succeed(INSTALL + "from chat.consumers import WebsocketConsumer", tmp_path)


@pytest.mark.slow
def test_nothing_of_django_is_imported_where_it_is_not_in_use(tmp_path: Path) -> None:
    modules = ", ".join(PLAIN)
    found = succeed(
        INSTALL + f"import sys, {modules}\nprint([name for name in sys.modules if name == 'django'])", tmp_path
    )
    assert found == "[]\n"


def test_every_old_name_is_where_channels_has_it(tmp_path: Path) -> None:
    names = [name for name in MOVES if name.rpartition(".")[0] in PLAIN and "LiveServer" not in name]
    code = f"""
from importlib import import_module
for name in {names!r}:
    module, _, attribute = name.rpartition(".")
    assert hasattr(import_module(module), attribute), name
"""
    succeed(INSTALL + code, tmp_path)
