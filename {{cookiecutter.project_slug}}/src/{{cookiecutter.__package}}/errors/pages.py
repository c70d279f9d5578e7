"""Errors for people: pages rendered at startup, in the visitor's language where there is a translation.

Each page is stored as bytes with four placeholders: request ID, mount point, description, and when to retry. Rendering
at startup means that a broken template cannot fail during an error.
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

from .problems import ErrorResponse, description
from .rendering import PageSet, render
from .request_id import request_id

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_TRADITIONAL_CHINESE = dict.fromkeys(("zh-tw", "zh-hk", "zh-mo"), "zh-hant")
"""Regions that imply a script (RFC 5646 section 4.1)."""


class HTMLRenderer:
    """Renderer for HTML pages.

    :param folder: template folder with ``404.html`` and so on, ``4xx.html`` and ``5xx.html`` for other statuses, and
        folders for languages, such as ``fr/404.html``. Statuses without a template use those of ``errors``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, error: HTTPException) -> Response:
        page_set, environ, text = self.page_set(current_app), request.environ, description(error)
        language = _preferred(environ.get("HTTP_ACCEPT_LANGUAGE", ""), page_set.languages)
        page = page_set.page(language, str(error.code))
        paragraph = f'<p lang="{page_set.languages[0]}" dir="auto">{escape(text)}</p>' if text else ""
        body = page.body % {
            b"request_id": request_id(environ).encode(),
            b"mount_point": _mount_point(environ),
            b"description": paragraph.encode(errors="replace"),
            b"retry": _retry_text(error.get_headers(environ), page_set.retries.get(page.language, {})),
        }
        response = ErrorResponse(body, error.code, content_type="text/html; charset=utf-8")
        response.headers.add("Content-Security-Policy", page.policy)
        if page.language:
            response.headers.add("Content-Language", page.language)
        if len(page_set.languages) > 1:
            response.headers.add("Vary", "Accept-Language")
        return response

    def init_app(self, app: Flask) -> None:
        """Render the pages of an application.

        :raises RuntimeError: if a page cannot be rendered.
        """
        app.extensions.setdefault("errors.pages", {})[self.folder] = self._render(app)

    def page_set(self, app: Flask) -> PageSet:
        """Return the pages of an application. In debug mode they are rendered afresh, to show changed templates."""
        cached: PageSet = app.extensions["errors.pages"][self.folder]
        return self._render(app) if app.debug else cached

    def _render(self, app: Flask) -> PageSet:
        return render(app, self.folder, None if self.folder == "errors" else HTMLRenderer("errors").page_set(app))


@lru_cache(maxsize=256)
def _preferred(accept_language: str, languages: tuple[str, ...]) -> str:
    """Return the client's preferred language (RFC 9110 section 12.5.4), or the first of ``languages``.

    Tags are matched by lookup (RFC 4647 section 3.4): ``fa-IR`` matches ``fa``. A tag also matches a language that only
    adds a script or a region: ``zh-CN`` matches ``zh-Hans``.
    """
    known = {language.lower().partition("-")[0]: language for language in reversed(languages)}
    known |= {language.lower(): language for language in languages}
    for tag, quality in parse_accept_header(accept_language, LanguageAccept):
        subtags = _TRADITIONAL_CHINESE.get(tag.lower(), tag.lower()) if quality > 0 else ""
        while subtags:
            if subtags in known:
                return known[subtags]
            subtags = subtags.rpartition("-")[0]
    return languages[0]


def _mount_point(environ: "WSGIEnvironment") -> bytes:
    """Return the path before that of every link. It has one slash: ``//a.example`` would be another origin."""
    path = environ.get("SCRIPT_NAME", "").strip("/")
    return f"/{quote(path, encoding='latin-1', errors='replace')}".encode() if path else b""


def _retry_text(headers: Iterable[tuple[str, str]], texts: Mapping[int, bytes]) -> bytes:
    """Return the text for a ``Retry-After`` header (RFC 9110 section 10.2.3), rounded up to a number of minutes."""
    for name, value in headers:
        if name.lower() == "retry-after":
            seconds = _retry_seconds(str(value))
            return next((texts[minutes] for minutes in sorted(texts) if 0 < seconds <= minutes * 60), b"")
    return b""


def _retry_seconds(retry_after: str) -> float:
    """Parse a ``Retry-After`` value (seconds or HTTP date). Return 0 if it is invalid."""
    if re.fullmatch("[0-9]{1,9}", retry_after):
        return int(retry_after)
    with suppress(ValueError, OverflowError):
        if date := parse_date(retry_after):
            return (date - datetime.now(UTC)).total_seconds()
    return 0
