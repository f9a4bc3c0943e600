"""The command `python -m compat port`: files, diff, report and exit status."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from compat.__main__ import main

from ..support.pages import ROOT

CONSUMERS = "from channels.generic.websocket import AsyncWebsocketConsumer\n"
PORTED = "from compat.channels.generic.websocket import AsyncWebsocketConsumer\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one module to port, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "__init__.py").touch()
    (tmp_path / "chat" / "consumers.py").write_text(CONSUMERS)
    return tmp_path


def files_of(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_by_default_there_is_a_diff_and_nothing_is_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(project)
    assert main(["port", "."]) == 0
    assert files_of(project) == before
    assert capsys.readouterr().out == (
        "--- chat/consumers.py\n"
        "+++ chat/consumers.py\n"
        "@@ -1 +1 @@\n"
        f"-{CONSUMERS}"
        f"+{PORTED}"
        "To be changed (--write does it):\n"
        "  chat/consumers.py: line 1\n"
        "2 files looked at, 1 to be changed, 0 things for a person.\n"
    )


@pytest.mark.parametrize(
    "source", [CONSUMERS * 3, CONSUMERS.strip(), f"x = 1\r\n{CONSUMERS.strip()}\r\n", f"é=1\n\x0c\n{CONSUMERS}"]
)
def test_git_takes_the_diff_and_makes_the_same_of_it(
    project: Path, capsys: pytest.CaptureFixture[str], source: str
) -> None:
    (project / "chat" / "consumers.py").write_bytes(source.encode())
    assert main(["port", "."]) == 0
    patch = capsys.readouterr().out.encode()
    subprocess.run(["git", "apply", "-p0", "-"], input=patch, cwd=project, check=True)
    applied = files_of(project)
    (project / "chat" / "consumers.py").write_bytes(source.encode())
    assert main(["port", ".", "--write"]) == 0
    assert files_of(project) == applied


def test_write_edits_and_a_second_run_changes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["port", "--write", str(project)]) == 0
    assert "Changed:\n  chat/consumers.py: line 1\n" in capsys.readouterr().out
    assert (project / "chat" / "consumers.py").read_text() == PORTED
    before = (project / "chat" / "consumers.py").stat()
    assert main(["port", "--write", str(project)]) == 0
    assert (project / "chat" / "consumers.py").stat() == before
    assert capsys.readouterr().out == "2 files looked at, nothing to port.\n"


def test_the_native_port_goes_on_from_the_plain_one(project: Path) -> None:
    assert main(["port", "--write", "."]) == 0
    assert main(["port", "--write", "--native", "."]) == 0
    assert (project / "chat" / "consumers.py").read_text() == "from consumers import AsyncWebsocketConsumer\n"
    assert main(["port", "--check", "--native", "."]) == 0


def test_check_says_whether_anything_is_left(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(project)
    assert main(["port", "--check", "."]) == 1
    out = capsys.readouterr().out
    assert "chat/consumers.py: line 1" in out and "---" not in out
    assert files_of(project) == before
    assert main(["port", "--write", "."]) == 0
    assert main(["port", "--check", "."]) == 0
    assert main(["port", "--check", "--native", "."]) == 1


@pytest.mark.parametrize(
    ("name", "text", "status"),
    [
        ("star.py", "from channels.db import *\n", 1),
        ("broken.py", "import channels.layers as\n", 1),
        ("broken.py", "def f(:\n", 0),
        ("requirements.txt", "channels==4.3\n", 1),
        ("requirements/base.txt", "channels-redis[x]\n", 1),
        ("requirements.in", "channels\n", 1),
        ("requirements/base.in", "channels[daphne]>=4\n", 1),
        ("requirements-dev.txt", "daphne\n", 0),
        ("requirements.txt", "# channels\nchannels-presence\n-r channels.txt\n", 0),
        ("requirements.txt", "channels @ git+https://example.com/a/b\n", 1),
        ("requirements.txt", "-e git+https://github.com/me/fork.git@v1#egg=channels\n", 1),
        ("requirements.txt", "--editable=git+https://example.com/a/b#subdirectory=c&egg=Channels_Redis[x]\n", 1),
        ("requirements.txt", "git+ssh://git@github.com/django/channels.git@fix/it\n", 1),
        ("requirements.txt", "  -e git+https://github.com/django/channels ; python_version > '3'\n", 1),
        ("requirements.txt", "https://github.com/django/channels/archive/main.zip\n", 1),
        ("requirements.txt", "./wheels/channels_redis-4.3.0-py3-none-any.whl\n", 1),
        ("requirements.txt", "https://example.com/channels-4.3.0.tar.gz#sha256=1\n", 1),
        ("requirements.txt", "-e git+https://github.com/me/other.git@fix/channels#egg=other\n", 0),
        ("requirements.txt", "other @ git+https://github.com/django/channels.git\n", 0),
        ("requirements.txt", "git+https://channels.example.com/channels/other\n# -e git+x#egg=channels\n", 0),
        ("requirements.txt", "https://example.com/channels-presence-4.3.0.tar.gz\n", 0),
        ("notes.txt", "channels\n", 0),
        ("manifest.in", "channels\n", 0),
        ("settings.py", 'INSTALLED_APPS = ["daphne"]\n', 1),
        ("settings.py", 'INSTALLED_APPS.insert(0, "daphne")\n', 1),
        ("settings.py", 'DAPHNES = ["daphne"]\n', 0),
        ("urls.py", "from django.urls import path\nx = [path('', A.as_asgi())]\n", 1),
        ("urls.py", "import django\nfrom django.urls import path\nx = [path('', A.as_asgi())]\n", 0),
    ],
)
def test_check_counts_what_a_person_has_to_do(tmp_path: Path, name: str, text: str, status: int) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    assert main(["port", "--check", str(tmp_path)]) == status


@pytest.mark.parametrize("words", [["nowhere"], ["chat", "--check", "--write"]])
def test_a_wrong_command_line_is_an_error(project: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(project)
    with pytest.raises(SystemExit) as ended:
        main(["port", *words])
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("python -m compat port: error: ")
    assert files_of(project) == before


def test_a_single_file_is_ported_whatever_its_name(project: Path) -> None:
    script = project / "serve"
    script.write_text("#!/usr/bin/env python\nimport channels\n")
    script.chmod(0o755)
    assert main(["port", "--write", str(script)]) == 0
    assert script.read_text() == "#!/usr/bin/env python\nimport compat.channels\n"
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    assert (project / "chat" / "consumers.py").read_text() == CONSUMERS


def test_what_is_no_projects_own_is_not_looked_at(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for directory in (".git", "node_modules", ".venv", "__pycache__", "an_environment"):
        (project / directory / "x").mkdir(parents=True)
        (project / directory / "x" / "a.py").write_text(CONSUMERS)
    (project / "an_environment" / "pyvenv.cfg").touch()
    (project / "chat" / "migrations").mkdir()
    (project / "chat" / "migrations" / "0001.py").write_text(CONSUMERS)
    (project / "chat" / "page.html").write_text(CONSUMERS)
    main(["port", "--check", "."])
    out = capsys.readouterr().out
    assert "  chat/consumers.py: line 1\n  chat/migrations/0001.py: line 1\n3 files looked at" in out


def test_a_syntax_error_is_reported_with_its_line_and_the_rest_is_ported(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = project / "chat" / "broken.py"
    broken.write_text("import channels.layers\n\nclass A(:\n")
    assert main(["port", "--write", "."]) == 0
    assert "  chat/broken.py:3: syntax error: " in capsys.readouterr().out
    assert broken.read_text() == "import channels.layers\n\nclass A(:\n"
    assert (project / "chat" / "consumers.py").read_text() == PORTED


@pytest.mark.slow
def test_what_cannot_be_parsed_is_reported_and_the_rest_is_ported(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sources = {
        "deep.py": f"import channels.layers\nx = {'+'.join('1' * 500)}\n",
        "deeper.py": f"import channels.layers\nx = {'+'.join('1' * 20_000)}\n",  # libcst would need minutes
        "not_ours.py": f"x = {'+'.join('1' * 20_000)}\n",
        "rotated.py": "# coding: rot13\nvzcbeg channels\n",
    }
    for name, text in sources.items():
        (project / name).write_text(text)
    assert main(["port", "--write", "."]) == 0
    out = capsys.readouterr().out
    assert "  deep.py, deeper.py: its expressions are nested too deeply; left as it is" in out
    assert "  rotated.py: syntax error: 'rot13' is not a text encoding" in out and "not_ours" not in out
    assert {name: (project / name).read_text() for name in sources} == sources
    assert (project / "chat" / "consumers.py").read_text() == PORTED
    assert main(["port", "--check", "."]) == 1


def test_a_read_only_file_is_reported_and_left_whole(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files_of(project)
    file = project / "chat" / "consumers.py"
    file.chmod(0o444)
    assert main(["port", "--write", "."]) == 1
    out = capsys.readouterr().out
    assert "  chat/consumers.py: cannot be written: it is read-only; left as it was\n" in out
    assert "0 changed, 1 thing for a person" in out
    assert files_of(project) == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_on_the_way_leaves_no_half_of_a_file(
    project: Path, step: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    before = files_of(project)
    monkeypatch.setattr(os, step, fail)
    assert main(["port", "--write", "."]) == 1
    assert "cannot be written: No space left on device" in capsys.readouterr().out
    assert files_of(project) == before


def test_a_file_that_cannot_be_read_is_reported(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert main(["port", "--check", "."]) == 1
    assert "  chat/__init__.py, chat/consumers.py: cannot be read: Permission denied" in capsys.readouterr().out


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o755])
def test_the_mode_is_kept(project: Path, mode: int) -> None:
    file = project / "chat" / "consumers.py"
    file.chmod(mode)
    assert main(["port", "--write", "."]) == 0
    assert file.read_text() == PORTED
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_links_stay_links(tmp_path: Path, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside.py"
    outside.write_text(CONSUMERS)
    (project / "chat" / "inside.py").symlink_to("consumers.py")
    (project / "chat" / "away.py").symlink_to(outside)
    (project / "chat" / "nowhere.py").symlink_to("missing.py")
    (project / "chat" / "round").symlink_to(project / "chat")
    assert main(["port", "--write", "chat"]) == 0
    out = capsys.readouterr().out
    assert f"  chat/away.py: a symbolic link to {outside}, which is outside of chat: run this on that\n" in out
    assert out.count("consumers.py: line 1") == 1 and "inside" not in out
    assert (project / "chat" / "inside.py").is_symlink() and (project / "chat" / "inside.py").read_text() == PORTED
    assert outside.read_text() == CONSUMERS


def test_several_paths_are_one_project(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("site", "lib"):
        (project / name).mkdir()
    (project / "site" / "settings.py").write_text('INSTALLED_APPS = ["django.contrib.auth"]\n')
    (project / "site" / "link.py").symlink_to(project / "chat" / "consumers.py")
    (project / "lib" / "a.py").write_text(CONSUMERS)
    routing = "from django.urls import path\nx = [path('', A.as_asgi())]\n"
    (project / "chat" / "routing.py").write_text(routing)
    words = ["chat", "site", "chat/consumers.py", "./chat"]
    assert main(["port", "--check", *words]) == 1
    out = capsys.readouterr().out
    assert "  chat/consumers.py: line 1\n  site/link.py: line 1\n5 files looked at" in out and "symbolic" not in out
    assert main(["port", "--write", *words]) == 0
    assert (project / "chat" / "consumers.py").read_text() == PORTED
    assert (project / "chat" / "routing.py").read_text() == routing  # since the project uses Django, in another path
    assert (project / "lib" / "a.py").read_text() == CONSUMERS
    with pytest.raises(SystemExit):
        main(["port", "chat", "nowhere"])
    assert "there is no 'nowhere'" in capsys.readouterr().err


def test_a_link_given_by_name_is_followed(project: Path) -> None:
    link = project / "link.py"
    link.symlink_to(project / "chat" / "consumers.py")
    assert main(["port", "--write", str(link)]) == 0
    assert link.is_symlink() and link.read_text() == PORTED


def test_a_projects_own_channels_is_told_of_and_its_imports_are_left(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "channels").mkdir()
    (project / "channels" / "__init__.py").touch()
    assert main(["port", "."]) == 0
    out = capsys.readouterr().out
    assert "channels/__init__.py: `import channels` finds this, not Django Channels" in out
    assert "---" not in out
    assert main(["port", "--check", "chat/consumers.py"]) == 0


def test_a_package_inside_a_package_may_be_called_channels(project: Path) -> None:
    (project / "chat" / "channels.py").touch()
    assert main(["port", "--write", "."]) == 0
    assert (project / "chat" / "consumers.py").read_text() == PORTED


@pytest.mark.parametrize("name", ["consumers.py", "compat.py"])
def test_a_module_that_hides_our_package_is_named(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).touch()
    (tmp_path / "a.py").write_text(PORTED)
    assert main(["port", "--check", str(tmp_path)]) == 1
    assert f"{tmp_path / name}: `import {Path(name).stem}` finds this and not the package of" in capsys.readouterr().out
    (tmp_path / "a.py").write_text("import consumers\n")
    assert main(["port", "--check", str(tmp_path)]) == 0


@pytest.mark.parametrize(
    ("other", "stays"),
    [("import mydjango\n", False), ("from django.conf import settings\n", True), ("DJANGO_SETTINGS_MODULE\n", True)],
)
def test_routes_leave_django_where_nothing_else_needs_it(project: Path, other: str, stays: bool) -> None:
    routing = project / "chat" / "routing.py"
    routing.write_text(
        "from django.urls import path as p\nfrom . import consumers\nx = [p('', consumers.A.as_asgi())]\n"
    )
    (project / "other.py").write_text(other)
    before = routing.read_text()
    assert main(["port", "--write", "."]) == 0
    assert routing.read_text() == (before if stays else before.replace("django", "compat.django"))
    assert main(["port", "--write", "--native", "."]) == 0
    assert routing.read_text() == before.replace("django.urls", "consumers")


def test_requirements_in_pyproject_are_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pyproject.toml").write_text(
        """
        [project]
        name = "channels"
        dependencies = [
            "Channels[daphne] >= 4",
            # "Channels[daphne] >= 4",
            "channels-presence",
        ]
        [dependency-groups]
        dev = ["channels.redis"]
        [tool.pixi.workspace]
        channels = ["conda-forge"]
        [tool.poetry.group.dev.dependencies]
        channels = {version = "^4", extras = ["daphne"]}
        daphne = "*"
        """
    )
    assert main(["port", "--check", str(tmp_path)]) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "pyproject.toml:" in line]
    assert [int(line.split(":")[1]) for line in lines] == [5, 10, 14, 15]
    (tmp_path / "pyproject.toml").write_text("[channels")
    assert main(["port", "--check", str(tmp_path)]) == 1
    assert "no valid TOML" in capsys.readouterr().out


def test_without_libcst_the_error_names_the_extra_and_the_other_commands_work(tmp_path: Path) -> None:
    (tmp_path / "libcst.py").write_text("raise ModuleNotFoundError(\"No module named 'libcst'\", name='libcst')\n")
    (tmp_path / "script.py").write_text("import channels.layers\nprint('ran')\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), os.getcwd()])}

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "compat", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    refused = run("port", ".")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr == (
        "python -m compat port: error: libcst is not installed: pip install 'starlette-consumers[port]'\n"
    )
    assert run("exec", "script.py").stdout == "ran\n"


@pytest.mark.slow
def test_a_terminal_that_lacks_characters_shows_their_codes(project: Path) -> None:
    (project / "chat" / "consumers.py").write_text(f"# é\n{CONSUMERS}", encoding="utf-8")
    ported = subprocess.run(
        [sys.executable, "-m", "compat", "port", "."],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert b"\n # \\xe9\n" in ported.stdout


@pytest.mark.slow
def test_a_reader_that_stops_early_sees_no_traceback(project: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "compat", "port", "."],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as ported:
        assert ported.stdout is not None and ported.stderr is not None
        ported.stdout.close()
        assert ported.stderr.read() == b""
    assert ported.returncode == 1
