"""Chromium, and a tab that records requests and console messages. The checks of a page are in ``browser.js``."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Response, sync_playwright

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",  # root cannot have one
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
CHECKS = Path(__file__).with_name("browser.js")
SCREENS = {"phone": {"width": 390, "height": 800}, "desktop": {"width": 1280, "height": 800}}
SCHEMES = ("light", "dark")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Debian's Chromium, headless."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Tab:
    """A tab of a browser, for the pages of one origin.

    :param language: the language tag in ``Accept-Language``.
    """

    def __init__(self, browser: Browser, origin: str, language: str = "en") -> None:
        self.origin = origin
        self.context = browser.new_context(base_url=origin, locale=language)
        self.context.add_init_script(Axe().axe_script)
        self.context.add_init_script(path=CHECKS)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.response: Response | None = None
        self.requested: list[str] = []
        self.messages: list[str] = []
        self.page.on("request", lambda request: self.requested.append(request.url.removeprefix(origin)))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("console", self._record_message)

    def _record_message(self, message: ConsoleMessage) -> None:
        """Record a message, except Chromium's own about the error status of the page itself."""
        if not (message.text.startswith("Failed to load resource") and message.location["url"] == self.page.url):
            self.messages.append(message.text)

    def open(self, path: str) -> None:
        """Load a page. ``requested``, ``messages`` and ``response`` are those of this page."""
        self.page.goto("about:blank")  # the page before may still be loading
        self.requested.clear()
        self.messages.clear()
        self.response = self.page.goto(path)

    def rest(self) -> None:
        """Reset the look of the page."""
        self.page.emulate_media(media="screen", forced_colors="none", reduced_motion="no-preference")
        self.ask("rest")
        self.show("light", "desktop")

    def show(self, scheme: str, screen: str) -> None:
        self.page.emulate_media(color_scheme=scheme)
        self.page.set_viewport_size(SCREENS[screen])

    def ask(self, question: str) -> Any:
        """Call a function of ``browser.js``, such as ``misfits``."""
        return self.page.evaluate(f"seen.{question}()")

    def press_tab(self) -> str:
        """Press Tab. Return the target of the link that is then focused."""
        self.page.keyboard.press("Tab")
        return self.page.evaluate("document.activeElement.href || document.activeElement.tagName")

    def close(self) -> None:
        self.context.close()
