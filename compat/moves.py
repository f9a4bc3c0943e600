"""Where every public name of Channels 4.3 is now.

The one table behind the import hook, the porting tool and the documentation.
"""

from itertools import accumulate

MOVES = {
    "channels.DEFAULT_CHANNEL_LAYER": "compat.channels.DEFAULT_CHANNEL_LAYER",
    "channels.apps.ChannelsConfig": "compat.channels.apps.ChannelsConfig",
    "channels.auth.AuthMiddleware": "compat.channels.auth.AuthMiddleware",
    "channels.auth.AuthMiddlewareStack": "compat.channels.auth.AuthMiddlewareStack",
    "channels.auth.UserLazyObject": "compat.channels.auth.UserLazyObject",
    "channels.auth.get_user": "compat.channels.auth.get_user",
    "channels.auth.login": "compat.channels.auth.login",
    "channels.auth.logout": "compat.channels.auth.logout",
    "channels.consumer.AsyncConsumer": "consumers.AsyncConsumer",
    "channels.consumer.SyncConsumer": "consumers.SyncConsumer",
    "channels.consumer.get_handler_name": "compat.channels.consumer.get_handler_name",
    "channels.db.DatabaseSyncToAsync": "compat.channels.db.DatabaseSyncToAsync",
    "channels.db.aclose_old_connections": "compat.channels.db.aclose_old_connections",
    "channels.db.database_sync_to_async": "compat.channels.db.database_sync_to_async",
    "channels.exceptions.AcceptConnection": "consumers.AcceptConnection",
    "channels.exceptions.ChannelFull": "consumers.ChannelFull",
    "channels.exceptions.DenyConnection": "consumers.DenyConnection",
    "channels.exceptions.InvalidChannelLayerError": "consumers.InvalidChannelLayerError",
    "channels.exceptions.MessageTooLarge": "consumers.MessageTooLarge",
    "channels.exceptions.RequestAborted": "consumers.RequestAborted",
    "channels.exceptions.RequestTimeout": "consumers.RequestTimeout",
    "channels.exceptions.StopConsumer": "consumers.StopConsumer",
    "channels.generic.http.AsyncHttpConsumer": "consumers.AsyncHttpConsumer",
    "channels.generic.websocket.AsyncJsonWebsocketConsumer": "consumers.AsyncJsonWebsocketConsumer",
    "channels.generic.websocket.AsyncWebsocketConsumer": "consumers.AsyncWebsocketConsumer",
    "channels.generic.websocket.JsonWebsocketConsumer": "consumers.JsonWebsocketConsumer",
    "channels.generic.websocket.WebsocketConsumer": "consumers.WebsocketConsumer",
    "channels.layers.BaseChannelLayer": "consumers.BaseChannelLayer",
    "channels.layers.ChannelLayerManager": "consumers.layers.registry.ChannelLayerManager",
    "channels.layers.InMemoryChannelLayer": "consumers.InMemoryChannelLayer",
    "channels.layers.channel_layers": "consumers.channel_layers",
    "channels.layers.get_channel_layer": "consumers.get_channel_layer",
    "channels.management.commands.runworker.Command": "compat.channels.management.commands.runworker.Command",
    "channels.middleware.BaseMiddleware": "compat.channels.middleware.BaseMiddleware",
    "channels.routing.ChannelNameRouter": "consumers.ChannelNameRouter",
    "channels.routing.ProtocolTypeRouter": "consumers.ProtocolTypeRouter",
    "channels.routing.URLRouter": "consumers.URLRouter",
    "channels.routing.get_default_application": "compat.channels.routing.get_default_application",
    "channels.security.websocket.AllowedHostsOriginValidator": "consumers.AllowedHostsOriginValidator",
    "channels.security.websocket.OriginValidator": "consumers.OriginValidator",
    "channels.security.websocket.WebsocketDenier": "compat.channels.security.websocket.WebsocketDenier",
    "channels.sessions.CookieMiddleware": "compat.channels.sessions.CookieMiddleware",
    "channels.sessions.InstanceSessionWrapper": "compat.channels.sessions.InstanceSessionWrapper",
    "channels.sessions.SessionMiddleware": "compat.channels.sessions.SessionMiddleware",
    "channels.sessions.SessionMiddlewareStack": "compat.channels.sessions.SessionMiddlewareStack",
    "channels.testing.ApplicationCommunicator": "consumers.testing.ApplicationCommunicator",
    "channels.testing.ChannelsLiveServerTestCase": "compat.channels.testing.ChannelsLiveServerTestCase",
    "channels.testing.HttpCommunicator": "consumers.testing.HttpCommunicator",
    "channels.testing.WebsocketCommunicator": "consumers.testing.WebsocketCommunicator",
    "channels.testing.application.ApplicationCommunicator": "consumers.testing.ApplicationCommunicator",
    "channels.testing.http.HttpCommunicator": "consumers.testing.HttpCommunicator",
    "channels.testing.live.ChannelsLiveServerTestCase": "compat.channels.testing.live.ChannelsLiveServerTestCase",
    "channels.testing.websocket.WebsocketCommunicator": "consumers.testing.WebsocketCommunicator",
    "channels.utils.await_many_dispatch": "compat.channels.utils.await_many_dispatch",
    "channels.utils.name_that_thing": "compat.channels.utils.name_that_thing",
    "channels.worker.Worker": "compat.channels.worker.Worker",
    "channels_redis.core.ChannelFull": "consumers.ChannelFull",
    "channels_redis.core.RedisChannelLayer": "consumers.layers.redis.RedisChannelLayer",
    "channels_redis.pubsub.RedisPubSubChannelLayer": "consumers.layers.redis.RedisPubSubChannelLayer",
    "channels_redis.serializers.BaseMessageSerializer": "consumers.layers.codec.BaseMessageSerializer",
    "channels_redis.serializers.JSONSerializer": "consumers.layers.codec.JSONSerializer",
    "channels_redis.serializers.MsgPackSerializer": "consumers.layers.codec.MsgPackSerializer",
    "channels_redis.serializers.SerializerDoesNotExist": "consumers.layers.codec.SerializerDoesNotExist",
    "channels_redis.serializers.SerializersRegistry": "consumers.layers.codec.SerializersRegistry",
    "channels_redis.serializers.registry": "consumers.layers.codec.registry",
    "channels_redis.utils._close_redis": "compat.channels_redis.utils._close_redis",
    "channels_redis.utils._consistent_hash": "compat.channels_redis.utils._consistent_hash",
    "channels_redis.utils.create_pool": "compat.channels_redis.utils.create_pool",
    "channels_redis.utils.decode_hosts": "compat.channels_redis.utils.decode_hosts",
    "django.urls.path": "consumers.path",
    "django.urls.re_path": "consumers.re_path",
    "django.urls.register_converter": "consumers.register_converter",
}
"""Old dotted name → new dotted name. Under `compat.` in front of the old name there is each of them too."""

BY_HAND = {
    "channels.security.websocket.AllowedHostsOriginValidator": "pass the hosts as its second argument, such as "
    'AllowedHostsOriginValidator(app, ["example.com"]): there are no settings to read them from',
    "channels.layers.get_channel_layer": "call channel_layers.configure({...}) where the application is made: the "
    "CHANNEL_LAYERS setting is read by compat only",
}
"""What a change to the new name asks of a person, by old name."""

MODULES = frozenset(
    prefix for name in MOVES for prefix in list(accumulate(name.split("."), lambda *parts: ".".join(parts)))[:-1]
)
"""The modules that the old names are in, and their packages."""

INSTEAD = {
    "receive_single": "override receive()",
    "connection": "give redis-py's arguments in `hosts`",
    "create_pool": "give redis-py's arguments in `hosts`",
    "close_pools": "override close()",
    "wait_received": "override close()",
}
"""Methods of channels_redis' layers that a subclass cannot override here, and what to do instead."""
