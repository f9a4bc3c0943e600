"""What an import of one module of Channels brings: code reaches the others as attributes of the package."""

import subprocess
import sys

import pytest

BRINGS = {
    "channels.consumer": ["channels.db", "channels.exceptions", "channels.layers", "channels.utils"],
    "channels.db": ["channels"],
    "channels.exceptions": ["channels"],
    "channels.generic.http": ["channels.consumer", "channels.exceptions"],
    "channels.generic.websocket": ["channels.consumer", "channels.db", "channels.exceptions", "channels.layers"],
    "channels.layers": ["channels.exceptions"],
    "channels.security.websocket": ["channels.generic.websocket"],
    "channels.sessions": ["channels.db"],
    "channels.testing": [
        "channels.routing",
        "channels.testing.application",
        "channels.testing.http",
        "channels.testing.websocket",
    ],
    "channels.worker": ["channels"],
}

PROGRAM = """
import importlib
if {is_compat}:
    import compat
    compat.install()
if {has_django}:
    import django
    django.setup()
import {module}
for name in {brings}:
    value = channels
    for part in name.split(".")[1:]:
        value = getattr(value, part)
    assert value is importlib.import_module(name), name
"""


@pytest.mark.parametrize("module", BRINGS)
def test_an_import_brings_other_modules(module):
    import channels

    is_compat = channels.__file__.endswith("compat/channels/__init__.py")
    has_django = "django.conf" in sys.modules
    program = PROGRAM.format(is_compat=is_compat, has_django=has_django, module=module, brings=BRINGS[module])
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
