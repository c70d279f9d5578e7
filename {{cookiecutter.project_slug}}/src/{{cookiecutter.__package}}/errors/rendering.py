"""Render the error pages at startup, from the texts in ``translations/`` and from the templates of the application.

The templates are rendered without ``url_for``, session and context processors, so a page cannot fail during an error.
An error in a template or in a translation stops the start of the application.
"""

import re
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Path(__file__).parent / "templates"
_ENGLISH = Path(__file__).parent / "en.toml"
_TRANSLATIONS = Path(__file__).parent / "translations"
STYLE = _TEMPLATES / "errors/style.css"
"""Path of the style sheet that is included in each page."""
BUILTIN_LOADER = FileSystemLoader(_TEMPLATES)
PLACEHOLDERS = ("request_id", "mount_point", "description", "retry")
"""Variables of the templates that get their values when an error occurs."""

Texts = dict[str, Any]
"""Content of a translation."""

_STATUS = r"[45](?:\d\d|xx)"
_REQUIRED_KEYS = {"dir", "way_home", "request_id_label", "errors.4xx.heading", "errors.5xx.heading"}
_is_key = re.compile(
    rf"dir|way_home|request_id_label|retry\.\d+|\w+\.{_STATUS}\.(?:heading|explanation|way_home)"
).fullmatch


class Page(NamedTuple):
    """A rendered page.

    ``body`` has placeholders, ``policy`` is its Content-Security-Policy, and ``language`` its language tag (RFC 5646).
    ``retry`` has the text for each number of minutes.
    """

    body: bytes
    policy: str
    language: str
    retry: Mapping[str, str]


class PageSet(NamedTuple):
    """The pages of a template folder in all languages.

    The default language is the first of ``languages``. The keys of ``pages`` are language and status, where ``4xx`` and
    ``5xx`` stand for the statuses without a page of their own.
    """

    languages: tuple[str, ...]
    pages: Mapping[tuple[str, str], Page]

    def page(self, language: str, status: str) -> Page:
        """Return the page for a status in a language, or in the default language if this language has none."""
        family, default = f"{status[0]}xx", self.languages[0]
        keys = ((language, status), (default, status), (language, family), (default, family))
        return next(self.pages[key] for key in keys if key in self.pages)


def render(app: Flask, folder: str, base: PageSet | None) -> PageSet:
    """Render all pages of a template folder.

    :param base: the pages of ``errors``, used for statuses without a template or a text in ``folder``.
    :raises RuntimeError: if a template cannot be rendered, or if a translation has a missing or unknown key.
    """
    templates, translations = environment(app), load_translations()
    default = app.config.get("ERROR_PAGE_LANGUAGE", "en")
    if default not in translations:
        raise RuntimeError(f"There is no file {default}.toml for ERROR_PAGE_LANGUAGE={default}.")
    own = _own_templates(templates, folder, default)
    pages = dict(base.pages) if base else {}
    for tag, texts in translations.items():
        for status, page_texts in texts.get(folder, {}).items():
            parent = own.get((default, status), "errors/base.html")
            page = _render_page(templates, "errors/translation.html", tag, texts | page_texts, parent)
            if page.language == tag or tag == default:  # a template in one language is not for the others
                pages[tag, status] = page
    for (tag, status), name in own.items():
        pages[tag, status] = _render_page(templates, name, tag, translations.get(tag, translations[default]))
    return PageSet((default, *sorted({tag for tag, _ in pages} - {default})), pages)


def environment(app: Flask) -> Environment:
    """Return a template environment without the application's globals, which need a request.

    Templates of the application override those of this package.
    """
    loader = ChoiceLoader([app.create_global_jinja_loader(), BUILTIN_LOADER])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _own_templates(templates: Environment, folder: str, default: str) -> dict[tuple[str, str], str]:
    """Return the names of the application's templates in a folder by language and status."""
    pattern = re.compile(rf"{re.escape(folder)}/(?:([A-Za-z]{{2,3}}(?:-\w+)*)/)?({_STATUS})\.html")
    names = {}
    for name in templates.list_templates():
        if match := pattern.fullmatch(name):
            names[match[1] or default, match[2]] = name
    return names


def _render_page(templates: Environment, name: str, language: str, text: Texts, parent: str = "") -> Page:
    """Render a template to a page.

    :raises RuntimeError: if the template cannot be rendered, or changes a placeholder.
    """
    variables = {key: f"\0{key}\0" for key in PLACEHOLDERS}
    try:
        html = templates.get_template(name).render(variables, language=language, text=text, parent=parent)
    except Exception as error:
        raise RuntimeError(
            f"The error page {parent or name} cannot be rendered: {error}. Error pages are rendered at startup, without"
            " url_for, request, session and context processors."
        ) from error
    body = re.sub(rf"\0({'|'.join(PLACEHOLDERS)})\0", r"%(\1)s", html.replace("%", "%%"))
    if "\0" in body:
        raise RuntimeError(f"The error page {name} changes one of {', '.join(PLACEHOLDERS)}; use them unchanged.")
    match = re.search(r"<html\b[^>]*\blang=[\"']?([\w-]+)", html)
    return Page(body.encode(), policy(html), match[1] if match else "", text.get("retry", {}))


def policy(html: str) -> str:
    """Return a Content-Security-Policy (CSP level 3) that allows the style elements of a page and nothing else."""
    styles = dict.fromkeys(re.findall(r"<style\b[^>]*>(.*?)</style>", html, re.DOTALL))
    hashes = [f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in styles]
    style_src = " ".join(hashes or ["'none'"])
    return f"default-src 'none'; style-src {style_src}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def load_translations() -> dict[str, Texts]:
    """Return the texts of ``en.toml`` and each ``translations/LANGUAGE.toml`` by language tag.

    :raises RuntimeError: if a file is not valid TOML, or has a missing or unknown key. It names the file and the key.
    """
    translations = {}
    for file in [_ENGLISH, *sorted(_TRANSLATIONS.glob("*.toml"))]:
        try:
            translations[file.stem] = _parse(file.read_text("utf-8"))
        except ValueError as error:
            raise RuntimeError(f"{file.parent.name}/{file.name}: {error}") from error
    return translations


@cache
def _parse(toml: str) -> Texts:
    """Parse a translation and check its keys, written as in ``errors.404.heading``.

    :raises ValueError: if the TOML is invalid, or a key is missing, unknown, or has a value of the wrong type.
    """
    texts = tomllib.loads(toml)
    values = dict(_flatten(texts))
    for key, value in values.items():
        if not _is_key(key):
            raise ValueError(f"unknown key {key}")
        if not isinstance(value, list if key.endswith(".explanation") else str):
            raise ValueError(f"wrong type of {key}")
    pages = {key.rpartition(".")[0] for key in values if key.count(".") == 2}
    required = _REQUIRED_KEYS | {f"{page}.{name}" for page in pages for name in ("heading", "explanation")}
    for key in sorted(required - values.keys()):
        raise ValueError(f"missing key {key}")
    return texts


def _flatten(texts: Texts, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in texts.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value
