"""The channel layers by alias."""

import pytest
from channels import layers
from channels.exceptions import InvalidChannelLayerError
from channels.layers import ChannelLayerManager, InMemoryChannelLayer, channel_layers, get_channel_layer

BACKEND = "channels.layers.InMemoryChannelLayer"


def test_a_layer_is_found_by_its_alias(change_settings):
    change_settings(
        CHANNEL_LAYERS={
            "default": {"BACKEND": BACKEND, "CONFIG": {"capacity": 7}},
            "other": {"BACKEND": BACKEND, "CONFIG": {"expiry": 5}},
        }
    )
    assert get_channel_layer().capacity == get_channel_layer("default").capacity == 7
    assert get_channel_layer(alias="other").expiry == 5
    assert channel_layers["other"] is get_channel_layer("other")
    assert get_channel_layer() is get_channel_layer()
    assert get_channel_layer() is not get_channel_layer("other")


def test_an_alias_that_is_not_configured_has_no_layer():
    assert get_channel_layer("nowhere") is None
    assert "nowhere" not in channel_layers
    assert "default" in channel_layers
    with pytest.raises(KeyError):
        channel_layers["nowhere"]


def test_without_settings_there_is_no_layer(change_settings):
    change_settings(CHANNEL_LAYERS={})
    assert get_channel_layer() is None


def test_new_settings_make_new_layers(change_settings):
    old = get_channel_layer()
    change_settings(CHANNEL_LAYERS={"default": {"BACKEND": BACKEND, "CONFIG": {"capacity": 9}}})
    assert get_channel_layer() is not old
    assert get_channel_layer().capacity == 9


def test_a_layer_may_be_swapped():
    mine = InMemoryChannelLayer()
    old = channel_layers.set("default", mine)
    try:
        assert get_channel_layer() is mine
        assert channel_layers.set("default", mine) is mine
    finally:
        channel_layers.set("default", old)


def test_a_test_configuration_makes_another_layer(change_settings):
    change_settings(
        CHANNEL_LAYERS={
            "default": {"BACKEND": BACKEND, "CONFIG": {"capacity": 7}, "TEST_CONFIG": {"capacity": 70}},
            "untested": {"BACKEND": BACKEND},
        }
    )
    assert channel_layers.make_test_backend("default").capacity == 70
    assert channel_layers.make_backend("default").capacity == 7
    assert channel_layers.make_backend("default") is not channel_layers.make_backend("default")
    with pytest.raises(InvalidChannelLayerError, match="TEST_CONFIG"):
        channel_layers.make_test_backend("untested")


def test_a_backend_that_is_not_there_is_an_error(change_settings):
    change_settings(CHANNEL_LAYERS={"default": {"BACKEND": "channels.layers.NoSuchLayer"}})
    with pytest.raises(InvalidChannelLayerError, match=r"channels\.layers\.NoSuchLayer"):
        get_channel_layer()


def test_a_module_that_is_not_there_is_an_error(change_settings):
    change_settings(CHANNEL_LAYERS={"default": {"BACKEND": "no_such_module.Layer"}})
    with pytest.raises(InvalidChannelLayerError, match=r"no_such_module\.Layer"):
        get_channel_layer()


class Foreign:
    """A layer that derives from nothing."""

    def __init__(self, hosts=(), **config):
        self.hosts = hosts


def test_a_backend_may_be_anybodys_class(change_settings):
    backend = f"{Foreign.__module__}.Foreign"
    change_settings(CHANNEL_LAYERS={"default": {"BACKEND": backend, "CONFIG": {"hosts": ["a"]}}})
    layer = get_channel_layer()
    assert isinstance(layer, Foreign)
    assert layer.hosts == ["a"]


def test_a_manager_knows_the_settings():
    manager = ChannelLayerManager() if layers.channel_layers is None else channel_layers
    assert set(manager.configs) == {"default"}
    assert manager.configs["default"]["BACKEND"].endswith(BACKEND)
