"""Chromium, and a tab of it that tells what it asked for and said. What is asked of a page is in ``browser.js``."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Response, sync_playwright

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",  # which root cannot have
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SEEN = Path(__file__).with_name("browser.js")
SCREENS = {"phone": {"width": 390, "height": 800}, "desktop": {"width": 1280, "height": 800}}
SCHEMES = ("light", "dark")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A tab of a browser, for the pages of one origin.

    :param language: what the visitor reads, as the tag in ``Accept-Language``.
    """

    def __init__(self, browser: Browser, origin: str, language: str = "en") -> None:
        self.origin = origin
        self.context = browser.new_context(base_url=origin, locale=language)
        self.context.add_init_script(Axe().axe_script)
        self.context.add_init_script(path=SEEN)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.response: Response | None = None
        self.requested: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url.removeprefix(origin)))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("console", self._hear)

    def _hear(self, message: ConsoleMessage) -> None:
        """Chromium itself says of every error that it is one: not of what the page has loaded, but of the page."""
        if not (message.text.startswith("Failed to load resource") and message.location["url"] == self.page.url):
            self.said.append(message.text)

    def open(self, path: str) -> None:
        """Load a page. ``requested`` and ``said`` tell of this page alone, ``response`` is what was answered."""
        self.page.goto("about:blank")  # the page before may still be loading
        self.requested.clear()
        self.said.clear()
        self.response = self.page.goto(path)

    def rest(self) -> None:
        """Show the page as if just loaded."""
        self.page.emulate_media(media="screen", forced_colors="none", reduced_motion="no-preference")
        self.ask("rest")
        self.show("light", "desktop")

    def show(self, scheme: str, screen: str) -> None:
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size(SCREENS[screen])

    def ask(self, question: str) -> Any:
        """What ``browser.js`` answers, such as to ``misfits``."""
        return self.page.evaluate(f"seen.{question}()")

    def press_tab(self) -> str:
        """The target of the link that the keyboard has then reached."""
        self.page.keyboard.press("Tab")
        return self.page.evaluate("document.activeElement.href || document.activeElement.tagName")

    def close(self) -> None:
        self.context.close()
