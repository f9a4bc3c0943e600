"""The porting tool's report of a whole project: what a person has to do, what may stay, and what is not told at all."""

from pathlib import Path

import pytest

from compat.__main__ import main


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("other", ["from django.conf import settings\n", 'INSTALLED_APPS = ["django.contrib.auth"]\n'])
def test_a_project_with_django_is_not_told_that_its_routes_need_it(
    project: Path, other: str, capsys: pytest.CaptureFixture[str]
) -> None:
    routing = project / "routing.py"
    routing.write_text("from django.urls import path\nfrom . import consumers\nx = [path('', consumers.A.as_asgi())]\n")
    (project / "settings.py").write_text(other)
    assert main(["port", "--write", "."]) == 0
    assert "from django.urls" in routing.read_text()
    capsys.readouterr()
    assert main(["port", "."]) == 0
    assert capsys.readouterr().out == "2 files looked at, nothing to port.\n"
    assert main(["port", str(routing)]) == 0
    assert "django.urls: these routes need Django installed" in capsys.readouterr().out


LAYERS = 'CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}\n'


@pytest.mark.parametrize(
    "source",
    [
        LAYERS,
        "from channels.layers import get_channel_layer\n",
        "import channels.layers\nlayer = channels.layers.get_channel_layer()\n",
        'import os\nCHANNEL_LAYERS = {"default": {"BACKEND": "consumers.layers.redis.RedisChannelLayer"}}\n',
    ],
)
@pytest.mark.parametrize("call", ["channel_layers.configure(LAYERS)", "compat.configure(CHANNEL_LAYERS=LAYERS)"])
def test_the_native_port_is_complete_once_something_configures_the_layers(
    project: Path, source: str, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "layers.py").write_text(source)
    assert main(["port", "--write", "--native", "."]) == 0
    for _ in range(2):
        assert "call channel_layers.configure({...}) where the application is made" in capsys.readouterr().out
        assert main(["port", "--check", "--native", "."]) == 1
    (project / "asgi.py").write_text(f"{call}\n")
    capsys.readouterr()
    assert main(["port", "--check", "--native", "."]) == 0
    assert capsys.readouterr().out == "2 files looked at, nothing to port.\n"


@pytest.mark.parametrize("call", ["configure", "install"])
@pytest.mark.parametrize(
    ("line", "source"),
    [
        (2, "import compat\ncompat.{call}()\n"),
        (2, "import compat as ported\nported.{call}()\n"),
        (1, "from compat import {call}\n{call}()\n"),
        (None, "from . import compat\ncompat.{call}()\n"),
        (None, "import compat\ndef use(compat):\n    compat.{call}()\n"),
    ],
)
def test_the_native_port_says_what_stands_in_for_settings_and_modules(
    project: Path, line: int | None, source: str, call: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "asgi.py").write_text(source.format(call=call))
    assert main(["port", "--check", "."]) == 0
    assert "compat." not in capsys.readouterr().out
    assert main(["port", "--check", "--native", "."]) == 0
    told = f"Worth a look:\n  asgi.py:{line}: compat.{call}: natively "
    assert (told in capsys.readouterr().out) == (line is not None)


@pytest.mark.parametrize("steps", [[["--native"]], [[], ["--native"]]])
def test_with_django_the_validator_stays_where_it_follows_the_settings(
    project: Path, steps: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    asgi = project / "asgi.py"
    asgi.write_text(
        "from django.core.asgi import get_asgi_application\n"
        "from channels.security.websocket import AllowedHostsOriginValidator, OriginValidator\n"
        "x = AllowedHostsOriginValidator(app)\n"
    )
    for words in steps:
        assert main(["port", "--write", *words, "."]) == 0
    assert asgi.read_text() == (
        "from django.core.asgi import get_asgi_application\n"
        "from compat.channels.security.websocket import AllowedHostsOriginValidator\n"
        "from consumers import OriginValidator\n"
        "x = AllowedHostsOriginValidator(app)\n"
    )
    out = capsys.readouterr().out
    assert out.count("Worth a look:\n  asgi.py:2: AllowedHostsOriginValidator: stays in compat") == 1
    assert main(["port", "--check", "--native", "."]) == 0


def test_what_a_person_may_leave_is_not_counted(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "requirements.txt").write_text("daphne\n")
    for words in ([], ["--native"]):
        assert main(["port", "--write", *words, "."]) == 0
        assert main(["port", "--check", *words, "."]) == 0
        out = capsys.readouterr().out
        assert "Worth a look:\n  requirements.txt:1: `daphne`" in out and out.endswith("looked at, nothing to port.\n")


def install(directory: Path, name: str, *requirements: str) -> None:
    """Make a directory look as if a distribution were installed in it."""
    (directory / f"{name}-1.2.dist-info").mkdir(parents=True)
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        "Version: 1.2",
        *(f"Requires-Dist: {one}" for one in requirements),
    ]
    (directory / f"{name}-1.2.dist-info" / "METADATA").write_text("\n".join(lines))


def test_installed_packages_that_require_channels_are_worth_a_look(
    project: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    site = tmp_path_factory.mktemp("site")
    install(site, "channels_graphs", "django>=4", "Channels<5,>=4")
    install(site, "berries", 'channels-redis (>=4) ; extra == "live"')
    install(site, "channels_redis", "channels>=4")
    install(site, "harmless", "channels-presence", "django")
    monkeypatch.syspath_prepend(site)
    (project / "a.py").write_text("from compat.channels.layers import get_channel_layer\n")
    assert main(["port", "--check", "."]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" what it")[0] for line in lines] == [
        "Worth a look:",
        "  berries 1.2: an installed package that requires channels-redis for its extra live; if you use that,",
        "  channels_graphs 1.2: an installed package that requires Channels;",
        "1 file looked at, nothing to port.",
    ]
    assert "keep `compat run`" in lines[1]
    (project / "a.py").write_text("import json\n")
    assert main(["port", "--check", "."]) == 0
    assert "berries" not in capsys.readouterr().out


def test_daphne_among_the_apps_is_counted_until_it_is_taken_out(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = project / "settings.py"
    settings.write_text('INSTALLED_APPS = [\n    "daphne",\n    "chat",\n]\n')
    assert main(["port", "--check", "."]) == 1
    assert "To be changed (--write does it):\n  settings.py: line 2\nWorth a look:\n" in capsys.readouterr().out
    assert main(["port", "--write", "."]) == 0
    assert 'settings.py:2: "daphne" is taken out, and its runserver with it: serve with' in capsys.readouterr().out
    assert settings.read_text() == 'INSTALLED_APPS = [\n    "chat",\n]\n'
    assert main(["port", "--check", "."]) == 0


def test_a_test_on_the_beginning_of_a_backends_name_is_a_persons(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "settings.py").write_text(
        'backend = "channels_redis.core.RedisChannelLayer"\nif backend.startswith("channels_redis."):\n    pass\n'
    )
    assert main(["port", "--write", "."]) == 0
    assert main(["port", "--check", "."]) == 1
    assert 'Needs a person:\n  settings.py:2: "channels_redis.": left as it is' in capsys.readouterr().out


def test_one_thing_in_several_places_is_told_in_one_line(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one.py", "two.py"):
        (project / name).write_text("\nfrom channels.http import AsgiHandler\n")
    assert main(["port", "--check", "."]) == 1
    assert "  one.py:2, two.py:2: Channels 4.3 has no module channels.http: " in capsys.readouterr().out
