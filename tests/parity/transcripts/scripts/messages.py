"""Messages by their type: from the layer, and events of protocols of one's own."""

from channels.exceptions import StopConsumer

from ..script import Handlers, at_once, connect, disconnect, event, group, script


class InTheRoom(Handlers):
    """A member of the group "room" by its class attribute."""

    groups = ["room"]


@script(connect(), group(type="no.such.type"))
class UnknownTypeFromTheLayer(InTheRoom):
    pass


@script(connect(), group(text="a"))
class NoTypeFromTheLayer(InTheRoom):
    pass


@script(connect(), group(type="_private.method"))
class LeadingUnderscoreFromTheLayer(InTheRoom):
    def _private_method(self, event):
        yield


@script(connect(), group(type="websocket.disconnect", code=1000), disconnect())
class TheLayerNamesAnEventHandler(InTheRoom):
    pass


@script(connect(), group(type="close"), disconnect())
class TheLayerNamesClose(InTheRoom):
    pass


@script(connect(), group(type="send.json", text="a"), disconnect(), kind="json")
class TheLayerNamesSendJson(InTheRoom):
    pass


@script(connect(), group(type="own_name", a=1), group(type="own.name", a=2), disconnect())
class DotsAndUnderscores(InTheRoom):
    def own_name(self, event):
        self.play.note(f"own_name {event['a']}")
        yield


@script(connect(), event("websocket.unheard"))
class UnknownEventOfTheServer(Handlers):
    pass


@script(
    event("test.one", a=1), at_once(event("test.two", b=2), event("test.one", a=3)), event("test.stop"), kind="plain"
)
class AProtocolOfOnesOwn:
    def test_one(self, message):
        yield self.send({"type": "test.answer", "a": message["a"]})

    def test_two(self, message):
        yield

    def test_stop(self, message):
        yield
        raise StopConsumer


@script(event("test.one"), group(type="chat.message", text="a"), event("test.two"), kind="plain")
class APlainConsumerInAGroup:
    def test_one(self, message):
        yield self.channel_layer.group_add("room", self.channel_name)

    def chat_message(self, event):
        yield self.send({"type": "test.answer", "text": event["text"]})

    def test_two(self, message):
        yield self.channel_layer.group_discard("room", self.channel_name)
        raise StopConsumer


@script(event("test.unknown"), kind="plain")
class APlainConsumerGetsAnUnknownEvent:
    pass


@script(event("websocket.connect"), disconnect(), kind="plain", scope={"type": "websocket"})
class APlainConsumerWithoutADisconnectHandler:
    def websocket_connect(self, message):
        yield self.send({"type": "websocket.accept"})


@script(
    event("work", number=1),
    event("work", number=2),
    kind="plain",
    scope={"type": "channel", "channel": "work"},
)
class AChannelOfAWorker:
    def work(self, message):
        self.play.note(f"work {message['number']} for {self.scope['channel']}")
        yield
