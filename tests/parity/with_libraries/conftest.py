"""A layer that no other test has used, and no task that outlives its test."""

import asyncio
import os

import pytest

from . import IS_COMPAT

if os.environ.get("DJANGO_SETTINGS_MODULE") != "tests.parity.with_libraries.settings":
    collect_ignore_glob = ["test_*.py"]  # a run over all of `parity`, with other settings
else:

    @pytest.fixture(autouse=True)
    def layer(settings):
        """The layer, made anew."""
        from channels.layers import get_channel_layer

        settings.CHANNEL_LAYERS = settings.CHANNEL_LAYERS
        return get_channel_layer()

    @pytest.fixture(autouse=True)
    async def no_task_is_left():
        yield
        if not IS_COMPAT:  # an error leaves Channels' receive on the layer running
            return
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=5)
        assert not [task for task in others if not task.done()]
