"""Errors for people: pages rendered at startup, in the visitor's language where there is a translation.

Each page is stored as bytes with four placeholders: request ID, mount point, description, and when to retry. Rendering
at startup means that a broken template cannot fail during an error.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from urllib.parse import quote

from flask import Flask, Response, current_app, request
from markupsafe import escape
from werkzeug.datastructures import LanguageAccept
from werkzeug.exceptions import HTTPException
from werkzeug.http import parse_accept_header

from .problems import ErrorResponse, description
from .rendering import PageSet, render
from .request_id import request_id


class HTMLRenderer:
    """Renderer for HTML pages.

    :param folder: template folder with ``404.html`` and so on, ``4xx.html`` and ``5xx.html`` for other statuses, and
        folders for languages, such as ``fr/404.html``. Statuses without a template use those of ``errors``.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, error: HTTPException) -> Response:
        page_set, text = self.page_set(current_app), description(error)
        language = _preferred(request.environ.get("HTTP_ACCEPT_LANGUAGE", ""), page_set.languages)
        page = page_set.page(language, str(error.code))
        paragraph = f'<p lang="{page_set.languages[0]}" dir="auto">{escape(text)}</p>' if text else ""
        body = page.body % {
            b"request_id": request_id(request.environ).encode(),
            b"mount_point": _mount_point(request.root_path).encode(),
            b"description": paragraph.encode(errors="replace"),
            b"retry": _retry_paragraph(error, page.retry).encode(),
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
        base = None if self.folder == "errors" else HTMLRenderer("errors").page_set(app)
        app.extensions.setdefault("errors.pages", {})[self.folder] = render(app, self.folder, base)

    def page_set(self, app: Flask) -> PageSet:
        """Return the pages of an application. In debug mode they are rendered afresh, to show changed templates."""
        if app.debug:
            self.init_app(app)
        page_set: PageSet = app.extensions["errors.pages"][self.folder]
        return page_set


def languages_by_tag(languages: tuple[str, ...]) -> dict[str, str]:
    """Return each language by its tag in lower case, and by the first subtag: ``zh`` is ``zh-Hans``."""
    by_subtag = {language.lower().partition("-")[0]: language for language in reversed(languages)}
    return by_subtag | {language.lower(): language for language in languages}


@lru_cache(maxsize=256)
def _preferred(accept_language: str, languages: tuple[str, ...]) -> str:
    """Return the client's preferred language (RFC 9110 section 12.5.4), or the first of ``languages``.

    A tag is shortened until it matches (RFC 4647 section 3.4): ``fa-IR`` matches ``fa``, and ``zh-CN`` matches ``zh``.
    """
    by_tag = languages_by_tag(languages)
    for tag, quality in parse_accept_header(accept_language, LanguageAccept):
        subtags = tag.lower() if quality > 0 else ""
        while subtags:
            if subtags in by_tag:
                return by_tag[subtags]
            subtags = subtags.rpartition("-")[0]
    return languages[0]


def _mount_point(script_name: str) -> str:
    """Return the path before that of every link. It has one slash: ``//a.example`` would be another origin."""
    path = script_name.strip("/")
    return f"/{quote(path)}" if path else ""


def _retry_paragraph(error: HTTPException, texts: Mapping[str, str]) -> str:
    """Return the text for the seconds in ``Retry-After``, rounded up to a number of minutes that has a text."""
    for name, value in error.get_headers(request.environ):
        if name.lower() == "retry-after" and re.fullmatch("[0-9]{1,9}", str(value)):
            for minutes in sorted(texts, key=int):
                if int(value) <= int(minutes) * 60:
                    return f"<p>{escape(texts[minutes])}</p>"
    return ""
