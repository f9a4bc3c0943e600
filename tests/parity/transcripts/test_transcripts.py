"""Plays every script and records what happened, for `tests/parity/run.py` to compare between the environments."""

import json

import pytest

from .probes import PROBES, outcome
from .script import BASES
from .scripts import SCRIPTS

PLAYS = [(name, flavour) for name, script in SCRIPTS.items() for flavour in BASES[script.kind]]


@pytest.mark.parametrize(("name", "flavour"), PLAYS, ids=map("-".join, PLAYS))
async def test_the_script_is_played(name, flavour, change_settings, record_property):
    script = SCRIPTS[name]
    change_settings(CHANNEL_LAYERS=script.channel_layers)
    transcript = await script.transcript(flavour)
    record_property("transcript", json.dumps(transcript))
    assert transcript


@pytest.mark.parametrize("name", [f"{name}-probe" for name in PROBES])
async def test_the_call_is_answered(name, record_property):
    answer = await outcome(PROBES[name.removesuffix("-probe")])
    record_property("transcript", json.dumps(answer))
    assert answer
