"""The pages as people meet them: in Chromium, in every language, light and dark, on a phone and on a desktop.

The pictures that are taken stay in ``build/screenshots``.
"""

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from http import HTTPStatus
from itertools import product
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import html5lib
import pytest
from browser import CHROMIUM, SCHEMES, SCREENS, Tab, chromium
from conftest import TEMPLATE, Serve, need
from playwright.sync_api import Browser
from service import Answer, Service

SOURCE = TEMPLATE / "{{cookiecutter.project_slug}}/src/{{cookiecutter.__package}}"
PICTURES = TEMPLATE / "build" / "screenshots"
LARGEST = 10_000
"""Bytes of an error page."""
DEFAULT = "en"
FAIL = """
from flask import request
from werkzeug.exceptions import HTTPException

class Failure(HTTPException):
    def get_headers(self, *arguments):
        retry = [("Retry-After", request.args["retry"])] if "retry" in request.args else []
        return [*super().get_headers(*arguments), *retry]

def fail(status):
    failure = Failure(request.args.get("say"))
    failure.code = status
    raise failure

app.add_url_rule("/fail/<int:status>", "fail", fail)
app.add_url_rule("/blog/fail/<int:status>", "fail in the blog", fail)
"""
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft"
POST = f"""---
title: {LONG}
---
# https://example.org/{"a" * 200}

- {LONG}
  1. > `{LONG}`

      {"x = 1; " * 50}
"""


class ErrorPage(NamedTuple):
    """A template, and a path that is answered with it."""

    folder: str
    language: str
    name: str
    status: int
    query: str = ""

    @property
    def home(self) -> str:
        """Where its way out leads."""
        return "/" if self.folder == "errors" else f"/{self.folder}/"

    @property
    def path(self) -> str:
        return f"{self.home}fail/{self.status}{self.query}"

    def __str__(self) -> str:
        space = [] if self.folder == "errors" else [self.folder]
        return "-".join([*space, self.name, self.language])


def error_pages() -> Iterator[ErrorPage]:
    """All that there are templates for, and of some what differs with the error."""
    name = re.compile(r".*/templates/(\w+)/(?:([\w-]+)/)?([45](?:\d\d|xx))\.html")
    found = [match for file in SOURCE.rglob("*.html") if (match := name.fullmatch(file.as_posix()))]
    own = sorted((match[1], match[2] or DEFAULT, match[3]) for match in found)
    for folder, language, name in own:
        others = {each for *place, each in own if place == [folder, language]}
        page = ErrorPage(folder, language, name, status_of(name, others))
        yield page
        if name == "404":
            yield page._replace(name="404-said", query="?" + urlencode({"say": f"<b> {LONG}"}))
        if name == "5xx":
            yield page._replace(name="5xx-retry", query="?retry=300")


def status_of(name: str, others: set[str]) -> int:
    """A status that is answered with this template: of a family one without a template of its own."""
    family = [str(status.value) for status in HTTPStatus if str(status.value)[0] == name[0]]
    return int(name) if name.isdigit() else int(next(status for status in family if status not in others))


ERROR_PAGES = list(error_pages())
SITE = ("/", "/blog/", "/blog/long", "/problems/", "/problems/invalid-token")


@pytest.fixture(scope="module")
def service(serve_all: Serve, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """One whose ``/fail/<status>`` fails, below ``/blog`` too, and whose blog has a post that is hard to set."""
    service = serve_all(extra=FAIL)
    post = tmp_path_factory.mktemp("posts") / "long.md"
    post.write_text(POST)
    service.flask("posts", "import", str(post))
    return service


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(CHROMIUM, "Chromium is missing. Install it: apt-get install chromium")
    PICTURES.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def tabs(browser: Browser, service: Service) -> Callable[[str], Tab]:
    """The tab of a visitor who reads a language."""
    return lru_cache(lambda language: Tab(browser, f"http://127.0.0.1:{service.port}", language))


@pytest.fixture(scope="module", params=ERROR_PAGES, ids=str)
def page(request: pytest.FixtureRequest) -> ErrorPage:
    """Each in turn. For a module, so that all tests of a page come together and it is loaded once."""
    return request.param


@pytest.fixture
def tab(tabs: Callable[[str], Tab], page: ErrorPage) -> Tab:
    """A tab with an error page."""
    return opened(tabs(page.language), page.path)


@pytest.fixture(params=SITE)
def site(tabs: Callable[[str], Tab], request: pytest.FixtureRequest) -> Tab:
    """A tab with a page of the site."""
    return opened(tabs(DEFAULT), request.param)


def opened(tab: Tab, path: str) -> Tab:
    if tab.page.url != tab.origin + path:
        tab.open(path)
    tab.rest()
    return tab


def test_error_page_asks_for_nothing_and_says_nothing_to_the_console(tab: Tab, page: ErrorPage) -> None:
    assert tab.response.status == page.status
    assert (tab.requested, tab.said) == ([page.path], [])


def test_error_page_has_a_title_and_its_language_and_direction(tab: Tab, page: ErrorPage) -> None:
    [heading] = tab.page.locator("h1").all_inner_texts()
    assert heading == tab.page.title() != ""
    direction = tab.page.evaluate("tag => new Intl.Locale(tag).getTextInfo().direction", page.language)
    assert tab.page.evaluate("[document.documentElement.lang, document.dir]") == [page.language, direction]


def test_error_page_is_accessible_on_every_screen(tab: Tab, page: ErrorPage) -> None:
    assert violations(tab, str(page)) == {}


def violations(tab: Tab, name: str) -> dict[str, list[str]]:
    """What axe finds on each screen in each scheme. Pictures of them are kept under this name."""
    found = {}
    for scheme, screen in product(SCHEMES, SCREENS):
        tab.show(scheme, screen)
        tab.page.screenshot(path=PICTURES / f"{name}-{scheme}-{screen}.png")
        found[f"{scheme} {screen}"] = tab.ask("violations")
    return {shown: wrong for shown, wrong in found.items() if wrong}


def test_error_page_fits_every_width_and_text_of_every_size(tab: Tab) -> None:
    assert misfits(tab) == {}


def misfits(tab: Tab) -> dict[str, list[str]]:
    """What does not fit: 320 pixels are 1280 at 400%, and the text alone can be enlarged too (WCAG 1.4.4, 1.4.10)."""
    found = {}
    for width, text in [(320, 100), (390, 100), (1280, 100), (2560, 100), (640, 200), (1280, 400)]:
        tab.page.set_viewport_size({"width": width, "height": 800})
        tab.page.evaluate(f"document.documentElement.style.fontSize = '{text}%'")
        found[f"{width}px {text}%"] = tab.ask("misfits")
    return {size: wrong for size, wrong in found.items() if wrong}


def test_error_page_obeys_forced_colours_reduced_motion_and_paper(tab: Tab) -> None:
    assert obeyed(tab) == []


def obeyed(tab: Tab) -> list[str]:
    """What is wrong where the visitor has chosen colours, wants nothing to move, or prints from a dark screen."""
    tab.page.emulate_media(forced_colors="active", reduced_motion="reduce", color_scheme="dark")
    wrong = [*tab.ask("unforced"), *tab.ask("movements")]
    tab.page.emulate_media(forced_colors="none", media="print")
    return wrong + tab.ask("unprintable")


def test_keyboard_sees_and_takes_the_way_out_of_an_error_page(tab: Tab, page: ErrorPage) -> None:
    home = tab.origin + page.home
    assert tab.press_tab() == home
    assert unseen(tab) == []
    tab.page.keyboard.press("Enter")
    tab.page.wait_for_url(home, wait_until="commit")


def unseen(tab: Tab) -> list[dict[str, str]]:
    """In which colours the focus is not to be seen."""
    colours = [{"color_scheme": scheme} for scheme in SCHEMES] + [{"forced_colors": "active"}]
    place, element = tab.ask("focused"), tab.page.evaluate_handle("document.activeElement").as_element()
    focused = pictures(tab, colours, place)
    tab.page.evaluate("document.activeElement.blur()")
    unfocused = pictures(tab, colours, place)
    element.focus()
    return [colour for colour, before, after in zip(colours, unfocused, focused, strict=True) if before == after]


def pictures(tab: Tab, colours: list[dict[str, str]], place: dict[str, float]) -> list[bytes]:
    taken = []
    for colour in colours:
        tab.page.emulate_media(**colour)
        taken.append(tab.page.screenshot(clip=place))
    tab.page.emulate_media(forced_colors="none")
    return taken


def test_error_page_is_small_and_valid_html(service: Service, page: ErrorPage) -> None:
    answer = service.get(page.path, Accept_Language=page.language)
    assert len(answer.body) < LARGEST
    assert_valid(answer)


def assert_valid(answer: Answer) -> None:
    """
    :raises html5lib.html5parser.ParseError: it is not HTML.
    """
    html5lib.HTMLParser(strict=True).parse(answer.body, transport_encoding="utf-8")


@pytest.mark.parametrize("language", sorted({page.language for page in ERROR_PAGES}))
def test_one_click_selects_the_reference(tabs: Callable[[str], Tab], language: str) -> None:
    tab = opened(tabs(language), "/fail/500")
    reference = tab.response.headers["x-request-id"]
    tab.page.get_by_text(reference, exact=True).click()
    assert tab.page.evaluate("getSelection().toString()") == reference


def test_chromium_looks_for_no_icon_of_an_error_page(tabs: Callable[[str], Tab], service: Service) -> None:
    """Such as ``/favicon.ico``, of which a tab does not tell. The service does."""
    tab = tabs(DEFAULT)
    tab.open("/fail/404?icon")
    service.records(tab.response.headers["x-request-id"])
    tab.open("/fail/500")
    service.records(tab.response.headers["x-request-id"])
    asked = [record["path"] for record in service.log() if record["logger"] == "gunicorn.access"]
    assert "/favicon.ico" not in asked


def test_site_is_accessible_on_every_screen(site: Tab) -> None:
    name = urlsplit(site.page.url).path.strip("/").replace("/", "-") or "home"
    assert violations(site, name) == {}


def test_site_asks_for_nothing_of_others_and_says_nothing_to_the_console(site: Tab) -> None:
    assert [asked for asked in site.requested if not asked.startswith("/")] == []
    assert site.said == []


def test_site_fits_every_width_and_text_of_every_size(site: Tab) -> None:
    assert misfits(site) == {}


def test_site_obeys_forced_colours_reduced_motion_and_paper(site: Tab) -> None:
    assert obeyed(site) == []


def test_keyboard_sees_and_reaches_every_link_of_the_site(site: Tab) -> None:
    links = site.page.locator("a").evaluate_all("links => links.map(link => link.href)")
    assert links
    for link in links:
        assert site.press_tab() == link
        assert unseen(site) == []


def test_site_is_valid_html(service: Service) -> None:
    problems = service.get("/problems/", Accept="application/json").json["problems"]
    for path in [*SITE, *(problem["type"] for problem in problems)]:
        assert_valid(service.get(path))
