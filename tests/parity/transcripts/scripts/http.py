"""HTTP requests."""

from ..script import AppError, at_once, event, group, open_gate, script


class Request:
    """The hooks of an HTTP consumer."""

    def disconnect(self):
        yield


def body(data, more=False):
    return event("http.request", body=data, more_body=more)


def gone():
    return event("http.disconnect")


@script(body(b"question"), kind="http")
class HttpAnswer(Request):
    def handle(self, body):
        yield self.send_response(200, b"answer to " + body, headers=[(b"content-type", b"text/plain")])


@script(body(b"a", more=True), body(b"b", more=True), body(b"c"), kind="http")
class HttpBodyInParts(Request):
    def handle(self, body):
        yield self.send_response(200, body)


@script(event("http.request"), kind="http")
class HttpWithoutABody(Request):
    def handle(self, body):
        yield self.send_response(204, body, headers={b"x-empty": b"1"})


@script(body(b""), kind="http")
class HttpStream(Request):
    def handle(self, body):
        yield self.send_headers(headers=[(b"content-type", b"text/event-stream")])
        yield self.send_body(b"one", more_body=True)
        yield self.send_body(b"two", more_body=True)
        yield self.send_body(b"three")


@script(body(b""), open_gate("news"), kind="http")
class HttpLongPoll(Request):
    def handle(self, body):
        yield self.send_headers(status=200)
        yield self.send_body(b"", more_body=True)
        yield self.play.wait("news")
        yield self.send_body(b"news")


@script(body(b""), group(type="chat.message", text="news"), kind="http")
class HttpAnswersFromAGroup(Request):
    def http_request(self, message):
        yield self.channel_layer.group_add("room", self.channel_name)
        yield self.send_headers(status=200)

    def chat_message(self, event):
        yield self.send_body(event["text"].encode())
        yield self.channel_layer.group_discard("room", self.channel_name)
        yield self.http_disconnect({"type": "http.disconnect"})


@script(body(b"a", more=True), gone(), kind="http")
class HttpClientLeavesBeforeTheBodyIsComplete(Request):
    def handle(self, body):
        yield


@script(body(b""), gone(), open_gate("answer"), kind="http")
class HttpClientLeavesWhileTheHandlerRuns(Request):
    def handle(self, body):
        yield self.play.wait("answer")
        self.play.note("handle() goes on")


@script(body(b""), gone(), open_gate("answer"), kind="http")
class HttpClientLeavesBeforeTheAnswer(Request):
    def handle(self, body):
        yield self.play.wait("answer")
        yield self.send_response(200, b"late")
        self.play.note("handle() goes on")


@script(body(b""), kind="http")
class HttpErrorBeforeTheAnswer(Request):
    def handle(self, body):
        yield
        raise AppError


@script(body(b""), kind="http")
class HttpErrorInTheAnswer(Request):
    def handle(self, body):
        yield self.send_headers()
        yield self.send_body(b"half", more_body=True)
        raise AppError


@script(body(b""), kind="http")
class HttpErrorInDisconnect:
    def handle(self, body):
        yield self.send_response(200, b"")

    def disconnect(self):
        yield
        raise AppError


@script(at_once(body(b""), gone()), kind="http")
class HttpAnswersAndTheClientLeaves(Request):
    def handle(self, body):
        yield self.send_response(200, b"answer")


@script(body(b""), kind="http")
class HttpWithoutAHandler(Request):
    pass


@script(body(b""), kind="http")
class HttpBodyOfText(Request):
    def handle(self, body):
        yield self.send_headers()
        yield self.send_body("text")
