"""docs/reference/servers.md: its table of limits is uvicorn's and `serve()`'s; tests/servers has the other tables."""

import re

import uvicorn

from consumers.server.settings import MIB, SETTINGS

from ..support.pages import ROOT

TEXT = (ROOT / "docs/reference/servers.md").read_text(encoding="utf-8")

SHOWN = {16 * MIB: "16 MiB", MIB: "1 MiB", True: "on", False: "off", 20: "20"}


def test_the_limits_are_those_of_uvicorn_and_of_serve() -> None:
    section = TEXT.partition("## Limits of the servers\n")[2]
    rows = re.findall(r"^\| [^|]+ \| (\S+(?: MiB)?) \(`--([\w-]+)`\) \| (.+?) \|$", section, re.MULTILINE)
    assert len(rows) == 5
    config = uvicorn.Config("app")
    for theirs, option, here in rows:
        name = option.replace("-", "_")
        assert (theirs, here) == (SHOWN[getattr(config, name)], SHOWN[SETTINGS[name]]), option
