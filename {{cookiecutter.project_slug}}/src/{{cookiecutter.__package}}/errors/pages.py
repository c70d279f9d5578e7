"""Errors for people: pages that were rendered at start-up, in the visitor's language where there are templates in it.

When an error happens its page is bytes with four holes: the reference, the mount point of the application, the
sentence of ``abort(404, "…")``, and when to try again. There is nothing left that could fail.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
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


class Pages:
    """The renderer for people.

    :param folder: of the templates: ``404.html`` and the like, ``4xx.html`` for the statuses without one of their own,
        and the same in a folder for each other language, as ``fa/404.html``. What is not in it is taken from
        ``errors``. The application's templates win over those in this package.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, error: HTTPException) -> Response:
        edition, environ, detail = self.edition(current_app), request.environ, sentence(error)
        language = _preferred(environ.get("HTTP_ACCEPT_LANGUAGE", "")[:200], edition.languages)
        page = edition.page(language, str(error.code))
        said = f'<p lang="{edition.languages[0]}" dir="auto">{escape(detail)}</p>' if detail else ""
        body = page.body % {
            b"reference": reference(environ).encode(),
            b"mount_point": quote(environ.get("SCRIPT_NAME", ""), encoding="latin-1").encode(),
            b"sentence": said.encode(errors="replace"),
            b"retry": _retry(error, edition.retries.get(page.language, {})),
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

    ``fa-IR`` likes ``fa``, and ``zh-CN`` likes ``zh-Hans``: the primary subtags have to agree (RFC 4647).
    """
    accepted = parse_accept_header(accept_language, LanguageAccept)
    for wanted in (tag.lower() for tag, quality in accepted if quality > 0):
        for same in (str.lower, _primary):
            for language in languages:
                if same(language) == same(wanted):
                    return language
    return languages[0]


def _primary(tag: str) -> str:
    return tag.lower().partition("-")[0]


def _retry(error: HTTPException, words: Mapping[int, bytes]) -> bytes:
    """The words for the ``Retry-After`` of an error (RFC 9110 section 10.2.3), rounded up to a wait that has some."""
    after = next((value for name, value in error.get_headers() if name.lower() == "retry-after"), None)
    if not after:
        return b""
    date = parse_date(after)
    seconds = (date - datetime.now(UTC)).total_seconds() if date else int(after)
    waits = [minutes for minutes in words if 0 < seconds <= minutes * 60]
    return words[min(waits)] if waits else b""
