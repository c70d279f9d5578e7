"""The pages in Chromium: in every language, light and dark, on a phone and on a desktop.

Each page is loaded once. Screenshots are saved in ``build/screenshots``.
"""

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import html5lib
import pytest
from browser import CHROMIUM, SCHEMES, Tab, chromium
from conftest import TEMPLATE, Serve, need
from playwright.sync_api import Browser
from service import Answer, Service

SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package}}"
PICTURES = TEMPLATE / "build" / "screenshots"
MAX_SIZE = 10_000
"""Maximum size of an error page, in bytes."""
DEFAULT = "en"
LOOKS = (("light", "desktop"), ("dark", "phone"))
FAIL = """
from flask import request
from werkzeug.exceptions import HTTPException

class Failure(HTTPException):
    def get_headers(self, *arguments):
        retry = [("Retry-After", request.args["retry"])] if "retry" in request.args else []
        return [*super().get_headers(*arguments), *retry]

def fail(status):
    failure = Failure(request.args.get("description"))
    failure.code = status
    raise failure

app.add_url_rule("/fail/<int:status>", "fail", fail)
app.add_url_rule("/blog/fail/<int:status>", "fail in the blog", fail)
"""
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
POST = f"""
# https://example.org/{"a" * 200}

- {LONG}
  1. > `{LONG}`

      {"x = 1; " * 50}
"""


class ErrorPage(NamedTuple):
    """A page, and a path that is answered with it."""

    folder: str
    language: str
    name: str
    status: int
    query: str = ""

    @property
    def home(self) -> str:
        """The target of its link."""
        return "/" if self.folder == "errors" else f"/{self.folder}/"

    @property
    def path(self) -> str:
        return f"{self.home}fail/{self.status}{self.query}"

    def __str__(self) -> str:
        return "-".join([*([] if self.folder == "errors" else [self.folder]), self.name, self.language])


def error_pages() -> Iterator[ErrorPage]:
    """Yield every page in every language, and variants of some."""
    translations = {file.stem: tomllib.loads(file.read_text()) for file in SOURCE.glob("errors/**/*.toml")}
    names = sorted(translations[DEFAULT]["errors"])
    for language, translation in sorted(translations.items()):
        for name in sorted(translation["errors"]):
            page = ErrorPage("errors", language, name, status_of(name, names))
            yield page
            if name == "404":
                query = "?" + urlencode({"description": f"<b> {LONG}"})
                yield page._replace(name="404-description", query=query)
            if name == "5xx":
                yield page._replace(name="5xx-retry", query="?retry=300")
        if language == DEFAULT or "404" in translation.get("blog", {}):
            yield ErrorPage("blog", language, "404", 404)


def status_of(name: str, names: list[str]) -> int:
    """Return a status of a template. For 4xx and 5xx, one without a template of its own."""
    family = [str(status.value) for status in HTTPStatus if str(status.value)[0] == name[0]]
    return int(name) if name.isdigit() else int(next(status for status in family if status not in names))


ERROR_PAGES = list(error_pages())
SITE = ("/", "/blog/", "/blog/long", "/problems/", "/problems/invalid-token")


@pytest.fixture(scope="module")
def service(serve_all: Serve) -> Service:
    """A service whose ``/fail/<status>`` fails, and whose blog has a post that is hard to lay out."""
    service = serve_all(extra=FAIL)
    token = service.flask("tokens", "create", "me").strip()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    post = json.dumps({"title": LONG, "body": POST, "slug": "long"})
    assert service.ask("POST", "/api/posts", post, headers).status == 201
    return service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(CHROMIUM, "Chromium is missing. Install it: apt-get install chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def tabs(browser: Browser, service: Service) -> Callable[[str], Tab]:
    """``tabs("fr")`` is the tab of a visitor who reads French."""
    return lru_cache(lambda language: Tab(browser, f"http://127.0.0.1:{service.port}", language))


@pytest.mark.parametrize("page", ERROR_PAGES, ids=str)
def test_error_page(tabs: Callable[[str], Tab], service: Service, page: ErrorPage) -> None:
    """It loads nothing else, is accessible, fits every screen, and its link works with the keyboard."""
    tab = tabs(page.language)
    tab.open(page.path)
    tab.rest()
    assert tab.response
    assert tab.response.status == page.status
    assert (tab.requested, tab.messages) == ([page.path], [])
    assert_title_and_language(tab, page)
    assert_looks_good(tab, str(page))
    tab.rest()
    home = tab.origin + page.home
    assert tab.press_tab() == home
    assert invisible_focus(tab) == []
    assert_small_and_valid(service.get(page.path, Accept_Language=page.language))


def assert_title_and_language(tab: Tab, page: ErrorPage) -> None:
    [heading] = tab.page.locator("h1").all_inner_texts()
    assert heading == tab.page.title() != ""
    direction = tab.page.evaluate("tag => new Intl.Locale(tag).getTextInfo().direction", page.language)
    assert tab.page.evaluate("[document.documentElement.lang, document.dir]") == [page.language, direction]


def assert_looks_good(tab: Tab, name: str) -> None:
    """Check accessibility and layout, and save a screenshot of each look."""
    for scheme, screen in LOOKS:
        tab.show(scheme, screen)
        tab.page.screenshot(path=PICTURES / f"{name}-{scheme}-{screen}.png")
        assert tab.ask("violations") == []
    # 320 pixels are 1280 at 400 %. The text alone can be enlarged too (WCAG 1.4.4, 1.4.10).
    for width, text in [(320, 100), (2560, 100), (640, 200), (1280, 400)]:
        tab.page.set_viewport_size({"width": width, "height": 800})
        tab.page.evaluate(f"document.documentElement.style.fontSize = '{text}%'")
        assert (width, text, tab.ask("misfits")) == (width, text, [])
    tab.page.emulate_media(forced_colors="active", reduced_motion="reduce", color_scheme="dark")
    assert tab.ask("unforced") + tab.ask("movements") == []
    tab.page.emulate_media(forced_colors="none", media="print")
    assert tab.ask("unprintable") == []


def invisible_focus(tab: Tab) -> list[dict[str, str]]:
    """Return the colors in which the focus is invisible."""
    colors = [{"color_scheme": scheme} for scheme in SCHEMES] + [{"forced_colors": "active"}]
    place, element = tab.ask("focused"), tab.page.evaluate_handle("document.activeElement").as_element()
    focused = screenshots(tab, colors, place)
    tab.page.evaluate("document.activeElement.blur()")
    unfocused = screenshots(tab, colors, place)
    assert element
    element.focus()
    return [color for color, before, after in zip(colors, unfocused, focused, strict=True) if before == after]


def screenshots(tab: Tab, colors: list[dict[str, str]], place: dict[str, float]) -> list[bytes]:
    taken = []
    for color in colors:
        tab.page.emulate_media(**color)
        taken.append(tab.page.screenshot(clip=place))
    tab.page.emulate_media(forced_colors="none")
    return taken


def assert_small_and_valid(answer: Answer) -> None:
    assert len(answer.body) < MAX_SIZE
    assert_valid(answer)


def assert_valid(answer: Answer) -> None:
    """
    :raises html5lib.html5parser.ParseError: if the body is not valid HTML.
    """
    html5lib.HTMLParser(strict=True).parse(answer.body, transport_encoding="utf-8")


@pytest.mark.parametrize("path", ["/fail/500", "/blog/fail/404"])
def test_link_of_an_error_page_works(tabs: Callable[[str], Tab], path: str) -> None:
    tab = tabs(DEFAULT)
    tab.open(path)
    home = tab.press_tab()
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(home, wait_until="commit")


@pytest.mark.parametrize("language", [DEFAULT, "ar"])
def test_one_click_selects_the_request_id(tabs: Callable[[str], Tab], language: str) -> None:
    tab = tabs(language)
    tab.open("/fail/500")
    assert tab.response
    request_id = tab.response.headers["x-request-id"]
    tab.page.get_by_text(request_id, exact=True).click()
    assert tab.page.evaluate("getSelection().toString()") == request_id


def test_chromium_requests_no_icon_of_an_error_page(tabs: Callable[[str], Tab], service: Service) -> None:
    """A tab does not show requests for ``/favicon.ico``, but the access log does."""
    tab = tabs(DEFAULT)
    for path in ("/fail/404?icon", "/fail/500"):
        tab.open(path)
        assert tab.response
        service.records(tab.response.headers["x-request-id"])
    requested = [record["path"] for record in service.log() if record["logger"] == "gunicorn.access"]
    assert "/favicon.ico" not in requested


@pytest.mark.parametrize("path", SITE)
def test_page_of_the_site(tabs: Callable[[str], Tab], path: str) -> None:
    """It is accessible, fits every screen, and the keyboard reaches every link."""
    tab = tabs(DEFAULT)
    tab.open(path)
    tab.rest()
    assert [requested for requested in tab.requested if not requested.startswith("/")] == []
    assert tab.messages == []
    assert_looks_good(tab, urlsplit(path).path.strip("/").replace("/", "-") or "home")
    tab.rest()
    links = tab.page.locator("a").evaluate_all("links => links.map(link => link.href)")
    assert links
    for link in links:
        assert tab.press_tab() == link
        assert invisible_focus(tab) == []


def test_site_is_valid_html(service: Service) -> None:
    problems = set(re.findall(r'href="(/problems/[\w-]+)"', service.get("/problems/").body.decode()))
    assert "/problems/invalid-token" in problems
    for path in {*SITE, *problems}:
        assert_valid(service.get(path))
