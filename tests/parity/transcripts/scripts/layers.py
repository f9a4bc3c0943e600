"""The layer's messages beside the client's, full channels, and class groups."""

from ..script import Handlers, at_once, channel, connect, disconnect, group, open_gate, script, text


class Room(Handlers):
    """Writes down what it gets; a frame holds it until the gate opens."""

    groups = ["room"]

    def receive(self, text_data=None, bytes_data=None):
        yield self.play.wait(text_data)

    def chat_message(self, event):
        yield self.send(f"message {event['number']}")


def message(number):
    return group(type="chat.message", number=number)


@script(connect(), message(1), message(2), disconnect())
class ClassGroups(Room):
    pass


@script(connect(), capacity=None)
class ClassGroupsWithoutALayer(Room):
    pass


@script(connect(), text("a"), disconnect(), capacity=None)
class NoLayer(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.send(f"{self.channel_layer}")


@script(connect(), at_once(message(1), message(2), message(3)), disconnect())
class GroupMessagesInARow(Room):
    pass


@script(connect(), text("a"), message(1), message(2), open_gate("a"), disconnect())
class GroupMessagesBehindAHandler(Room):
    pass


@script(connect(), text("a"), message(1), text("b"), message(2), open_gate("b"), open_gate("a"), disconnect())
class GroupMessagesBetweenFrames(Room):
    pass


@script(connect(), text("a"), text("b"), message(1), open_gate("b"), open_gate("a"), disconnect())
class AFrameBeforeAGroupMessage(Room):
    pass


@script(connect(), text("a"), message(1), text("b"), open_gate("b"), open_gate("a"), disconnect())
class AGroupMessageBeforeAFrame(Room):
    pass


@script(connect(), text("a"), *(message(number) for number in range(4)), open_gate("a"), disconnect(), capacity=2)
class GroupMessagesToAFullChannel(Room):
    pass


@script(
    connect(),
    text("a"),
    *(channel(type="chat.message", number=number) for number in range(4)),
    open_gate("a"),
    disconnect(),
    capacity=2,
)
class MessagesToAFullChannel(Room):
    pass


@script(connect(), disconnect(), message(1))
class AGroupMessageAfterTheEnd(Room):
    pass


@script(connect(), disconnect())
class SendsToItsGroupInDisconnect(Room):
    def disconnect(self, code):
        yield self.channel_layer.group_send("room", {"type": "chat.message", "number": 1})


@script(connect(), text("a"), disconnect())
class ForgetsItsGroup(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.channel_layer.group_add("room", self.channel_name)


@script(connect(), text("a"), text("b"), disconnect())
class SendsToItselfByName(Handlers):
    def receive(self, text_data=None, bytes_data=None):
        yield self.channel_layer.send(self.channel_name, {"type": "chat.message", "number": text_data})
        self.play.note("sent")

    def chat_message(self, event):
        yield self.send(event["number"])
