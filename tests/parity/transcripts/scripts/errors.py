"""What an error of the application's does."""

from ..script import AppError, Handlers, cancel, connect, disconnect, group, open_gate, script, text


class InAGroup(Handlers):
    """A consumer that has something to clean up."""

    def connect(self):
        yield self.channel_layer.group_add("room", self.channel_name)
        yield self.accept()

    def disconnect(self, code):
        yield self.channel_layer.group_discard("room", self.channel_name)


@script(connect())
class ErrorInConnect(Handlers):
    def connect(self):
        yield
        raise AppError


@script(connect())
class ErrorInConnectAfterTheAccept(InAGroup):
    def connect(self):
        yield self.channel_layer.group_add("room", self.channel_name)
        yield self.accept()
        raise AppError


@script(connect(), text("a"))
class ErrorInReceive(InAGroup):
    def receive(self, text_data=None, bytes_data=None):
        yield
        raise AppError


@script(connect(), group(type="chat.message"))
class ErrorInAGroupHandler(InAGroup):
    def chat_message(self, event):
        yield
        raise AppError


@script(connect(), disconnect())
class ErrorInDisconnect(Handlers):
    def disconnect(self, code):
        yield
        raise AppError


@script(connect(), text("a"))
class ErrorInReceiveAndInDisconnect(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield
        raise AppError

    def disconnect(self, code):
        yield
        raise KeyError


@script(connect(), text("a"))
class ErrorAfterClosing(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.close(4000)
        raise AppError


@script(connect(), text("a"), text("b"), open_gate("receive"))
class ErrorWhileFramesWait(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.play.wait("receive")
        raise AppError


@script(connect(), text("a"), disconnect(), open_gate("receive"))
class ErrorAfterTheDisconnect(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.play.wait("receive")
        raise AppError


@script(connect(), text("a"), disconnect(1006), send_fails_from=1)
class TheServerCannotSend(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.send("a")
        self.play.note("receive() goes on")


@script(connect(), cancel())
class TheServerCancels(InAGroup):
    pass


@script(connect(), text("a"), cancel(), open_gate("receive"))
class TheServerCancelsAHandler(InAGroup):
    def receive(self, text_data=None, bytes_data=None):
        yield self.play.wait("receive")
        yield self.send("late")
