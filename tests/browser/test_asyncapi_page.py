"""The page for a document of AsyncAPI, in a real browser."""

import json
import re
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, ClassVar, Literal

import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from pydantic import AliasChoices, BaseModel, Field
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from typing_extensions import TypeAliasType

from consumers.typed import TypedConsumer, asyncapi_document, on

from ..support.documented import HOSTILE, app
from ..support.servers import Server, uvicorn_server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with uvicorn_server(app) as server:
        yield server


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Callable[..., Page]]:
    """A function that opens the page; at the end it has had no error but those of handshakes that were refused."""
    contexts = []
    errors: list[str] = []

    def open_page(at: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"http://{server.host}/asyncapi{at}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [error for error in errors if "403" not in error] == []


def connect(page: Page, room: str = "lobby") -> None:
    page.get_by_label("room", exact=True).fill(room)
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("connected")


def send(page: Page, text: str | None = None) -> None:
    if text is not None:
        page.get_by_label("Message", exact=True).fill(text)
    page.get_by_role("button", name="Send", exact=True).click()


def entries(page: Page) -> Locator:
    """Return what the log has, the newest first."""
    return page.get_by_role("log").get_by_role("listitem")


def test_the_page_shows_what_the_document_says(open_page: Callable[..., Page], server: Server) -> None:
    page = open_page()
    expect(page).to_have_title("Chat")
    expect(page.get_by_role("heading", level=1)).to_have_text("Chat 1.2")
    expect(page.get_by_role("banner")).to_contain_text(f"ws://{server.host}")
    main = page.get_by_role("main")
    for text in (
        "/chat/{room}",
        "A room, in which all hear",
        "The room's name.",
        "What the others call you.",
        "Tell all in the room",
        "1 to 1000 characters",
        "Answer: said, error",
        "Somebody in the room has said something.",
        "The client's token expires.",
    ):
        expect(main).to_contain_text(text)
    main.get_by_text("Attachment", exact=True).click()
    expect(main).to_contain_text("In bytes.")
    page.get_by_role("link", name="Echo").click()
    expect(main.get_by_role("heading", level=2)).to_be_focused()
    expect(main).to_contain_text("The messages of this channel are not described.")
    page.get_by_role("link", name="asyncapi.json").click()
    expect(page).to_have_url(re.compile("/asyncapi/asyncapi.json$"))


def test_an_example_is_sent_and_answered_and_an_invalid_message_shows_its_error(
    open_page: Callable[..., Page],
) -> None:
    page = open_page()
    expect(page.get_by_role("button", name="Send", exact=True)).to_be_disabled()
    page.get_by_label("user", exact=True).fill("Ann & Bob")
    page.get_by_label("color", exact=True).select_option("green")
    connect(page, "a room&b")
    expect(page.locator(".url")).to_have_text(re.compile(r"/chat/a%20room%26b\?user=Ann\+%26\+Bob&color=green$"))
    page.get_by_role("button", name="Try say").click()
    expect(page.get_by_label("Message", exact=True)).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(entries(page).nth(1)).to_contain_text('"text": "Hello, world!"')
    answer = entries(page).first
    expect(answer).to_contain_text("Ann & Bob in a room&b")
    expect(answer).to_contain_text("9007199254740993")  # which a number of JavaScript's is not
    expect(answer).to_contain_text('"to": 2')
    send(page, '{"type": "say", "text": 5, "id": "x"}')
    expect(entries(page).first).to_contain_text('"code": "invalid"')
    expect(entries(page).first).to_contain_text("Input should be a valid string")
    expect(entries(page).first).to_have_class(re.compile("failed"))
    send(page, "no JSON")
    expect(entries(page).first).to_contain_text('"code": "not_json"')
    page.get_by_role("button", name="Clear").click()
    expect(entries(page)).to_have_count(0)


def test_close_codes_and_refused_handshakes_are_shown(open_page: Callable[..., Page]) -> None:
    page = open_page()
    connect(page)
    page.get_by_label("Example", exact=True).select_option("leave")
    send(page, '{"type": "leave", "word": "bye"}')
    expect(entries(page).first).to_contain_text("closed with 4000: bye")
    expect(page.get_by_role("status")).to_have_text("not connected")
    page.get_by_label("room", exact=True).fill("")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_label("room", exact=True)).to_be_focused()  # the browser asks for it
    connect(page)
    page.get_by_role("button", name="Disconnect").click()
    expect(entries(page).first).to_contain_text("closed with 1000: normal")
    page.get_by_label("color", exact=True).evaluate("select => select.add(new Option('blue'))")
    page.get_by_label("color", exact=True).select_option("blue")
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(entries(page).first).to_contain_text("closed with 1006: no close frame: the handshake was refused")


def test_a_subprotocol_is_offered(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.get_by_text("Subprotocols", exact=True).first.click()
    page.get_by_label("Subprotocols").fill("one, two")
    connect(page)
    expect(entries(page).first).to_contain_text("connected, subprotocol one")


def test_what_is_hostile_is_shown_as_text(open_page: Callable[..., Page]) -> None:
    page = open_page("/#Echo")
    expect(page.get_by_role("banner")).to_contain_text(HOSTILE)
    expect(page.get_by_role("main")).to_contain_text("<b>Its messages are of any kind.</b>")
    page.get_by_label("kind", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Connect", exact=True).click()
    expect(page.get_by_role("status")).to_have_text("connected")
    for text in (HOSTILE, f'{{"type": {HOSTILE!r}}}', '{"type": "<img src=x>", "<b>": "<script>"}'):
        send(page, text)
        expect(entries(page).first.locator("pre")).to_contain_text(text[:20].strip('{"'))
    assert page.locator("main b, img, #console b, #console script").count() == 0
    expect(page).to_have_title("Chat")


Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | None")
Lists = TypeAliasType("Lists", "list[Lists]")


class Hostile(BaseModel):
    __doc__ = f"{HOSTILE} `{HOSTILE}`"
    type: Literal["</script>"] = "</script>"
    field: str = Field(
        HOSTILE,
        validation_alias=AliasChoices(HOSTILE),
        serialization_alias=str(HOSTILE),
        title=HOSTILE,
        description=HOSTILE,
        pattern=f"^{HOSTILE}|",
    )
    proto: Literal["<b>", "javascript:alert(1)"] = Field("<b>", alias="__proto__", examples=[HOSTILE])
    constructor: float = inf
    anything: Json = Field(None, alias="toString")
    lists: Lists = []
    tree: "list[Hostile] | None" = None


class Everything(TypedConsumer):
    __doc__ = HOSTILE
    sends: ClassVar[Any] = Hostile

    @on
    async def take(self, message: Hostile) -> None: ...


everything = Starlette(routes=[WebSocketRoute("/<b>/{name}", Everything.as_asgi())])


@pytest.mark.parametrize("at", ["", "#Everything", "#%"])
def test_what_is_hostile_or_contains_itself_is_shown_wherever_it_stands(
    open_page: Callable[..., Page], at: str
) -> None:
    page = open_page()
    document = json.dumps(asyncapi_document(everything, title=HOSTILE, version=HOSTILE, description=HOSTILE))
    page.route("**/asyncapi.json", lambda route: route.fulfill(status=200, body=document))
    page.goto(f"{page.url}?{at}")
    main = page.get_by_role("main")
    expect(main).to_contain_text("You get")
    while (closed := main.locator("details:not([open]) > summary")).count() and main.locator("details").count() < 20:
        closed.first.click()
    for text in (HOSTILE, "</script>", "__proto__", "toString", '"<b>" or "javascript:alert(1)"'):
        expect(main).to_contain_text(text)
    expect(page.get_by_label("Message", exact=True)).to_have_value(re.compile("</script>"))
    assert page.locator("img, b, #columns script, iframe").count() == 0
    expect(page).to_have_title(HOSTILE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_a_phone_and_follows_the_color_scheme(open_page: Callable[..., Page], scheme: str) -> None:
    page = open_page(color_scheme=scheme, viewport={"width": 360, "height": 740})
    page.get_by_role("button", name="Try it").click()
    expect(page.get_by_role("button", name="Connect", exact=True)).to_be_in_viewport()
    connect(page)
    send(page)
    expect(entries(page).first).to_contain_text('"type": "said"')
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/g).every(part => part > 200)")
    assert light == (scheme == "light")


def test_a_document_that_cannot_be_made_is_an_error_on_the_page(open_page: Callable[..., Page]) -> None:
    page = open_page()
    page.route("**/asyncapi.json", lambda route: route.fulfill(status=403, body="no"))
    page.reload()
    expect(page.get_by_role("alert")).to_contain_text("The server answers with status 403.")
