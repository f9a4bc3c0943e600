"""The porting tool on awkward sources: what it edits, and what it leaves to a person."""

import functools
from textwrap import dedent

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compat.moves import INSTEAD, MOVES
from compat.port.plan import Finding, Kind
from compat.port.source import Edit, Source, Unreadable

from ..support.port_cases import CASES, port


@functools.cache
def ported_case(name: str, native: bool) -> tuple[bytes, list[Finding]]:
    """Port a case; each is what three tests begin with."""
    return port(dedent(CASES[name][0]), native)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("native", [False, True])
def test_it_is_ported(name: str, native: bool) -> None:
    source, plain, moved = CASES[name]
    expected = moved if native else plain
    ported, findings = ported_case(name, native)
    if expected is None:
        expected = source if not native else plain
    assert ported.decode() == dedent(expected or "")
    assert not [finding for finding in findings if finding.kind is Kind.LEFT]


@pytest.mark.parametrize("name", CASES)
def test_a_second_run_changes_nothing(name: str) -> None:
    for native in (False, True):
        ported, _ = ported_case(name, native)
        assert port(ported, native)[0] == ported


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("a name that is bound otherwise too",)])
def test_the_plain_port_can_be_moved_on(name: str) -> None:
    plain, _ = ported_case(name, False)
    assert port(plain, native=True)[0] == ported_case(name, True)[0]


UNTOUCHED = [
    '"""channels.layers.InMemoryChannelLayer"""\n',
    'def f():\n    "channels.layers.get_channel_layer"\n',
    "# import channels.layers\nx = 1\n",
    'x: " channels.layers.y"\ny: "not python"\nz: "list[channels.layers"\n',
    "from .channels import x\nfrom . import channels\nfrom ..channels.layers import y\n",
    "import mychannels, channelsx.layers\nfrom my.channels.layers import x\n",
    'group_send("channels.news", {"type": "channels.layers"})\n',
    'if "channels_redis." in backend: pass\n',
    'backend.startswith(("channels_redis.", "compat.channels_redis."))\n',
    'LOGGING = {"loggers": {"channels": {}, "daphne": {}}}\n',
    'x = {"channels": ["daphne"]}\n',
    'x = "see channels.layers.get_channel_layer"\ny = b"channels.layers.get_channel_layer"\n',
    "self.channels.layers.get_channel_layer()\nchannels = []\nchannels.layers\n",
    "from django.urls import path\nurlpatterns = [path('', views.index), path('a', B.as_view())]\n",
    "",
    "\n",
]


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("source", UNTOUCHED)
def test_what_is_not_channels_is_left_alone(source: str, native: bool) -> None:
    if native and " in backend" in source:
        return  # what is in the new name as well is not in the native one
    assert port(source, native) == (source.encode(), [])


KEPT = {
    'backend.startswith("channels_redis.")\n': Kind.LEFT,
    'backend[:9] == "channels."\n': Kind.LEFT,
    'backend.startswith(("channels_redis.core", "other"))\n': Kind.LEFT,
    'backend == f"channels_redis.{name}.Layer"\n': Kind.LEFT,
    'backend.startswith("channels_"  "redis.")\n': Kind.LEFT,
    're.match(r"channels\\.layers", x) or x == "channels_redis.%s" % y\n': Kind.LEFT,
    'hidden_imports = ["channels.layers"]\n': Kind.LEFT,
    'logging.getLogger("channels.layers")\n': Kind.TODO,
    'render(request, "channels.html")\n': Kind.TODO,
}


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("source", KEPT)
def test_a_string_that_begins_like_a_name_of_channels_and_is_kept_is_told_of(source: str, native: bool) -> None:
    ported, (finding,) = port(source, native)
    assert ported == source.encode()
    assert (finding.line, finding.kind) == (1, KEPT[source])
    assert 'begin with "compat."' in finding.text


DAPHNES = {
    'INSTALLED_APPS = ["daphne", "a"]\n': 'INSTALLED_APPS = ["a"]\n',
    'INSTALLED_APPS = ["a", "daphne"]\n': 'INSTALLED_APPS = ["a"]\n',
    'INSTALLED_APPS = ["a", "daphne",]\n': 'INSTALLED_APPS = ["a",]\n',
    'INSTALLED_APPS = ["a", "daphne", "b"]\n': 'INSTALLED_APPS = ["a", "b"]\n',
    'INSTALLED_APPS = ["daphne"]\n': "INSTALLED_APPS = []\n",
    'INSTALLED_APPS = ["daphne", ] + OTHERS\n': "INSTALLED_APPS = [ ] + OTHERS\n",
    'INSTALLED_APPS = ("daphne",)\n': "INSTALLED_APPS = ()\n",
    'INSTALLED_APPS = (\n    "daphne",\n    "a",\n)\n': 'INSTALLED_APPS = (\n    "a",\n)\n',
    'THIRD_PARTY_APPS: list[str] = [\n    "a",\n    "daphne"  # first\n]\n': (
        'THIRD_PARTY_APPS: list[str] = [\n    "a",\n]\n'
    ),
    'INSTALLED_APPS = [\n    "daphne.apps.DaphneConfig",  # first\n    # Ours\n    "channels",\n]\n': (
        'INSTALLED_APPS = [\n    # Ours\n    "compat.channels",\n]\n'
    ),
    'if DEBUG:\n    INSTALLED_APPS += ["daphne"]\n': "if DEBUG:\n    INSTALLED_APPS += []\n",
}


@pytest.mark.parametrize("source", DAPHNES)
def test_daphne_is_taken_out_of_the_apps(source: str) -> None:
    ported, findings = port(source)
    assert ported.decode() == DAPHNES[source]
    assert [(finding.kind, "serve with" in finding.text) for finding in findings] == [(Kind.TODO, True)]
    assert port(ported) == (ported, [])


@pytest.mark.parametrize(
    "source",
    [
        'INSTALLED_APPS.insert(0, "daphne")\n',
        'INSTALLED_APPS = "daphne", "a"\n',
        'INSTALLED_APPS = ("daphne", "a")\n',
        'INSTALLED_APPS = {"daphne"}\n',
        'with override_settings(INSTALLED_APPS=[x if y else "daphne"]): pass\n',
    ],
)
def test_a_person_takes_daphne_out_where_it_is_not_so_simple(source: str) -> None:
    ported, (finding,) = port(source)
    assert ported == source.encode()
    assert finding.kind is Kind.LEFT and 'take "daphne" out' in finding.text


@pytest.mark.parametrize(
    "source",
    [
        "from channels_redis.core import RedisChannelLayer as R\nclass A(R):\n    async def _brpop_with_clean(): 0\n",
        "import channels_redis.pubsub\nclass A(channels_redis.pubsub.RedisPubSubChannelLayer):\n"
        "    def _get_layer(self): 0\n",
        "from channels.layers import InMemoryChannelLayer\nclass A(InMemoryChannelLayer): pass\n"
        "class B(Mixed, A):\n    @log\n    def _clean_expired(self): 0\n",
        "from channels_redis import serializers as s\nclass A(s.BaseMessageSerializer):\n"
        "    def _setup_encryption(self, keys): 0\n",
    ],
)
@pytest.mark.parametrize("native", [False, True])
def test_overrides_of_private_methods_are_told_of(source: str, native: bool) -> None:
    ported, findings = port(source, native)
    for found in (findings, port(ported, native)[1]):
        (finding,) = [finding for finding in found if "overrides a private method" in finding.text]
        assert finding.kind is Kind.UNCOVERED
        assert finding.line >= 3 and finding.text.startswith(("A._", "B._"))


REFUSED = (
    "from channels_redis.core import RedisChannelLayer as R\n\nclass A(R):\n    async def {name}(self): 0\n",
    "from channels_redis import pubsub as p\nclass A(p.RedisPubSubChannelLayer):\n    x = 0\n    def {name}(self): 0\n",
    "import channels_redis.core\nclass A0(Mixed, channels_redis.core.RedisChannelLayer): 0\n"
    "class A(A0):\n    {name} = another\n",
)


@pytest.mark.parametrize("name", INSTEAD)
@pytest.mark.parametrize("source", REFUSED)
@pytest.mark.parametrize("native", [False, True])
def test_overrides_of_public_methods_that_nothing_calls_are_a_persons(source: str, name: str, native: bool) -> None:
    ported, findings = port(source.format(name=name), native)
    for found in (findings, port(ported, native)[1]):
        (finding,) = [finding for finding in found if "overrides a method that nothing calls here" in finding.text]
        assert (finding.line, finding.kind) == (4, Kind.LEFT)
        assert finding.text == f"A.{name}() overrides a method that nothing calls here: {INSTEAD[name]}"


def test_public_methods_of_those_names_elsewhere_are_no_finding() -> None:
    source = (
        "from compat.channels.layers import InMemoryChannelLayer\nclass A(InMemoryChannelLayer):\n"
        "    def connection(self): 0\nclass RedisChannelLayer(Other):\n    def close_pools(self): 0\n"
    )
    assert port(source) == (source.encode(), [])


@pytest.mark.parametrize(
    "source",
    [
        'mock.patch("channels.layers.InMemoryChannelLayer._clean_expired")\n',
        "import channels_redis.core as core\n"
        'with mock.patch.object(core.RedisChannelLayer, "_brpop_with_clean"): pass\n',
        "from channels.layers import channel_layers\n"
        'monkeypatch.setattr(channel_layers, "_make_backend", lambda name, config: layer)\n',
    ],
)
@pytest.mark.parametrize("native", [False, True])
def test_private_names_that_tests_patch_are_told_of(source: str, native: bool) -> None:
    ported, findings = port(source, native)
    for found in (findings, port(ported, native)[1]):
        assert len([finding for finding in found if finding.kind is Kind.UNCOVERED]) == 1


def test_private_methods_of_an_applications_own_are_no_finding() -> None:
    source = (
        "from compat.channels.layers import InMemoryChannelLayer\nclass A(InMemoryChannelLayer):\n"
        "    def _own(self): 0\n    def group_send(self): 0\nclass B(Other):\n    def _get_shard(self): 0\n"
    )
    assert port(source) == (source.encode(), [])


def test_what_is_done_if_daphne_is_an_app_is_worth_a_look() -> None:
    source = 'if "daphne" in INSTALLED_APPS: pass\n'
    ported, (finding,) = port(source)
    assert (ported, finding.kind) == (source.encode(), Kind.TODO)


LEFT = {
    "from channels.generic.websocket import *\nclass A(WebsocketConsumer): pass\n": (
        1,
        "write from channels.generic.websocket import WebsocketConsumer,",
    ),
    "\nfrom channels.http import AsgiHandler\n": (2, "Channels 4.3 has no module channels.http"),
    "\n\nimport channels.staticfiles\n": (3, "Channels 4.3 has no module channels.staticfiles"),
    "import channels.http as h\n": (1, "Channels 4.3 has no module channels.http"),
    "from channels.layers import nonsense\n": (1, "compat.channels.layers has no nonsense"),
    "import channels.layers as cl\ncl.nonsense()\n": (2, "compat.channels.layers has no nonsense"),
    'import_module(f"channels.{x}")\n': (1, 'put "compat." in front of it'),
    'import_module("channels." + x)\n': (1, 'put "compat." in front of it'),
    '__import__("channels.layers")\n': (1, "importlib.import_module('compat.channels.layers')"),
    'x = ("channels.layers."\n"InMemoryChannelLayer")\n': (1, "in one piece"),
    "from . import compat\nimport channels.layers\n": (2, "write `from compat.channels… import …`"),
}


@pytest.mark.parametrize("source", LEFT)
def test_a_person_is_told_where_and_what_to_do(source: str) -> None:
    line, text = LEFT[source]
    ported, findings = port(source)
    (finding,) = findings
    assert (finding.line, finding.kind) == (line, Kind.LEFT)
    assert text in finding.text
    assert port(ported)[0] == ported


NATIVE_LEFT = {
    "from django.urls import path\nx = [path('a', A.as_asgi()),\n path('b', views.b)]\n": (3, "leads to none"),
    "from django.urls import path\nx = [path('<yyyy:y>', A.as_asgi())]\n": (2, "the converter yyyy"),
    "from channels.security.websocket import AllowedHostsOriginValidator as V\n\nx = V(app)\n": (3, "second argument"),
    "from consumers import AllowedHostsOriginValidator\nx = AllowedHostsOriginValidator(app)\n": (2, "second argument"),
    "from compat.channels.db import *\n": (1, "a star import"),
}


@pytest.mark.parametrize("source", NATIVE_LEFT)
def test_a_person_is_told_what_the_native_port_needs(source: str) -> None:
    line, text = NATIVE_LEFT[source]
    ported, findings = port(source, native=True)
    assert ported.decode() == source.replace("channels.security.websocket", "consumers")
    assert [(finding.line, text in finding.text) for finding in findings if finding.kind is Kind.LEFT] == [(line, True)]


def test_hosts_that_are_passed_are_no_finding() -> None:
    source = "from consumers import AllowedHostsOriginValidator\nx = AllowedHostsOriginValidator(app, hosts)\n"
    assert port(source, native=True) == (source.encode(), [])


def test_a_note_on_a_joined_import_is_of_the_line_that_it_has_become_a_part_of() -> None:
    source = "from channels.exceptions import DenyConnection\nfrom channels.layers import get_channel_layer\n"
    assert [finding.line for finding in port(source, native=True)[1]] == [1]


def test_a_native_layer_in_the_settings_is_said_to_be_read_by_compat_only() -> None:
    source = 'CHANNEL_LAYERS = {\n    "default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}\n}\n'
    ((line, text, kind),) = port(source, native=True)[1]
    assert (line, kind) == (2, Kind.LAYERS)
    assert text.startswith("CHANNEL_LAYERS: call channel_layers.configure({...})")
    assert port(source)[1] == []


@pytest.mark.parametrize("kind", ["send.json", "send_json"])
def test_a_message_for_send_json_is_left_to_a_person_natively(kind: str) -> None:
    source = f"""from channels.layers import get_channel_layer
SENT = "{kind}"
async def f():
    await get_channel_layer().group_send("room", {{"type": "{kind}", "text": "a"}})
"""
    found = [finding for finding in port(source, native=True)[1] if "send_json()" in finding.text]
    assert [(finding.line, finding.kind) for finding in found] == [(4, Kind.LEFT)]
    assert not any("send_json()" in finding.text for finding in port(source)[1])


def test_what_is_not_covered_is_named() -> None:
    source = (
        "from channels.testing import X\nimport daphne.server\nfuture.future\ncommunicator.future\na.output_queue\n"
    )
    for native, lines in ((False, [2]), (True, [2, 4, 5])):
        found = [finding for finding in port(source, native)[1] if finding.kind is Kind.UNCOVERED]
        assert [finding.line for finding in found] == lines


def test_a_renamed_name_keeps_its_local_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MOVES, "channels.layers.get_channel_layer", "consumers.layer")
    source = "from channels.layers import get_channel_layer\nfrom channels.layers import get_channel_layer as g\n"
    assert port(source, native=True)[0] == b"from consumers import layer as g, layer as get_channel_layer\n"
    source = "import channels.layers as cl, channels.layers\ncl.get_channel_layer, channels.layers.get_channel_layer\n"
    assert port(source, native=True)[0] == (
        b"import compat.channels.layers as cl, consumers\ncl.get_channel_layer, consumers.layer\n"
    )


@pytest.mark.parametrize(
    "source",
    [
        b"\xef\xbb\xbfimport channels.layers\n",
        b"\xef\xbb\xbf# coding: utf-8\r\nfrom channels.auth import login\r\n",
        "# -*- coding: latin-1 -*-\nfrom channels.auth import login\nx = 'café'\n".encode("latin-1"),
        "# coding: cp1251\nfrom channels.auth import login  # вход\n".encode("cp1251"),
        "é = 'é'; from channels.auth import login\n".encode(),
        b"from channels.auth import (\r\n\tlogin,\r\n)\r\n",
        b"from channels.auth import login",
        b"from channels.auth import login\r\nfrom channels.db import x\n",
        b"from channels . auth import \\\n    login\n".replace(b" . ", b"."),
    ],
)
def test_every_byte_but_the_names_survives(source: bytes) -> None:
    plain, _ = port(source)
    assert plain == source.replace(b"channels", b"compat.channels")
    assert port(plain)[0] == plain


def test_edits_that_overlap_are_refused() -> None:
    with pytest.raises(Unreadable, match="overlap"):
        Source(b"x = 1\n").edited([Edit(0, 3, "y"), Edit(2, 5, "z")])


def test_an_edit_that_breaks_the_code_is_refused() -> None:
    with pytest.raises(Unreadable, match="syntax error"):
        Source(b"x = 1\n").edited([Edit(0, 1, "(")])


def test_new_lines_are_like_the_others() -> None:
    source = b"from channels.routing import URLRouter, get_default_application\r\n"
    assert port(source, native=True)[0] == (
        b"from consumers import URLRouter\r\nfrom compat.channels.routing import get_default_application\r\n"
    )


@pytest.mark.parametrize(
    ("source", "line", "reason"),
    [
        (b"x = 1\nfrom channels.layers import (\n", 2, "was never closed"),
        (b"\nprint 'channels'\n", 2, "Missing parentheses"),
        (b"x = '\xe9'  # channels\n", 1, "utf-8"),
        (b"# coding: nonsense\nimport channels\n", None, "nonsense"),
        (b"import channels\x00\n", None, "null byte"),
        (b"import channels\rx = 1\n\r", None, "line endings"),
        (b"x = 1\n\x0cimport channels\n", None, "form feeds"),
    ],
)
def test_no_python_is_refused_with_the_line(source: bytes, line: int | None, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason) as refused:
        Source(source)
    assert refused.value.line == line or line is None


PIECES = st.lists(st.sampled_from([dedent(case[0]).strip("\n") for case in CASES.values()] + UNTOUCHED), max_size=6)


@settings(deadline=None)
@given(PIECES, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_any_mixture_is_ported_once_and_for_all(pieces: list[str], newline: str, native: bool, inside: bool) -> None:
    code = "\n".join(pieces)
    if inside:
        code = "def outer():\n    pass\n" + "\n".join(f"    {line}" if line else "" for line in code.split("\n"))
    ported, findings = port(code.replace("\n", newline), native)
    again, findings_again = port(ported, native)
    assert again == ported
    left = [finding for finding in findings if finding.kind is Kind.LEFT]
    assert [finding for finding in findings_again if finding.kind is Kind.LEFT] == left
    for line in code.split("\n"):
        if "#" in line:
            assert line[line.index("#") :].encode() in ported
