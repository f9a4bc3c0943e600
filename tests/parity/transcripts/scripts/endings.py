"""StopConsumer, wherever it may be raised."""

from channels.exceptions import StopConsumer

from ..script import Handlers, at_once, connect, disconnect, group, script, text


@script(connect())
class StopsInConnect(Handlers):
    def connect(self):
        yield
        raise StopConsumer


@script(connect())
class StopsInConnectAfterTheAccept(Handlers):
    def connect(self):
        yield self.accept()
        raise StopConsumer


@script(connect(), at_once(text("a"), text("b")))
class StopsInReceive(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield
        raise StopConsumer


@script(connect(), text("a"))
class ClosesAndStopsInReceive(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close(4000)
        raise StopConsumer


@script(connect(), group(type="chat.message"))
class StopsInAGroupHandler(Handlers):
    groups = ["room"]

    def chat_message(self, event):
        yield
        raise StopConsumer


@script(connect(), disconnect())
class StopsInDisconnect(Handlers):
    def disconnect(self, code):
        yield
        raise StopConsumer


@script(connect(), disconnect())
class OverridesWebsocketDisconnect(Handlers):
    def websocket_disconnect(self, message):
        yield
        raise StopConsumer


@script(connect(), text("a"), disconnect())
class OverridesTheEventHandlers(Handlers):
    def websocket_connect(self, message):
        yield self.accept()

    def websocket_receive(self, message):
        yield self.send(message["text"])
