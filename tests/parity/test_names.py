"""The names of Channels, where they are imported from, and which classes derive from which."""

import channels
import pytest
from channels import consumer, db, exceptions, layers, middleware, routing, testing, utils, worker
from channels.generic import http, websocket
from channels.security import websocket as security

SUBCLASSES = [
    (consumer.SyncConsumer, consumer.AsyncConsumer),
    (websocket.AsyncWebsocketConsumer, consumer.AsyncConsumer),
    (websocket.WebsocketConsumer, consumer.SyncConsumer),
    (websocket.AsyncJsonWebsocketConsumer, websocket.AsyncWebsocketConsumer),
    (websocket.JsonWebsocketConsumer, websocket.WebsocketConsumer),
    (http.AsyncHttpConsumer, consumer.AsyncConsumer),
    (security.WebsocketDenier, websocket.AsyncWebsocketConsumer),
    (layers.InMemoryChannelLayer, layers.BaseChannelLayer),
    (testing.HttpCommunicator, testing.ApplicationCommunicator),
    (testing.WebsocketCommunicator, testing.ApplicationCommunicator),
    (exceptions.InvalidChannelLayerError, ValueError),
    (exceptions.RequestTimeout, exceptions.RequestAborted),
]

UNRELATED = [
    (websocket.AsyncWebsocketConsumer, consumer.SyncConsumer),
    (websocket.WebsocketConsumer, websocket.AsyncWebsocketConsumer),
    (websocket.AsyncWebsocketConsumer, websocket.AsyncJsonWebsocketConsumer),
    (exceptions.StopConsumer, ValueError),
    (exceptions.ChannelFull, ValueError),
    (exceptions.RequestAborted, exceptions.RequestTimeout),
]

EXCEPTIONS = [
    "AcceptConnection",
    "ChannelFull",
    "DenyConnection",
    "InvalidChannelLayerError",
    "MessageTooLarge",
    "RequestAborted",
    "RequestTimeout",
    "StopConsumer",
]


@pytest.mark.parametrize(("derived", "base"), SUBCLASSES)
def test_classes_derive_as_in_channels(derived, base):
    assert issubclass(derived, base)


@pytest.mark.parametrize(("derived", "base"), UNRELATED)
def test_other_classes_do_not(derived, base):
    assert not issubclass(derived, base)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_caught_by_their_names(name):
    exception = getattr(exceptions, name)
    assert issubclass(exception, Exception)
    assert exception.__name__ == name
    with pytest.raises(exception, match="why"):
        raise exception("why")


def test_names_are_the_same_wherever_they_are_imported_from():
    assert consumer.StopConsumer is websocket.StopConsumer is http.StopConsumer is exceptions.StopConsumer
    assert websocket.AcceptConnection is exceptions.AcceptConnection
    assert websocket.DenyConnection is exceptions.DenyConnection
    assert layers.ChannelFull is exceptions.ChannelFull
    assert layers.InvalidChannelLayerError is websocket.InvalidChannelLayerError is exceptions.InvalidChannelLayerError
    assert http.AsyncConsumer is websocket.AsyncConsumer is consumer.AsyncConsumer
    assert websocket.SyncConsumer is consumer.SyncConsumer
    assert security.AsyncWebsocketConsumer is websocket.AsyncWebsocketConsumer
    assert consumer.get_channel_layer is layers.get_channel_layer
    assert consumer.database_sync_to_async is db.database_sync_to_async
    assert consumer.await_many_dispatch is utils.await_many_dispatch


def test_the_package_has_a_version_and_the_default_alias():
    assert channels.__version__.startswith("4.3.")
    assert channels.DEFAULT_CHANNEL_LAYER == layers.DEFAULT_CHANNEL_LAYER == "default"


def test_modules_have_their_public_names():
    assert isinstance(layers.channel_layers, layers.ChannelLayerManager)
    assert middleware.BaseMiddleware and worker.Worker and utils.await_many_dispatch
    assert db.database_sync_to_async is db.DatabaseSyncToAsync
    assert routing.URLRouter and routing.ProtocolTypeRouter and routing.ChannelNameRouter
    assert testing.ApplicationCommunicator.__module__.endswith("testing.application")
    assert testing.HttpCommunicator.__module__.endswith("testing.http")
    assert testing.WebsocketCommunicator.__module__.endswith("testing.websocket")


def test_layers_are_instances_of_their_classes():
    layer = layers.get_channel_layer()
    assert isinstance(layer, layers.InMemoryChannelLayer)
    assert isinstance(layer, layers.BaseChannelLayer)
    assert isinstance(websocket.JsonWebsocketConsumer(), websocket.WebsocketConsumer)
