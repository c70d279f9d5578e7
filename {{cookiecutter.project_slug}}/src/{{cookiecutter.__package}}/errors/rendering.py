"""Render the error pages at startup, from the templates in the default language and from ``translations/``.

The templates are rendered without ``url_for``, session and context processors, so a page cannot fail during an error.
An error in a template or in a translation stops the start of the application.
"""

import re
import tomllib
from base64 import b64encode
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from markupsafe import escape

_TEMPLATES = Path(__file__).parent / "templates"
_TRANSLATIONS = Path(__file__).parent / "translations"
STYLE = _TEMPLATES / "errors/style.css"
"""Path of the style sheet that is included in each page."""
BUILTIN_LOADER = FileSystemLoader(_TEMPLATES)
PLACEHOLDERS = ("request_id", "mount_point", "description", "retry")
"""Variables of the templates that get their values when an error occurs."""
RETRY_MINUTES = (1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440)
"""Waiting times for which ``retry.html`` has a text."""

_STATUS = r"[45](?:\d\d|xx)"
_LANGUAGE_KEYS = {"dir": str, "way_home": str, "request_id_label": str, "retry": dict}
_PAGE_KEYS = {"heading": str, "explanation": list}


class Page(NamedTuple):
    """A rendered template: the body with placeholders, its Content-Security-Policy, its language tag (RFC 5646)."""

    body: bytes
    policy: str
    language: str


class PageSet(NamedTuple):
    """The pages of a template folder in all languages.

    The default language is the first of ``languages``. The keys of ``pages`` are language and status, where ``4xx`` and
    ``5xx`` stand for the statuses without a page of their own. ``retries`` has a text for each number of minutes.
    """

    languages: tuple[str, ...]
    pages: Mapping[tuple[str, str], Page]
    retries: Mapping[str, Mapping[int, bytes]]

    def page(self, language: str, status: str) -> Page:
        """Return the page for a status in a language, or in the default language if this language has none."""
        family, default = f"{status[0]}xx", self.languages[0]
        keys = ((language, status), (default, status), (language, family), (default, family))
        return next(self.pages[key] for key in keys if key in self.pages)


def render(app: Flask, folder: str, base: PageSet | None) -> PageSet:
    """Render all pages of a template folder. Templates of the application override those of this package.

    :param base: the pages of ``errors``, used for statuses without a template in ``folder``.
    :raises RuntimeError: if a template cannot be rendered, or if a translation has a missing or unknown key.
    """
    loaders = [app.jinja_loader, *(blueprint.jinja_loader for blueprint in app.iter_blueprints()), BUILTIN_LOADER]
    templates = environment(ChoiceLoader([loader for loader in loaders if loader]))
    names = dict(_template_names(templates, folder))
    default = base.languages[0] if base else _render_page(templates, names["", "4xx"]).language
    pages = dict(base.pages) if base else {}
    pages |= {(default, status): _render_page(templates, name) for (tag, status), name in names.items() if not tag}
    translations = load_translations()
    for tag, texts in translations.items():
        pages |= _translate(templates, folder, names, default, tag, texts)
    pages |= {(tag, status): _render_own(templates, name, tag) for (tag, status), name in names.items() if tag}
    retries = base.retries if base else _retry_texts(templates, default, translations)
    return PageSet((default, *sorted({tag for tag, _ in pages} - {default})), pages, retries)


def _template_names(templates: Environment, folder: str) -> Iterator[tuple[tuple[str, str], str]]:
    """Yield the templates of a folder with their language tag, "" for the default language, and their status."""
    pattern = re.compile(rf"{re.escape(folder)}/(?:([A-Za-z]{{2,3}}(?:-\w+)*)/)?({_STATUS})\.html")
    for name in templates.list_templates():
        if match := pattern.fullmatch(name):
            yield (match[1] or "", match[2]), name


def _translate(
    templates: Environment,
    folder: str,
    names: Mapping[tuple[str, str], str],
    default: str,
    tag: str,
    texts: dict[str, Any],
) -> dict[tuple[str, str], Page]:
    """Render the pages of a folder in the language of a translation."""
    pages = {}
    for status, page_texts in (texts if folder == "errors" else texts.get(folder, {})).items():
        parent = names.get(("", status), "errors/base.html")
        is_overridden = tag == default and not _is_builtin(templates, parent)
        if re.fullmatch(_STATUS, status) and not is_overridden:
            variables = {"parent": parent, "language": tag, "text": texts | page_texts}
            pages[tag, status] = _render_page(templates, "errors/translation.html", **variables)
    return {key: page for key, page in pages.items() if page.language == tag}  # not with a base of one language


def _render_own(templates: Environment, name: str, tag: str) -> Page:
    """Render a template of the application in a language folder, such as ``errors/fr/404.html``."""
    page = _render_page(templates, name)
    if page.language != tag:
        raise RuntimeError(f'The error page {name} must have <html lang="{tag}">; set its block lang.')
    return page


def _retry_texts(
    templates: Environment, default: str, translations: Mapping[str, dict[str, Any]]
) -> Mapping[str, Mapping[int, bytes]]:
    retries = {
        tag: {int(minutes): f"<p>{escape(text)}</p>".encode() for minutes, text in texts["retry"].items()}
        for tag, texts in translations.items()
    }
    if default not in retries or not _is_builtin(templates, "errors/retry.html"):
        retries[default] = {n: _render(templates, "errors/retry.html", minutes=n).encode() for n in RETRY_MINUTES}
    return retries


def _is_builtin(templates: Environment, name: str) -> bool:
    filename = templates.get_template(name).filename
    return filename is not None and Path(filename).is_relative_to(_TEMPLATES)


def load_translations() -> dict[str, dict[str, Any]]:
    """Return the texts of each ``translations/LANGUAGE.toml`` by language tag.

    :raises RuntimeError: if a file is not valid TOML, or has a missing or unknown key. It names the file and the key.
    """
    translations = {}
    for file in sorted(_TRANSLATIONS.glob("*.toml")):
        try:
            translations[file.stem] = texts = tomllib.loads(file.read_text("utf-8"))
            _check_texts(texts)
        except ValueError as error:
            raise RuntimeError(f"{_TRANSLATIONS.name}/{file.name}: {error}") from error
    return translations


def _check_texts(texts: dict[str, Any]) -> None:
    pages = {key: table for key, table in texts.items() if key not in _LANGUAGE_KEYS}
    _check_keys("", {key: value for key, value in texts.items() if key not in pages}, _LANGUAGE_KEYS)
    for minutes, text in texts["retry"].items():
        if int(minutes) not in RETRY_MINUTES or not isinstance(text, str):
            raise ValueError(f"wrong value of {minutes} in [retry]")
    for key, table in pages.items():
        is_page = re.fullmatch(_STATUS, key) or not isinstance(table, dict)
        for name, page in ({key: table} if is_page else {f"{key}.{status}": table[status] for status in table}).items():
            if not isinstance(page, dict) or not re.fullmatch(rf"(\w+\.)?{_STATUS}", name):
                raise ValueError(f"unknown key {name}")
            _check_keys(f" in [{name}]", page, _PAGE_KEYS | ({"way_home": str} if "way_home" in page else {}))


def _check_keys(where: str, table: dict[str, Any], types: Mapping[str, type]) -> None:
    for key in table.keys() - types.keys():
        raise ValueError(f"unknown key {key}{where}")
    for key, expected in types.items():
        if key not in table:
            raise ValueError(f"missing key {key}{where}")
        if not isinstance(table[key], expected):
            raise ValueError(f"wrong value of {key}{where}")


def environment(loader: BaseLoader) -> Environment:
    """Return a template environment without the application's globals, which need a request."""
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _render_page(templates: Environment, name: str, **variables: Any) -> Page:
    """Render a template to a page.

    :raises RuntimeError: if the template cannot be rendered, or changes a placeholder.
    """
    html = _render(templates, name, **{key: f"\0{key}\0" for key in PLACEHOLDERS}, **variables)
    body = html.replace("%", "%%")
    for key in PLACEHOLDERS:
        body = body.replace(f"\0{key}\0", f"%({key})s")
    if "\0" in body:
        raise RuntimeError(f"The error page {name} changes one of {', '.join(PLACEHOLDERS)}; use them unchanged.")
    match = re.search(r"<html\b[^>]*\blang=[\"']?([\w-]+)", html)
    language = match[1] if match else ""
    return Page(body.encode(), policy(html), language)


def _render(templates: Environment, name: str, **variables: Any) -> str:
    try:
        return templates.get_template(name).render(variables)
    except Exception as error:
        raise RuntimeError(
            f"The error page {variables.get('parent', name)} cannot be rendered: {error}. Error pages are rendered at"
            " startup, without url_for, request, session and context processors."
        ) from error


def policy(html: str) -> str:
    """Return a Content-Security-Policy (CSP level 3) that allows the style elements of a page and nothing else."""
    styles = re.findall(r"<style\b[^>]*>(.*?)</style>", html, re.DOTALL)
    hashes = [f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" for style in styles]
    style_src = " ".join(hashes or ["'none'"])
    return f"default-src 'none'; style-src {style_src}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
