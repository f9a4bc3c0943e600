"""What the tests have in common: settings that they may change, and layers that no other test has used."""

import pytest

from tests.parity.setup import CHANNEL_LAYERS, settings


@pytest.fixture(autouse=True)
def usual_settings():
    with settings(CHANNEL_LAYERS=CHANNEL_LAYERS):
        yield


@pytest.fixture
def change_settings(request):
    """A function that changes settings until the test ends."""

    def change(**changed):
        block = settings(**changed)
        block.__enter__()
        request.addfinalizer(lambda: block.__exit__(None, None, None))

    return change
