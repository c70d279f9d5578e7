"""Render the error pages at startup, from the translations and the templates, so that they cannot fail later."""

import re
import tomllib
from base64 import b64encode
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import escape

Texts = dict[str, Any]  # content of a translation
_parse = cache(tomllib.loads)  # for the folders of all applications

_FOLDER = Path(__file__).parent
_TRANSLATIONS = _FOLDER / "translations"
STYLE = _FOLDER / "templates/errors/style.css"  # included in each page
BUILTIN_LOADER = FileSystemLoader(_FOLDER / "templates")
# Variables of the templates that get their values when an error occurs.
PLACEHOLDERS = ("request_id", "mount_point", "description", "retry")

_STATUS = r"[45](?:\d\d|xx)"
_KEY = re.compile(rf"dir|way_home|request_id_label|retry\.\d+|\w+\.{_STATUS}\.(?:heading|explanation|way_home)")
_REQUIRED_KEYS = {"": ("dir", "way_home", "request_id_label", "errors"), "errors.": ("4xx", "5xx")}


class Page(NamedTuple):
    """A rendered page."""

    body: bytes  # with placeholders
    headers: Mapping[str, str]
    retry: list[tuple[int, str]]  # paragraphs by the maximum of Retry-After in seconds, in ascending order


class PageSet(NamedTuple):
    """The pages of a template folder in all languages."""

    languages: tuple[str, ...]  # tags (RFC 5646), the default language first
    pages: Mapping[tuple[str, str], Page]  # by language and status, where 4xx and 5xx stand for other statuses

    def page(self, language: str, status: str) -> Page:
        """Return the page for a status in a language, or in the default language if this language has none."""
        family, default = f"{status[0]}xx", self.languages[0]
        keys = ((language, status), (default, status), (language, family), (default, family))
        return next(self.pages[key] for key in keys if key in self.pages)


def render(app: Flask, folder: str, base: PageSet | None) -> PageSet:
    """Render all pages of a template folder. Statuses without a template or a text have the pages of ``base``.

    :raises RuntimeError: if a template cannot be rendered, or if a translation has a missing or unknown key.
    """
    templates, translations = environment(app), load_translations()
    default = app.config.get("ERROR_PAGE_LANGUAGE", "en")
    if default not in translations:
        raise RuntimeError(f"There is no file {default}.toml for ERROR_PAGE_LANGUAGE={default}.")
    pattern = re.compile(rf"{re.escape(folder)}/(?:([A-Za-z]{{2,3}}(?:-\w+)*)/)?({_STATUS})\.html")
    matches = filter(None, map(pattern.fullmatch, templates.list_templates()))
    own = {(match[1] or default, match[2]): match[0] for match in matches}
    pages = dict(base.pages) if base else {}
    for tag, texts in translations.items():
        for status, page_texts in texts.get(folder, {}).items():
            parent = own.get((default, status), "errors/base.html")
            page = _render_page(templates, "errors/translation.html", tag, texts | page_texts, parent)
            if page.headers.get("Content-Language") == tag or tag == default:
                pages[tag, status] = page  # a template in one language is not for the others
    for (tag, status), name in own.items():
        pages[tag, status] = _render_page(templates, name, tag, translations.get(tag, translations[default]))
    return PageSet((default, *sorted({tag for tag, _ in pages} - {default})), pages)


def environment(app: Flask) -> Environment:
    """Return an environment for the templates of the application, then of this folder, without Flask's globals."""
    loader = ChoiceLoader([app.create_global_jinja_loader(), BUILTIN_LOADER])
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _render_page(templates: Environment, name: str, language: str, text: Texts, parent: str = "") -> Page:
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
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": policy(html)}
    if match := re.search(r"<html\b[^>]*\blang=[\"']?([\w-]+)", html):
        headers["Content-Language"] = match[1]
    retry = [(int(minutes) * 60, f"<p>{escape(value)}</p>") for minutes, value in text.get("retry", {}).items()]
    return Page(body.encode(), headers, sorted(retry))


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
    translations: dict[str, Texts] = {}
    for file in [_FOLDER / "en.toml", *sorted(_TRANSLATIONS.glob("*.toml"))]:
        try:
            translations[file.stem] = _parse(file.read_text("utf-8"))
            _check(translations[file.stem])
        except ValueError as error:
            raise RuntimeError(f"{file.parent.name}/{file.name}: {error}") from error
    return translations


def _check(table: Texts, prefix: str = "") -> None:
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict):
            _check(value, f"{key}.")
        elif not _KEY.fullmatch(key):
            raise ValueError(f"unknown key {key}")
        elif not isinstance(value, list if name == "explanation" else str):
            raise ValueError(f"wrong type of {key}")
    is_page = prefix.count(".") == 2
    for name in ("heading", "explanation") if is_page else _REQUIRED_KEYS.get(prefix, ()):
        if name not in table:
            raise ValueError(f"missing key {prefix}{name}")
