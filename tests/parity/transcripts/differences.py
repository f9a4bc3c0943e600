"""The differences between the transcripts that are wanted, each with its reason.

Any other difference fails, and so does one of these that no longer occurs.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """Why the transcripts of some scripts differ.

    Args:
        reason: why.
        row: the first cell of the row about it in docs/howto/porting.md, "Differences from Channels".
        lines: in what; "-" stands before Channels' lines, "+" before compat's.
        scripts: in which, with async and sync consumers alike.
    """

    reason: str
    row: str
    lines: tuple[str, ...]
    scripts: tuple[str, ...]


ERROR_CLOSE = "+ sends websocket.close code=1011 reason='internal error'"
ERROR_DISCONNECT = "+ calls disconnect(1011)"
STOP_CLOSE = "+ sends websocket.close code=1000 reason=''"
STOP_DISCONNECT = "+ calls disconnect(1000)"
RESTART = ("+ sends websocket.close code=1012 reason=''", "+ calls disconnect(1012)")
LEFT_BEHIND = ("- groups with members: room", "+ groups with members: none")

CLEAN_UP = "disconnect() runs once if connect() has started, whatever the ending, and no group keeps the channel"
ERROR = f"an error closes with 1011 before it leaves the application; {CLEAN_UP}"
GONE = "sending to a client that has gone, or after one's own close frame, ends the handler quietly"
POLICY = "a close code that no frame may carry breaks servers: 1008 is sent instead, with a warning in the log"
PREFETCH = "a channel holds what its capacity says; Channels takes one message out before the handler is free for it"
REFUSED = "a server refuses this event; it is refused where the mistake is"
RESERVED = "a message's type may be a client's choice: it never reaches a method of the framework"

ROW_CAPACITY = "capacity, in memory"
ROW_CLOSED = "`close()` twice, or after the end"
ROW_CODE = "`close()` with 999, 1005, 1006, 5000 and the like, or with more than 123 bytes of reason"
ROW_DISCONNECT = "`disconnect()`"
ROW_ERROR = "a handler's error"
ROW_GONE = "`send()` to a client that has gone, or after one's own `close()`"
ROW_GROUPS = "groups"
ROW_IN_DISCONNECT = "`send()` and `close()` in `disconnect()`"
ROW_KIND = "[mistakes](../reference/mistakes.md), such as a consumer class in a router"
ROW_NAME = (
    "a name with a line break at its end, with letters other than ASCII's after the `!`, or that is a group's key in "
    "Redis, such as `asgi__group__room`"
)
ROW_REFUSED = "`accept()` twice, `send()` before it"
ROW_RESERVED = "a layer message whose type names something that is no handler, such as `close`"
ROW_STOP = "`StopConsumer`"

WANTED = (
    Wanted(
        ERROR,
        ROW_ERROR,
        (ERROR_CLOSE, ERROR_DISCONNECT),
        (
            "BinaryFrameToATextReceiver",
            "BinaryFrameToJson",
            "EmptyTextToJson",
            "ErrorInReceiveAndInDisconnect",
            "ErrorWhileFramesWait",
            "TextFrameToABinaryReceiver",
            "TextThatIsNoJson",
            "UnknownEventOfTheServer",
        ),
    ),
    Wanted(
        ERROR,
        ROW_ERROR,
        (ERROR_CLOSE, ERROR_DISCONNECT, *LEFT_BEHIND),
        (
            "ErrorInAGroupHandler",
            "ErrorInConnectAfterTheAccept",
            "ErrorInReceive",
            "LeadingUnderscoreFromTheLayer",
            "NoTypeFromTheLayer",
            "UnknownTypeFromTheLayer",
        ),
    ),
    Wanted(
        CLEAN_UP,
        ROW_DISCONNECT,
        (ERROR_DISCONNECT,),
        ("ClassGroupsWithoutALayer", "ErrorAfterClosing", "ErrorInConnect"),
    ),
    Wanted(CLEAN_UP, ROW_DISCONNECT, ("+ calls disconnect(1001)",), ("ErrorAfterTheDisconnect",)),
    Wanted(CLEAN_UP, ROW_GROUPS, LEFT_BEHIND, ("AcceptsLater", "ForgetsItsGroup")),
    Wanted(
        f"StopConsumer closes; {CLEAN_UP}",
        ROW_STOP,
        (STOP_CLOSE, STOP_DISCONNECT),
        ("StopsInConnect", "StopsInConnectAfterTheAccept", "StopsInReceive"),
    ),
    Wanted(
        f"StopConsumer closes; {CLEAN_UP}",
        ROW_STOP,
        (STOP_CLOSE, STOP_DISCONNECT, *LEFT_BEHIND),
        ("StopsInAGroupHandler",),
    ),
    Wanted("StopConsumer closes", ROW_STOP, (STOP_CLOSE,), ("EndsByHand", "TheLayerNamesAnEventHandler")),
    Wanted(CLEAN_UP, ROW_STOP, (STOP_DISCONNECT,), ("ClosesAndStopsInReceive",)),
    Wanted(
        f"a server that stops gets a close frame 1012; {CLEAN_UP}",
        "the server stops",
        (*RESTART, *LEFT_BEHIND),
        ("TheServerCancels", "TheServerCancelsAHandler"),
    ),
    Wanted(GONE, ROW_GONE, ("- raises OSError", "+ calls disconnect(1006)", "+ returns"), ("TheServerCannotSend",)),
    Wanted(GONE, ROW_GONE, ("- sends websocket.send text='late'", "- receive() goes on"), ("SendsAfterClosing",)),
    Wanted(
        GONE,
        ROW_GONE,
        ("- sends websocket.send text='late'", "- chat_message() goes on"),
        ("ClosesThenGetsAGroupMessage",),
    ),
    Wanted(
        GONE,
        ROW_GONE,
        ("- sends websocket.send text='a'", "- receive() goes on"),
        ("DisconnectWhileAHandlerIsAboutToSend",),
    ),
    Wanted(
        GONE,
        ROW_GONE,
        ("- sends websocket.accept headers=[] subprotocol=None", "- connect() goes on"),
        ("AcceptsAfterClosing",),
    ),
    Wanted(
        GONE,
        ROW_GONE,
        (
            "- sends http.response.start headers=[] status=200",
            "- sends http.response.body body=b'late' more_body=False",
            "- handle() goes on",
        ),
        ("HttpClientLeavesBeforeTheAnswer",),
    ),
    Wanted(
        GONE,
        ROW_GONE,
        (
            "- sends http.response.start headers=[] status=200",
            "- sends http.response.body body=b'answer' more_body=False",
        ),
        ("HttpAnswersAndTheClientLeaves",),
    ),
    Wanted(
        "what disconnect() sends goes nowhere, as with Channels' own server",
        ROW_IN_DISCONNECT,
        ("- sends websocket.send text='late'",),
        ("SendsInDisconnect",),
    ),
    Wanted(
        "closing what is closed does nothing",
        ROW_CLOSED,
        ("- sends websocket.close code=1000 reason=''",),
        ("ClosesInDisconnect", "ClosesWhileFramesWait"),
    ),
    Wanted(
        "closing what is closed does nothing",
        ROW_CLOSED,
        ("- sends websocket.close code=4000 reason=''",),
        ("ClosesTwice",),
    ),
    *(
        Wanted(
            POLICY,
            ROW_CODE,
            (
                f"- sends websocket.close code={code} reason={reason!r}",
                f"+ sends websocket.close code=1008 reason={reason!r}",
            ),
            (name,),
        )
        for name, code, reason in (
            ("ClosesWithTooSmallACode", 999, ""),
            ("ClosesWithTooLargeACode", 5000, ""),
            ("ClosesWithAReservedCode", 1006, "lost"),
        )
    ),
    Wanted(
        "a close frame has room for a reason of 123 bytes",
        "`close()` with 999, 1005, 1006, 5000 and the like, or with more than 123 bytes of reason",
        tuple(f"{mark} sends websocket.close code=1000 reason={'x' * n!r}" for mark, n in (("-", 124), ("+", 123))),
        ("ClosesWithALongReason",),
    ),
    Wanted(
        REFUSED,
        ROW_REFUSED,
        (
            "- sends websocket.accept headers=[] subprotocol=None",
            "- calls disconnect(1001)",
            "- returns",
            ERROR_CLOSE,
            ERROR_DISCONNECT,
            "+ raises RuntimeError",
        ),
        ("AcceptsTwice",),
    ),
    Wanted(
        REFUSED,
        ROW_REFUSED,
        (
            "- sends websocket.send text='too early'",
            "- sends websocket.accept headers=[] subprotocol=None",
            "- calls disconnect(1001)",
            "- returns",
            ERROR_DISCONNECT,
            "+ raises RuntimeError",
        ),
        ("SendsBeforeTheAccept",),
    ),
    Wanted(
        "a disconnect event always has a reason, as in ASGI 2.3",
        "the event for `websocket_disconnect()`",
        (
            "- calls websocket_disconnect({'type': 'websocket.disconnect', 'code': 1001})",
            "+ calls websocket_disconnect({'type': 'websocket.disconnect', 'code': 1001, 'reason': ''})",
        ),
        ("OverridesWebsocketDisconnect",),
    ),
    Wanted(
        RESERVED, ROW_RESERVED, ("- sends websocket.close code={'type': 'close'} reason=''",), ("TheLayerNamesClose",)
    ),
    Wanted(
        "a consumer that does not care for the disconnect ends with it",
        "a consumer without a handler for the disconnect",
        ("- raises ValueError", "+ returns"),
        ("APlainConsumerWithoutADisconnectHandler",),
    ),
    Wanted(
        "messages are handled in the order of their arrival; Channels asks the client and the layer in turns",
        "order",
        ("+ calls receive(text_data='b')", "- calls receive(text_data='b')"),
        ("AFrameBeforeAGroupMessage",),
    ),
    Wanted(
        PREFETCH,
        ROW_CAPACITY,
        ("- calls chat_message({'type': 'chat.message', 'number': 2})", "- sends websocket.send text='message 2'"),
        ("GroupMessagesToAFullChannel",),
    ),
    Wanted(
        PREFETCH,
        ROW_CAPACITY,
        (
            "+ the sender gets ChannelFull",
            "- calls chat_message({'type': 'chat.message', 'number': 2})",
            "- sends websocket.send text='message 2'",
        ),
        ("MessagesToAFullChannel",),
    ),
    *(
        Wanted(reason, row, (f"- {channels}", f"+ {compat}"), (name,))
        for name, channels, compat, reason, row in (
            ("NameThatEndsInALineBreak", "accepted", "TypeError", "it breaks the rule for names", ROW_NAME),
            ("LocalNameOfOtherLetters", "accepted", "TypeError", "names are ASCII", ROW_NAME),
            (
                "CapacitiesByPattern",
                "AttributeError",
                "7",
                "Channels' layer in memory cannot read its own argument",
                "capacity, in memory",
            ),
            (
                "ExpiredMessageOfAGroupMember",
                "removed",
                "member",
                "a message expires; its receiver stays in its groups",
                "messages that wait for a connected consumer, in memory",
            ),
            (
                "UnknownKeyInTheConfiguration",
                "InMemoryChannelLayer",
                "InvalidChannelLayerError",
                "a key that nobody reads is a mistake",
                "[mistakes](../reference/mistakes.md), such as a consumer class in a router",
            ),
            (
                "SetToNone",
                "NoneType",
                "InMemoryChannelLayer",
                "what set() returned can be given back to it",
                "`channel_layers.set(alias, None)`",
            ),
            (
                "EmptyTextFrameOfATest",
                "AssertionError",
                "sent",
                "browsers send empty frames",
                """a communicator's `send_to(text_data="")`""",
            ),
            (
                "TwoOriginHeaders",
                "True",
                "False",
                "no browser sends two",
                "an `Origin` header that is malformed, has a path, or comes twice",
            ),
            (
                "OriginWithAnImpossiblePort",
                "ValueError",
                "False",
                "what a client sends is no error of the server's",
                "an `Origin` header that is malformed, has a path, or comes twice",
            ),
            (
                "OriginWithAPath",
                "True",
                "False",
                "no browser sends a path: RFC 6454, 6.2",
                "an `Origin` header that is malformed, has a path, or comes twice",
            ),
            (
                "RootPathThatEndsInsideAName",
                "served",
                "ValueError",
                "/rootother is not below /root",
                "a path with a slash too many, such as `//chat/`, or that only begins like the `root_path`, such as "
                "`/rootother/` for `/root`",
            ),
            (
                "RouteToAClass",
                "accepted",
                "TypeError",
                "it fails when it is written, not with the first client",
                "[mistakes](../reference/mistakes.md), such as a consumer class in a router",
            ),
            (
                "ApplicationIsAFunction",
                "True",
                "False",
                "Starlette's routes take functions for request handlers",
                "what `as_asgi()` returns",
            ),
            (
                "HookOfTheWrongKind",
                "accepted",
                "TypeError",
                "it fails when it is written, not with the first client",
                ROW_KIND,
            ),
            (
                "GroupsThatAreText",
                "accepted",
                "ValueError",
                "every letter would be a group",
                "[mistakes](../reference/mistakes.md), such as a consumer class in a router",
            ),
        )
    ),
)
