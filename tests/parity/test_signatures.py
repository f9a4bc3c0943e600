"""What the public methods take, and which of them are coroutines."""

import importlib
import inspect

import pytest

# The parameters by which Channels' documentation and its users call them; before a "/" by position alone. Others may
# follow if they need not be given.
FUNCTIONS = {
    "channels.consumer.get_handler_name": "message",
    "channels.layers.get_channel_layer": "alias='default'",
    "channels.routing.get_default_application": "",
    "channels.security.websocket.AllowedHostsOriginValidator": "application",
    "channels.utils.name_that_thing": "thing",
    "channels.layers.ChannelLayerManager.__init__": "self",
    "channels.layers.ChannelLayerManager.make_backend": "self, name, /",
    "channels.layers.ChannelLayerManager.make_test_backend": "self, name, /",
    "channels.layers.ChannelLayerManager.set": "self, key, layer, /",
    "channels.layers.BaseChannelLayer.__init__": "self, expiry=60, capacity=100, channel_capacity=None",
    "channels.layers.BaseChannelLayer.compile_capacities": "self, channel_capacity",
    "channels.layers.BaseChannelLayer.get_capacity": "self, channel",
    "channels.layers.BaseChannelLayer.match_type_and_length": "self, name",
    "channels.layers.BaseChannelLayer.non_local_name": "self, name",
    "channels.layers.BaseChannelLayer.require_valid_channel_name": "self, name, receive=False",
    "channels.layers.BaseChannelLayer.require_valid_group_name": "self, name",
    "channels.layers.BaseChannelLayer.valid_channel_name": "self, channel_name, receive=False",
    "channels.layers.BaseChannelLayer.valid_channel_names": "self, names, receive=False",
    "channels.layers.BaseChannelLayer.valid_group_name": "self, group_name",
    "channels.layers.InMemoryChannelLayer.__init__": (
        "self, expiry=60, group_expiry=86400, capacity=100, channel_capacity=None"
    ),
    "channels.middleware.BaseMiddleware.__init__": "self, inner",
    "channels.routing.ChannelNameRouter.__init__": "self, application_mapping",
    "channels.routing.ProtocolTypeRouter.__init__": "self, application_mapping",
    "channels.routing.URLRouter.__init__": "self, routes",
    "channels.security.websocket.OriginValidator.__init__": "self, application, allowed_origins",
    "channels.security.websocket.OriginValidator.get_origin_port": "self, origin",
    "channels.security.websocket.OriginValidator.match_allowed_origin": "self, parsed_origin, pattern",
    "channels.security.websocket.OriginValidator.valid_origin": "self, parsed_origin",
    "channels.security.websocket.OriginValidator.validate_origin": "self, parsed_origin",
    "channels.testing.ApplicationCommunicator.__init__": "self, application, scope",
    "channels.testing.ApplicationCommunicator.stop": "self, exceptions=True",
    "channels.testing.HttpCommunicator.__init__": "self, application, method, path, body=b'', headers=None",
    "channels.testing.WebsocketCommunicator.__init__": (
        "self, application, path, headers=None, subprotocols=None, spec_version=None"
    ),
    "channels.worker.Worker.__init__": "self, application, channels, channel_layer, max_applications=1000",
    "channels.worker.Worker.run": "self",
}

COROUTINES = {
    "channels.consumer.AsyncConsumer.__call__": "self, scope, receive, send",
    "channels.consumer.AsyncConsumer.dispatch": "self, message",
    "channels.consumer.AsyncConsumer.send": "self, message",
    "channels.consumer.SyncConsumer.__call__": "self, scope, receive, send",
    "channels.db.aclose_old_connections": "",
    "channels.generic.http.AsyncHttpConsumer.disconnect": "self",
    "channels.generic.http.AsyncHttpConsumer.handle": "self, body",
    "channels.generic.http.AsyncHttpConsumer.http_disconnect": "self, message",
    "channels.generic.http.AsyncHttpConsumer.http_request": "self, message",
    "channels.generic.http.AsyncHttpConsumer.send_body": "self, body, *, more_body=False",
    "channels.generic.http.AsyncHttpConsumer.send_headers": "self, *, status=200, headers=None",
    "channels.generic.http.AsyncHttpConsumer.send_response": "self, status, body, **kwargs",
    "channels.layers.BaseChannelLayer.flush": "self",
    "channels.layers.BaseChannelLayer.group_add": "self, group, channel",
    "channels.layers.BaseChannelLayer.group_discard": "self, group, channel",
    "channels.layers.BaseChannelLayer.group_send": "self, group, message",
    "channels.layers.BaseChannelLayer.new_channel": "self",
    "channels.layers.BaseChannelLayer.receive": "self, channel",
    "channels.layers.BaseChannelLayer.send": "self, channel, message",
    "channels.layers.InMemoryChannelLayer.close": "self",
    "channels.layers.InMemoryChannelLayer.new_channel": "self, prefix='specific.'",
    "channels.middleware.BaseMiddleware.__call__": "self, scope, receive, send",
    "channels.routing.ChannelNameRouter.__call__": "self, scope, receive, send",
    "channels.routing.ProtocolTypeRouter.__call__": "self, scope, receive, send",
    "channels.routing.URLRouter.__call__": "self, scope, receive, send",
    "channels.security.websocket.OriginValidator.__call__": "self, scope, receive, send",
    "channels.security.websocket.WebsocketDenier.connect": "self",
    "channels.testing.ApplicationCommunicator.receive_nothing": "self, timeout=0.1, interval=0.01",
    "channels.testing.ApplicationCommunicator.receive_output": "self, timeout=1",
    "channels.testing.ApplicationCommunicator.send_input": "self, message",
    "channels.testing.ApplicationCommunicator.wait": "self, timeout=1",
    "channels.testing.HttpCommunicator.get_response": "self, timeout=1",
    "channels.testing.WebsocketCommunicator.connect": "self, timeout=1",
    "channels.testing.WebsocketCommunicator.disconnect": "self, code=1000, timeout=1",
    "channels.testing.WebsocketCommunicator.receive_from": "self, timeout=1",
    "channels.testing.WebsocketCommunicator.receive_json_from": "self, timeout=1",
    "channels.testing.WebsocketCommunicator.send_json_to": "self, data",
    "channels.testing.WebsocketCommunicator.send_to": "self, text_data=None, bytes_data=None",
    "channels.utils.await_many_dispatch": "consumer_callables, dispatch",
    "channels.worker.Worker.handle": "self",
}

WEBSOCKET = {
    "accept": "self, subprotocol=None, headers=None",
    "close": "self, code=None, reason=None",
    "connect": "self",
    "disconnect": "self, code",
    "receive": "self, text_data=None, bytes_data=None",
    "send": "self, text_data=None, bytes_data=None, close=False",
    "websocket_connect": "self, message",
    "websocket_disconnect": "self, message",
    "websocket_receive": "self, message",
}
JSON = {
    "decode_json": "text_data",
    "encode_json": "content",
    "receive": "self, text_data=None, bytes_data=None, **kwargs",
    "receive_json": "self, content, **kwargs",
    "send_json": "self, content, close=False",
}
for methods, name in ((WEBSOCKET, "WebsocketConsumer"), (JSON, "JsonWebsocketConsumer")):
    for method, parameters in methods.items():
        FUNCTIONS[f"channels.generic.websocket.{name}.{method}"] = parameters
        COROUTINES[f"channels.generic.websocket.Async{name}.{method}"] = parameters


def found(dotted):
    module, names = dotted, []
    while True:
        try:
            thing = importlib.import_module(module)
            break
        except ImportError:
            module, _, name = module.rpartition(".")
            names.insert(0, name)
    for name in names:
        thing = getattr(thing, name)
    return thing


def parameters_of(function):
    return list(inspect.signature(function).parameters.values())


@pytest.mark.parametrize("name", [*FUNCTIONS, *COROUTINES])
def test_parameters_are_those_of_channels(name):
    listed = {**FUNCTIONS, **COROUTINES}[name]
    expected = parameters_of(eval(f"lambda {listed}: None"))
    actual = parameters_of(found(name))
    others = actual[len(expected) :]
    for wanted, given in zip(expected, actual, strict=False):
        if wanted.kind is not wanted.POSITIONAL_ONLY:
            assert (given.name, given.kind, given.default) == (wanted.name, wanted.kind, wanted.default)
    assert len(actual) >= len(expected)
    assert all(other.default is not other.empty or other.kind in (other.VAR_KEYWORD,) for other in others)


@pytest.mark.parametrize("name", COROUTINES)
def test_what_is_awaited_is_a_coroutine_function(name):
    assert inspect.iscoroutinefunction(found(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_is_called_is_a_plain_function(name):
    assert not inspect.iscoroutinefunction(found(name))
