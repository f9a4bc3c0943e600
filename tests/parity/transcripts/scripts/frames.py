"""The handshake and frames."""

from channels.exceptions import AcceptConnection, DenyConnection

from ..script import Handlers, at_once, binary, connect, disconnect, group, open_gate, script, text


@script(connect(), text("a"), group(type="chat.message", text="b"), text("c"), disconnect())
class Chat(Handlers):
    def connect(self):
        yield self.channel_layer.group_add("room", self.channel_name)
        yield self.accept()

    def receive(self, text_data=None, bytes_data=None):
        yield self.channel_layer.group_send("room", {"type": "chat.message", "text": text_data})

    def chat_message(self, event):
        yield self.send(event["text"])

    def disconnect(self, code):
        yield self.channel_layer.group_discard("room", self.channel_name)


@script(at_once(connect(), text("a"), text("b")), open_gate("accept"), disconnect())
class FramesBeforeTheAccept(Handlers):
    def connect(self):
        yield self.play.wait("accept")
        yield self.accept()

    def receive(self, text_data=None, bytes_data=None):
        yield self.send(text_data)


@script(connect(), text("early"), group(type="let.in"), text("late"), disconnect())
class AcceptsLater(Handlers):
    def connect(self):
        yield self.channel_layer.group_add("room", self.channel_name)

    def receive(self, text_data=None, bytes_data=None):
        self.play.note(f"got {text_data}")
        yield

    def let_in(self, event):
        yield self.accept()


@script(connect(), disconnect())
class NeverAnswersTheHandshake(Handlers):
    def connect(self):
        yield


@script(connect(), text("a"), disconnect())
class AcceptsByException(Handlers):
    def connect(self):
        yield
        raise AcceptConnection


@script(connect(), disconnect(1006))
class DeniesByException(Handlers):
    def connect(self):
        yield
        raise DenyConnection


@script(connect(), disconnect())
class AcceptsWithASubprotocol(Handlers):
    def connect(self):
        yield self.accept("chat", headers=[(b"x-room", b"1")])


@script(connect(), disconnect(1006))
class AcceptsWithASubprotocolNobodyOffers(Handlers):
    def connect(self):
        yield self.accept(subprotocol="other")


@script(connect(), disconnect())
class AcceptsTwice(Handlers):
    def connect(self):
        yield self.accept()
        yield self.accept()


@script(connect(), disconnect())
class SendsBeforeTheAccept(Handlers):
    def connect(self):
        yield self.send("too early")
        yield self.accept()


@script(connect(), text(""), text("a"), binary(b""), binary(b"b"), disconnect())
class Echo(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.send(text_data, bytes_data)


@script(connect(), binary(b"b"), text("a"), disconnect())
class BinaryFrameToATextReceiver(Handlers):
    def receive(self, text_data):
        yield self.send(text_data)


@script(connect(), text("a"), binary(b"b"), disconnect())
class TextFrameToABinaryReceiver(Handlers):
    def receive(self, bytes_data):
        yield self.send(bytes_data=bytes_data)


@script(connect(), text("a"), disconnect())
class SendsNothing(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        try:
            yield self.send()
        except ValueError:
            self.play.note("ValueError")


@script(connect(), text('{"a": [1]}'), disconnect(), kind="json")
class JsonEcho(Handlers):
    def receive_json(self, content):
        yield self.send_json(content)


@script(connect(), text("[1]"), disconnect(), kind="json")
class JsonAndClose(Handlers):
    def receive_json(self, content):
        yield self.send_json(content, close=True)


@script(connect(), text("no JSON"), disconnect(), kind="json")
class TextThatIsNoJson(Handlers):
    def receive_json(self, content):
        yield


@script(connect(), text(""), disconnect(), kind="json")
class EmptyTextToJson(Handlers):
    def receive_json(self, content):
        yield


@script(connect(), binary(b"1"), disconnect(), kind="json")
class BinaryFrameToJson(Handlers):
    def receive_json(self, content):
        yield


@script(connect(), text("1"), disconnect(), kind="json")
class JsonThatCannotBeEncoded(Handlers):
    def receive_json(self, content):
        try:
            yield self.send_json(object())
        except TypeError:
            self.play.note("TypeError")
