"""Errors for people: pages rendered at startup, in the visitor's language where there is a translation."""

import re
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
        page_set, text, environ = self.page_set(current_app), description(error), request.environ
        language = _preferred(environ.get("HTTP_ACCEPT_LANGUAGE", ""), page_set.languages)
        page = page_set.page(language, str(error.code))
        paragraph = f'<p lang="{page_set.languages[0]}" dir="auto">{escape(text)}</p>' if text else ""
        mount_point = quote("/" + request.root_path.strip("/")).rstrip("/")  # //a.example would be another origin
        headers = {name.lower(): str(value) for name, value in error.get_headers(environ)}
        seconds = re.fullmatch("[0-9]{1,9}", headers.get("retry-after", ""))
        retry = next((text for limit, text in page.retry if seconds and int(seconds[0]) <= limit), "")
        body = page.body % {
            b"request_id": request_id(environ).encode(),
            b"mount_point": mount_point.encode(),
            b"description": paragraph.encode(errors="replace"),
            b"retry": retry.encode(),
        }
        response = ErrorResponse(body, error.code, page.headers)
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
