"""How templates become error pages. They stand alone: no ``url_for``, no session, no context processor.

One that cannot be rendered keeps the application from starting.
"""

import re
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from flask import Flask
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

_FOLDER = Path(__file__).parent / "templates"
STYLE = _FOLDER / "errors/style.css"
"""The style that stands within each page."""
OURS = FileSystemLoader(_FOLDER)
_HOLES = ("reference", "mount_point", "sentence", "retry")
_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440)
"""The waits that every ``retry.html`` has words for."""


class Page(NamedTuple):
    """What a template became."""

    body: bytes
    policy: str
    """Its Content-Security-Policy."""
    language: str
    """The tag in ``<html lang="…">`` (RFC 5646); empty where there is none."""


class Edition(NamedTuple):
    """The pages of a folder, and of ``errors`` below it, in all their languages."""

    languages: tuple[str, ...]
    """Their tags. The first is that of the templates which stand in no language's folder."""
    pages: Mapping[tuple[str, str], Page]
    """By language and status: ``404`` and the like, ``4xx`` and ``5xx`` for all others."""
    retries: Mapping[str, Mapping[int, bytes]]
    """By language and minutes: when to try again, in words."""

    def page(self, language: str, status: str) -> Page:
        """The page for a status, in this language if there is one."""
        found = self.pages.get((language, status))
        if found:
            return found
        family, default = f"{status[0]}xx", self.languages[0]
        wanted = ((language, family), (default, status))
        return next((self.pages[key] for key in wanted if key in self.pages), self.pages[default, family])


_kept: dict[tuple[object, ...], Edition] = {}
"""Rendering takes a while, and the tests of an application make it many times."""


def render(app: Flask, folder: str) -> Edition:
    """The pages of a folder, as the templates are now.

    :raises RuntimeError: a template cannot be rendered.
    """
    loaders = [app.jinja_loader, *(blueprint.jinja_loader for blueprint in app.iter_blueprints()), OURS]
    present = [loader for loader in loaders if loader]
    key = (folder, *(stamp for loader in present for stamp in _stamps(loader)))
    if key not in _kept:
        if len(_kept) > 20:  # of a long day in debug mode
            _kept.clear()
        below = None if folder == "errors" else render(app, "errors")
        _kept[key] = _edition(folder, ChoiceLoader(present), below)
    return _kept[key]


def _stamps(loader: BaseLoader) -> Iterator[object]:
    """What differs once a template has changed."""
    if not isinstance(loader, FileSystemLoader):
        yield loader
        return
    for file in (file for path in loader.searchpath for file in Path(path).rglob("*.*")):
        with suppress(OSError):  # an editor's, gone in a moment
            yield str(file), file.stat().st_mtime_ns


def _edition(folder: str, loader: BaseLoader, below: Edition | None) -> Edition:
    templates = environment(loader)
    names = dict(_names(templates, folder))
    default = below.languages[0] if below else _page(templates, names["", "4xx"]).language
    pages = dict(below.pages) if below else {}
    retries = dict(below.retries) if below else {}
    for (tag, status), name in sorted(names.items()):
        if tag and tag == default and not _is_ours(templates, names.get(("", status))):
            continue  # the application has written that page in its default language itself
        if status == "retry":
            retries[tag or default] = _retries(templates, name)
        elif page := _page_in(templates, name, tag, default):
            pages[tag or default, status] = page
    return Edition((default, *sorted({tag for tag, _ in pages} - {default})), pages, retries)


def _names(templates: Environment, folder: str) -> Iterator[tuple[tuple[str, str], str]]:
    """The templates of a folder by language tag and status, and ``retry``."""
    status = r"[45](?:\d\d|xx)|retry" if folder == "errors" else r"[45](?:\d\d|xx)"
    pattern = re.compile(rf"{re.escape(folder)}/(?:([A-Za-z]{{2,3}}(?:-\w+)*)/)?({status})\.html")
    for name in templates.list_templates():
        if match := pattern.fullmatch(name):
            yield (match[1] or "", match[2]), name


def _is_ours(templates: Environment, name: str | None) -> bool:
    file = templates.get_template(name).filename if name else None
    return name is None or (file is not None and Path(file).is_relative_to(_FOLDER))


def _page_in(templates: Environment, name: str, tag: str, default: str) -> Page | None:
    """None where the base of all pages has but one language.

    :raises RuntimeError: the page says that it is in another language than its folder.
    """
    page = _page(templates, name)
    if tag and page.language not in (tag, default):
        raise RuntimeError(f'The error page {name} has to say <html lang="{tag}">, but says "{page.language}".')
    return page if not tag or page.language == tag else None


def environment(loader: BaseLoader) -> Environment:
    """Where templates are rendered: not in the application's environment, whose globals need a request."""
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _page(templates: Environment, name: str) -> Page:
    html = _html(templates, name, **{hole: f"\0{hole}\0" for hole in _HOLES})
    body = html.replace("%", "%%")
    for hole in _HOLES:
        body = body.replace(f"\0{hole}\0", f"%({hole})s")
    if "\0" in body:
        raise RuntimeError(f"The error page {name} changes one of {', '.join(_HOLES)}: each has to stand as it is.")
    language = re.search(r"<html\b[^>]*\blang=[\"']?([\w-]+)", html)
    return Page(body.encode(), policy(html), language[1] if language else "")


def _retries(templates: Environment, name: str) -> Mapping[int, bytes]:
    return {minutes: _html(templates, name, minutes=minutes).encode() for minutes in _MINUTES}


def _html(templates: Environment, name: str, **variables: object) -> str:
    try:
        return templates.get_template(name).render(variables)
    except Exception as error:
        raise RuntimeError(
            f"The error page {name} cannot be rendered: {error}. Error pages are rendered at start-up and stand alone:"
            " they have no url_for, no request and no context processor."
        ) from error


def policy(html: str) -> str:
    """The Content-Security-Policy (CSP level 3) that allows the styles in a page, and nothing else."""
    styles = re.findall(r"<style\b[^>]*>(.*?)</style>", html, re.DOTALL)
    hashes = [f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in styles]
    style_src = " ".join(hashes or ["'none'"])
    return f"default-src 'none'; style-src {style_src}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
