"""The demo, served by `python -m example_project`, and what its visitors do on its page."""

import os
import re
import signal
import subprocess
import sys

from anyio.from_thread import BlockingPortal
from playwright.sync_api import Locator, Page, expect

from ..support.pages import ROOT
from ..support.proxy import Proxy

expect.set_options(timeout=15_000)  # milliseconds; a limit, not a wait


class Demo:
    """The demo in a process of its own, on a port that stays its own when it is started again."""

    port = 0
    process: subprocess.Popen[str]

    def start(self, *words: str, **settings: str) -> None:
        self.process = run_demo(str(self.port), *words, **settings)
        assert self.process.stdout is not None
        first_line = self.process.stdout.readline()
        served = re.fullmatch(r"Serving on (http://127\.0\.0\.1:(\d+))[\w ]* \(Ctrl-C ends it\)\n", first_line)
        assert served, (first_line, self.process.stderr and self.process.stderr.read())
        self.url, self.port = served[1], int(served[2])

    def stop(self, how: signal.Signals) -> tuple[int, str, str]:
        """Send a signal; return the exit status and what was printed since the start."""
        if how == signal.SIGKILL:
            os.killpg(self.process.pid, how)  # its workers too
        else:
            self.process.send_signal(how)
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors


def run_demo(port: str, *words: str, **settings: str) -> subprocess.Popen[str]:
    """Run the demo on a port, with these variables, or a command line of Python that runs it."""
    return subprocess.Popen(
        [sys.executable, *(words or ("-m", "example_project"))],
        cwd=ROOT,
        env={**os.environ, "PORT": port, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def join(page: Page, name: str, room: str = "lobby") -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_label("Room", exact=True).fill(room)
    page.get_by_role("button", name="Join").click()


def say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def people(page: Page) -> Locator:
    return page.get_by_role("list", name="Who is here").get_by_role("listitem")


def log(page: Page) -> Locator:
    return page.locator("#chat").get_by_role("log")


def entries(page: Page) -> Locator:
    """Return all that the log shows, in this order."""
    return log(page).locator(".entries > *")


def words(page: Page) -> Locator:
    """Return what was said, in the order in which it is shown."""
    return log(page).locator(".message .words")


def notes(page: Page) -> Locator:
    """Return what the log says beside what people say."""
    return log(page).locator(".note")


def ask(page: Page, question: str) -> None:
    page.get_by_role("textbox", name="Question").fill(question)
    page.keyboard.press("Enter")


def break_with(page: Page, name: str) -> None:
    """Have the server break the tab's connections, with the button of this name."""
    page.locator("#connections").get_by_role("button", name=name).click()


class Wire:
    """The way from some tabs to the demo; a proxy, in a thread."""

    def __init__(self, proxy: Proxy, portal: BlockingPortal) -> None:
        self.port = proxy.port
        self._proxy = proxy
        self._portal = portal

    def hold(self) -> None:
        """Let nothing through until `mend()`."""
        self._portal.call(self._proxy.flowing.clear)

    def cut(self) -> None:
        """Reset all connections; what connects anew waits until `mend()`."""
        self._portal.call(self._proxy.flowing.clear)
        self._portal.call(self._proxy.cut)

    def cut_after(self, size: int) -> None:
        """Reset the connection that has carried so many more bytes from the server, in the midst of a frame perhaps."""
        self._proxy.cut_after = size

    def mend(self) -> None:
        self._portal.call(self._proxy.flowing.set)
