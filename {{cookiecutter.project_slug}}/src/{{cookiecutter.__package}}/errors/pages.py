"""Errors for people: pages rendered once, at start-up.

When an error happens its page is bytes with three holes: the reference, the mount point of the application, and the
sentence of ``abort(404, "…")``. There is nothing left that could fail. The templates stand alone: no ``url_for``, no
session, no context processor; one that cannot be rendered keeps the application from starting.
"""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from flask import Flask, Response, current_app, request
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import escape
from werkzeug.exceptions import HTTPException

from .problems import sentence
from .references import reference

_TEMPLATES = FileSystemLoader(Path(__file__).parent / "templates")
_HOLES = ("reference", "mount_point", "sentence")


class Page(NamedTuple):
    """A page for one status, and the policy that allows its inline style and nothing else."""

    body: bytes
    policy: str


class Pages:
    """The renderer for people.

    :param folder: of the templates: ``404.html`` and the like, ``4xx.html`` for the statuses without one of their own.
        What is not in it is taken from ``errors``. The application's templates win over those in this package.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __call__(self, error: HTTPException) -> Response:
        pages = current_app.extensions.get("errors.pages", {}).get(self.folder) or self.build(current_app)
        page = pages.get(code := str(error.code)) or pages[f"{code[0]}xx"]
        environ, detail = request.environ, sentence(error)
        body = page.body % {
            b"reference": reference(environ).encode(),
            b"mount_point": quote(environ.get("SCRIPT_NAME", ""), encoding="latin-1").encode(),
            b"sentence": f"<p>{escape(detail)}</p>".encode(errors="replace") if detail else b"",
        }
        response = Response(body, error.code, content_type="text/html; charset=utf-8")
        response.headers.add("Content-Security-Policy", page.policy)
        return response

    def init_app(self, app: Flask) -> None:
        """Keep the pages for an application. In debug mode they are rendered for each error instead.

        :raises RuntimeError: a template cannot be rendered.
        """
        pages = self.build(app)
        if not app.debug:
            app.extensions.setdefault("errors.pages", {})[self.folder] = pages

    def build(self, app: Flask) -> dict[str, Page]:
        """Render the pages: of ``404.html`` under the name ``404``, and so on.

        :raises RuntimeError: a template cannot be rendered.
        """
        loader = ChoiceLoader([app.create_global_jinja_loader(), _TEMPLATES])
        environment = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        pages = {}
        for folder in ("errors", self.folder):
            for name in environment.list_templates(["html"]):
                if re.fullmatch(rf"{re.escape(folder)}/[45](\d\d|xx)\.html", name):
                    pages[Path(name).stem] = _render(environment, name)
        return pages


def _render(environment: Environment, name: str) -> Page:
    try:
        html = environment.get_template(name).render({hole: f"\0{hole}\0" for hole in _HOLES})
    except Exception as error:
        raise RuntimeError(
            f"The error page {name} cannot be rendered: {error}. Error pages are rendered at start-up and stand alone:"
            " they have no url_for, no request and no context processor."
        ) from error
    body = html.replace("%", "%%")
    for hole in _HOLES:
        body = body.replace(f"\0{hole}\0", f"%({hole})s")
    if "\0" in body:
        raise RuntimeError(f"The error page {name} changes one of {', '.join(_HOLES)}: each has to stand as it is.")
    return Page(body.encode(), _policy(html))


def _policy(html: str) -> str:
    """The Content-Security-Policy (CSP level 3) for a page whose style stands in it."""
    styles = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)
    hashes = [f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in styles]
    style_src = " ".join(hashes or ["'none'"])
    return f"default-src 'none'; style-src {style_src}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
