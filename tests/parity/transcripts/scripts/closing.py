"""Closing, by whichever side, and what is sent afterwards."""

from ..script import Handlers, at_once, connect, disconnect, group, open_gate, script, text


class Says(Handlers):
    """Does in receive() what the script is about."""

    def connect(self):
        yield self.channel_layer.group_add("room", self.channel_name)
        yield self.accept()

    def disconnect(self, code):
        yield self.channel_layer.group_discard("room", self.channel_name)


@script(connect(), disconnect(1006))
class ClosesInConnect(Handlers):
    def connect(self):
        yield self.close()


@script(connect(), disconnect(1006))
class ClosesInConnectWithACode(Handlers):
    def connect(self):
        yield self.close(code=4003, reason="no")


@script(connect(), disconnect(1006))
class ClosesInConnectWithACodeThatNoFrameCarries(Handlers):
    def connect(self):
        yield self.close(403)


@script(connect(), disconnect(1006))
class AcceptsAfterClosing(Handlers):
    def connect(self):
        yield self.close()
        yield self.accept()
        self.play.note("connect() goes on")


@script(connect(), disconnect(4000))
class AcceptsThenCloses(Handlers):
    def connect(self):
        yield self.accept()
        yield self.close(4000)


@script(connect(), text("bye"), disconnect(4001))
class ClosesWithCodeAndReason(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close(4001, reason=text_data)


@script(connect(), text("bye"), disconnect(1000))
class SendsAndCloses(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.send(text_data, close=True)


@script(connect(), text("bye"), disconnect(4002))
class SendsAndClosesWithACode(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.send(text_data, close=4002)


@script(connect(), text("bye"), disconnect(1000))
class ClosesTwice(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close()
        yield self.close(4000)
        self.play.note("receive() goes on")


@script(connect(), text("bye"), disconnect(1008))
class ClosesWithTooSmallACode(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close(999)


@script(connect(), text("bye"), disconnect(1008))
class ClosesWithTooLargeACode(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close(5000)


@script(connect(), text("bye"), disconnect(1008))
class ClosesWithAReservedCode(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close(1006, reason="lost")


@script(connect(), text("bye"), disconnect(1000))
class ClosesWithALongReason(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close(reason="x" * 124)


@script(connect(), text("bye"), group(type="chat.message"), disconnect(1000))
class ClosesThenGetsAGroupMessage(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close()

    def chat_message(self, event):
        yield self.send("late")
        self.play.note("chat_message() goes on")


@script(connect(), at_once(text("bye"), text("more")), disconnect(1000))
class ClosesWhileFramesWait(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close()


@script(connect(), text("bye"), disconnect(1000))
class SendsAfterClosing(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close()
        yield self.send("late")
        self.play.note("receive() goes on")


@script(connect(), disconnect())
class SendsInDisconnect(Handlers):
    def disconnect(self, code):
        yield self.send("late")
        self.play.note("disconnect() goes on")


@script(connect(), disconnect())
class ClosesInDisconnect(Handlers):
    def disconnect(self, code):
        yield self.close()
        self.play.note("disconnect() goes on")


@script(connect(), text("a"), disconnect(), open_gate("receive"))
class DisconnectWhileAHandlerRuns(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.play.wait("receive")
        self.play.note("receive() goes on")


@script(connect(), text("a"), disconnect(), open_gate("receive"))
class DisconnectWhileAHandlerIsAboutToSend(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.play.wait("receive")
        yield self.send(text_data)
        self.play.note("receive() goes on")


@script(connect(), at_once(text("a"), text("b"), text("c"), disconnect()))
class DisconnectWhileFramesWait(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield


@script(at_once(connect(), disconnect()), open_gate("connect"))
class DisconnectDuringConnect(Handlers):
    def connect(self):
        yield self.play.wait("connect")
        self.play.note("connect() goes on")


@script(connect(), text("a"), at_once(group(type="chat.message"), disconnect()), open_gate("receive"))
class DisconnectWhileAGroupMessageWaits(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.play.wait("receive")

    def chat_message(self, event):
        yield


@script(connect(), disconnect(), text("after the end"))
class FrameAfterTheDisconnect(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield


@script(connect(), text("bye"))
class EndsByHand(Says):
    def receive(self, text_data=None, bytes_data=None):
        yield self.websocket_disconnect({"type": "websocket.disconnect", "code": 4000})
