"""Errors for people: pages that were rendered at start-up, in the visitor's language where there are templates in it.

When an error happens its page is bytes with four holes: the reference, the mount point of the application, the
sentence of ``abort(404, "…")``, and when to try again. There is nothing left that could fail.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask import Flask, Response, current_app, request
from markupsafe import escape
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header, parse_date

from .answers import Answer
from .problems import sentence
from .references import reference
from .rendering import Edition, render

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_TRADITIONAL = dict.fromkeys(("zh-tw", "zh-hk", "zh-mo"), "zh-hant")
"""Regions that are known for their script (RFC 5646 section 4.1)."""


class Pages:
    """The renderer for people.

    :param folder: of the templates: ``404.html`` and the like, ``4xx.html`` for the statuses without one of their own,
        and the same in a folder for each other language, as ``fa/404.html``. What is not in it is taken from
        ``errors``. The application's templates win over those in this package.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, error: HTTPException) -> Response:
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]
        edition, environ, detail = self.edition(app), request.environ, sentence(error)
        language = _preferred(environ.get("HTTP_ACCEPT_LANGUAGE", "")[:200], edition.languages)
        page = edition.page(language, str(error.code))
        said = f'<p lang="{edition.languages[0]}" dir="auto">{escape(detail)}</p>' if detail else ""
        body = page.body % {
            b"reference": reference(environ).encode(),
            b"mount_point": _mount_point(environ),
            b"sentence": said.encode(errors="replace"),
            b"retry": _retry(error.get_headers(environ), edition.retries.get(page.language, {})),
        }
        response = Answer(body, error.code, content_type="text/html; charset=utf-8")
        response.headers.add("Content-Security-Policy", page.policy)
        if page.language:
            response.headers.add("Content-Language", page.language)
        if len(edition.languages) > 1:
            response.headers.add("Vary", "Accept-Language")
        return response

    def init_app(self, app: Flask) -> None:
        """Keep the pages for an application. In debug mode each error has what the templates are then.

        :raises RuntimeError: a template cannot be rendered.
        """
        edition = render(app, self.folder)
        if not app.debug:
            app.extensions.setdefault("errors.pages", {})[self.folder] = edition

    def edition(self, app: Flask) -> Edition:
        """The pages of an application."""
        kept: Edition | None = app.extensions.get("errors.pages", {}).get(self.folder)
        return kept or render(app, self.folder)


@lru_cache
def _preferred(accept_language: str, languages: tuple[str, ...]) -> str:
    """The language that a client likes best (RFC 9110 section 12.5.4); the first where it likes none.

    By lookup (RFC 4647 section 3.4): ``fa-IR`` is ``fa``. And a language without its script or region is like any other
    of the same: ``zh-CN`` is ``zh-Hans``.
    """
    known = {language.lower().partition("-")[0]: language for language in reversed(languages)}
    known |= {language.lower(): language for language in languages}
    for tag, quality in parse_accept_header(accept_language, LanguageAccept):
        wanted = _TRADITIONAL.get(tag.lower(), tag.lower()) if quality > 0 else ""
        while wanted:
            if wanted in known:
                return known[wanted]
            wanted = wanted.rpartition("-")[0]
    return languages[0]


def _mount_point(environ: "WSGIEnvironment") -> bytes:
    """What stands before the path of every link. One slash: ``//a.example`` would be another origin."""
    path = environ.get("SCRIPT_NAME", "").strip("/")
    return f"/{quote(path, encoding='latin-1', errors='replace')}".encode() if path else b""


def _retry(headers: Iterable[tuple[str, str]], words: Mapping[int, bytes]) -> bytes:
    """The words for a ``Retry-After`` (RFC 9110 section 10.2.3), rounded up to a wait that has some."""
    for name, value in headers:
        if name.lower() == "retry-after":
            seconds = _seconds(str(value))
            waits = [minutes for minutes in words if 0 < seconds <= minutes * 60]
            return words[min(waits)] if waits else b""
    return b""


def _seconds(retry_after: str) -> float:
    """Of a number or a date. Of anything else 0: whatever an error says, it is answered."""
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return int(retry_after)
    with suppress(ValueError, OverflowError):
        if date := parse_date(retry_after):
            return (date - datetime.now(UTC)).total_seconds()
    return 0
