"""Render the error pages at startup, from the templates in the default language and from ``translations/``.

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
from jinja2 import BaseLoader, ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from jinja2.bccache import Bucket, BytecodeCache
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

Texts = dict[str, Any]
"""Content of a translation."""

_STATUS = r"[45](?:\d\d|xx)"
_REQUIRED_KEYS = {"dir", "way_home", "request_id_label", f"retry.{RETRY_MINUTES[-1]}"}


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
    templates: Environment, folder: str, names: dict[tuple[str, str], str], default: str, tag: str, texts: Texts
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
    templates: Environment, default: str, translations: Mapping[str, Texts]
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


def load_translations() -> dict[str, Texts]:
    """Return the texts of each ``translations/LANGUAGE.toml`` by language tag.

    :raises RuntimeError: if a file is not valid TOML, or has a missing or unknown key. It names the file and the key.
    """
    translations = {}
    for file in sorted(_TRANSLATIONS.glob("*.toml")):
        try:
            translations[file.stem] = _parse(file.read_text("utf-8"))
        except ValueError as error:
            raise RuntimeError(f"{_TRANSLATIONS.name}/{file.name}: {error}") from error
    return translations


@cache
def _parse(toml: str) -> Texts:
    """Parse a translation and check its keys, written as in ``404.heading``.

    :raises ValueError: if the TOML is invalid, or a key is missing, unknown, or has a value of the wrong type.
    """
    texts = tomllib.loads(toml)
    values = dict(_flatten(texts))
    pages = {key.rpartition(".")[0] for key in values if re.fullmatch(rf"(\w+\.)?{_STATUS}\.\w+", key)}
    required = _REQUIRED_KEYS | {f"{page}.{name}" for page in pages for name in ("heading", "explanation")}
    allowed = required | {f"{page}.way_home" for page in pages} | {f"retry.{minutes}" for minutes in RETRY_MINUTES}
    for key in sorted(values.keys() - allowed):
        raise ValueError(f"unknown key {key}")
    for key in sorted(required - values.keys()):
        raise ValueError(f"missing key {key}")
    for key, value in values.items():
        if not isinstance(value, list if key.endswith(".explanation") else str):
            raise ValueError(f"wrong type of {key}")
    return texts


def _flatten(texts: Texts, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in texts.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


class _CompiledTemplates(BytecodeCache):
    """Compiled templates, kept in memory, so that each template is compiled once for all folders and applications."""

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = _compiled.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        _compiled[bucket.key, bucket.checksum] = bucket.code


_compiled: dict[tuple[str, str], Any] = {}


def environment(loader: BaseLoader) -> Environment:
    """Return a template environment without the application's globals, which need a request."""
    jinja = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.bytecode_cache = _CompiledTemplates()
    return jinja


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
    return Page(body.encode(), policy(html), match[1] if match else "")


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
