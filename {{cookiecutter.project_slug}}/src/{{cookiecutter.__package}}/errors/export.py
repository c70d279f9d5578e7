"""``flask errors export DIR``: write the error pages and problems for the proxy, for when the service is down."""

import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

import click
from flask import Response, current_app
from flask.cli import AppGroup
from jinja2 import Environment

from .pages import HTMLRenderer, languages_by_tag
from .prefixes import registered_prefixes, to_pattern
from .problems import InvalidAPIUsage, render_problem
from .rendering import BUILTIN_LOADER, policy
from .request_id import ENVIRON_KEY

# Stands for the request ID in the files. nginx and Caddy replace it; for others it is an HTML comment.
REQUEST_ID = "<!--{placeholder `http.request.uuid`}-->"
STATUSES = [status.value for status in HTTPStatus if status >= 400]
HEADERS = {405: {"Allow": "GET"}, **{status: {"Retry-After": "30"} for status in (502, 503, 504)}}

cli = AppGroup("errors", help="Export the error pages.")


@cli.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def export(folder: Path) -> None:
    """Write all error pages and problems into DIR, for nginx or Caddy to send when the service is down."""
    folder = folder.absolute()
    if invalid := re.search(r"[\"$`\\{}\x00-\x1f]", str(folder)):
        raise click.ClickException(f"The configuration of nginx and Caddy cannot hold the {invalid[0]!r} in {folder}.")
    os.umask(0o022)  # the proxy runs as another user
    try:
        for name, content in _files(folder).items():
            path, new = folder / name, folder / f"{name}.new"
            path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(content, "utf-8")
            new.replace(path)  # the proxy never reads half a file, and a full disk leaves the old one
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror}.") from None
    nginx = f"nginx: include {folder}/nginx-http.conf; beside the servers, {folder}/nginx-server.conf; in one"
    click.echo(f"Written. {nginx}. Caddy: import {folder}/Caddyfile in the site.")


def example(status: int) -> InvalidAPIUsage:
    """Return an error with a status, and with the headers that it usually has."""
    error = InvalidAPIUsage(status_code=status)
    error.headers = HEADERS.get(status, {})
    return error


def _files(folder: Path) -> dict[str, str]:
    """Return the content of each file by its path below the folder. The configuration comes last."""
    renderers = [HTMLRenderer("errors"), *(renderer for _, renderer in registered_prefixes(current_app))]
    pages = {each.folder: each for each in renderers if isinstance(each, HTMLRenderer)}
    languages = tuple(dict.fromkeys(tag for each in pages.values() for tag in each.page_set(current_app).languages))
    responses = dict(_responses(pages, languages))
    files = {name: response.get_data(as_text=True) for name, response in responses.items()}
    tags = {name: response.headers.get("Content-Language", "") for name, response in responses.items()}
    templates = Environment(loader=BUILTIN_LOADER, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    templates.globals.update(
        folder=folder,
        request_id=REQUEST_ID,
        statuses=STATUSES,
        policy=policy("".join(files.values())),
        prefixes=list(_prefix_folders()),
        default=languages[0],
        tags=languages_by_tag(languages),
        other_languages={name: tag for name, tag in tags.items() if tag and f"/{tag}/" not in name},
    )
    names = "nginx-http.conf", "nginx-server.conf", "Caddyfile"
    return files | {name: templates.get_template(f"export/{name}").render() for name in names}


def _responses(pages: dict[str, HTMLRenderer], languages: tuple[str, ...]) -> Iterator[tuple[str, Response]]:
    """Yield the responses of the service by the path of their file, with ``REQUEST_ID`` as the request ID."""
    for language in languages:
        headers, environ = {"Accept-Language": language}, {ENVIRON_KEY: REQUEST_ID}
        with current_app.test_request_context(headers=headers, environ_overrides=environ):
            for status in STATUSES:
                yield f"problems/{status}.json", render_problem(example(status))
                for folder, page in pages.items():
                    yield f"{folder}/{language}/{status}.html", page(example(status))


def _prefix_folders() -> Iterator[tuple[str, str]]:
    """Yield the prefixes, longest first, as regular expressions, with the folder of their files."""
    mount_point = current_app.config["APPLICATION_ROOT"].rstrip("/")
    for prefix, renderer in registered_prefixes(current_app):
        if isinstance(renderer, HTMLRenderer) or renderer is render_problem:
            yield to_pattern(mount_point + prefix), getattr(renderer, "folder", "problems")
