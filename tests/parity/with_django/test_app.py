"""The Django app and its command."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import channels
import pytest
from channels.apps import ChannelsConfig
from channels.layers import get_channel_layer
from channels.management.commands.runworker import Command
from channels.routing import URLRouter, get_default_application
from channels.worker import Worker
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command, get_commands
from django.urls import include, path

from . import IS_COMPAT
from .commands import lines_until, manage, running


def test_the_app_has_the_name_and_the_label_of_channels():
    config = apps.get_app_config("channels")
    assert type(config) is ChannelsConfig
    assert (config.name, config.label, config.verbose_name) == ("channels", "channels", "Channels")
    assert get_commands()["runworker"] == "channels"


def test_the_default_application_is_that_of_the_setting(settings):
    from . import asgi

    assert get_default_application() is asgi.application
    settings.ASGI_APPLICATION = "tests.parity.nowhere.application"
    with pytest.raises(ImproperlyConfigured, match=r"Cannot import ASGI_APPLICATION module 'tests\.parity\.nowhere'"):
        get_default_application()
    settings.ASGI_APPLICATION = "tests.parity.with_django.asgi.nothing"
    with pytest.raises(
        ImproperlyConfigured, match=r"Cannot find 'nothing' in ASGI_APPLICATION module tests\.parity\.with_django\.asgi"
    ):
        get_default_application()
    settings.ASGI_APPLICATION = None
    with pytest.raises(ImproperlyConfigured, match="Cannot find ASGI_APPLICATION setting"):
        get_default_application()


@pytest.fixture
def made(monkeypatch):
    """What the command makes its worker with."""
    seen = []

    class NotRunning(Worker):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            seen.append(kwargs)

        def run(self):
            seen.append("run")

    monkeypatch.setattr(Command, "worker_class", NotRunning)
    return seen


def test_the_command_runs_a_worker_for_the_channels(made):
    call_command("runworker", "marks", "others")
    arguments, run = made
    assert arguments["channels"] == ["marks", "others"]
    assert arguments["application"] is get_default_application()
    assert arguments["channel_layer"] is get_channel_layer()
    assert run == "run"


def test_the_command_takes_another_layer(settings, made):
    backend = {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    settings.CHANNEL_LAYERS = {"default": backend, "slow": backend}
    call_command("runworker", "--layer", "slow", "marks")
    assert made[0]["channel_layer"] is get_channel_layer("slow")


@pytest.mark.parametrize(("layers", "words"), [({}, ["marks"]), (None, ["--layer", "other", "marks"])])
def test_without_a_layer_the_command_says_so(settings, made, layers, words):
    if layers is not None:
        settings.CHANNEL_LAYERS = layers
    with pytest.raises(CommandError, match="CHANNEL_LAYERS configured"):
        call_command("runworker", *words)
    assert made == []


def test_a_channel_that_nobody_handles_is_named(monkeypatch):
    if not IS_COMPAT:  # Channels' worker finds out with the first message, and logs nothing
        return
    with pytest.raises(CommandError, match="channel 'nobodys'") as caught:
        call_command("runworker", "nobodys")
    assert "No application configured for channel name 'nobodys'" in str(caught.value)


def test_without_channels_the_command_says_so():
    with pytest.raises(CommandError, match="required: channels"):
        call_command("runworker")


@pytest.fixture
def database(tmp_path):
    """The environment of a process with a database of its own, whose tables are there."""
    environment = {"PARITY_DATABASE": str(tmp_path / "own.sqlite3")}
    finished = manage("migrate", "--run-syncdb", "--verbosity", "0", **environment)
    assert (finished.returncode, finished.stderr) == (0, "")
    return environment


def test_the_command_works_until_sigterm(database, tmp_path):
    mark = tmp_path / "mark"
    settings = {"DJANGO_SETTINGS_MODULE": "tests.parity.with_django.worker_settings", "PARITY_MARK": str(mark)}
    with running("runworker", "marks", **database, **settings) as process:
        lines_until(process, "Running worker for channels ['marks']")
        lines_until(process, f"{mark} is written")
        assert mark.read_text() == "0"
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        status = process.wait(timeout=30)
    assert status == (0 if IS_COMPAT else -signal.SIGTERM)  # Channels' worker has no end of its own
    assert "Traceback" not in rest


def test_a_layer_that_is_not_configured_is_one_line(database):
    finished = manage("runworker", "--layer", "other", "marks", **database)
    assert finished.returncode == 1
    assert finished.stderr.startswith("CommandError: You do not have any CHANNEL_LAYERS configured")
    assert len(finished.stderr.splitlines()) == 1


def test_a_channel_without_a_consumer_is_named(database, tmp_path):
    settings = {"DJANGO_SETTINGS_MODULE": "tests.parity.with_django.worker_settings", "PARITY_MARK": str(tmp_path)}
    with running("runworker", "elsewhere", **database, **settings) as process:
        lines_until(process, "Running worker")
        lines_until(process, "'elsewhere'")
        if IS_COMPAT:  # Channels works on, without a consumer
            assert process.wait(timeout=30) == 1


def test_what_cannot_be_a_channel_is_refused(database):
    finished = manage("runworker", "not a name", **database)
    assert finished.returncode == 1
    if IS_COMPAT:  # Channels' error does not say which it is
        assert finished.stderr.startswith("CommandError: ")
        assert "'not a name'" in finished.stderr


def test_without_the_hook_the_package_itself_is_the_app(tmp_path):
    package = channels.__name__
    settings = f'INSTALLED_APPS = ["{package}"]; SECRET_KEY = "x"; ASGI_APPLICATION = "site.application"'
    (tmp_path / "plain.py").write_text(settings)

    def run(*words):
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "plain", "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60
        )

    code = "import django as d; d.setup(); app = d.apps.apps.get_app_config('channels'); print(app.name, app.label)"
    assert run("-c", code).stdout.split() == [package, "channels"]
    finished = run("-m", "django", "runworker", "marks")
    assert (finished.returncode, finished.stderr[:13]) == (1, "CommandError:")
    assert run("-m", "django", "check").returncode == 0


@pytest.mark.parametrize("entry", ["daphne", "daphne.apps.DaphneConfig"])
def test_daphne_may_be_among_the_apps(tmp_path, entry):
    settings = f"from tests.parity.with_django.settings import *\nINSTALLED_APPS = [{entry!r}, *INSTALLED_APPS]"
    (tmp_path / "daphnes.py").write_text(settings)
    variables = {"DJANGO_SETTINGS_MODULE": "daphnes", "PYTHONPATH": str(tmp_path)}
    code = "from django.apps import apps; app = apps.get_app_config('daphne'); print(app.name, app.verbose_name)"
    finished = manage("shell", "--command", code, **variables)
    assert (finished.returncode, finished.stdout.splitlines()[-1]) == (0, "daphne Daphne"), finished.stderr
    finished = manage("check", **variables)
    assert finished.returncode == 0
    lines = [line for line in finished.stderr.splitlines() if "daphne" in line]
    assert len(lines) == IS_COMPAT  # the one that says what serves instead
    assert not IS_COMPAT or "python -m compat run" in lines[0]


def test_the_checks_pass():
    finished = manage("check")
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "no issues" in finished.stdout


@pytest.fixture
def free_address():
    """An address that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def fetch(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=30) as answer:
        return answer.read().decode()


@pytest.mark.parametrize("options", [[], ["--noreload"]])
def test_runserver_serves_with_a_reloading_child_and_without(database, free_address, options):
    with running("runserver", free_address, *options, **database) as process:
        lines_until(process, "Quit the server")
        assert fetch(free_address, "/people/") == ""


def test_patterns_of_an_include_cannot_be_routed():
    with pytest.raises(ImproperlyConfigured, match=r"include\(\) is not supported in URLRouter"):
        URLRouter([path("", include([]))])
