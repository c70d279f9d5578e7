"""``flask errors export DIR``: write the error pages and problems as files for the proxy, for when the service is down.

The folder also gets the configuration that makes nginx and Caddy send them.
"""

import os
import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from secrets import token_hex

import click
from flask import Response, current_app
from flask.cli import AppGroup

from .pages import HTMLRenderer
from .prefixes import registered_prefixes, to_pattern
from .problems import InvalidAPIUsage, render_problem
from .rendering import BUILTIN_LOADER, environment, policy

REQUEST_ID = "<!--{placeholder `http.request.uuid`}-->"
"""Stands for the request ID in the files. nginx and Caddy replace it; for others it is an HTML comment."""
STATUSES = [status.value for status in HTTPStatus if status >= 400]
RETRY_AFTER = {status: {"Retry-After": "30"} for status in (502, 503, 504)}
CONFIGURATION = ("nginx-http.conf", "nginx-server.conf", "Caddyfile")

cli = AppGroup("errors", help="Export the error pages.")


@cli.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def export(folder: Path) -> None:
    """Write all error pages and problems into DIR, for nginx or Caddy to send when the service is down."""
    folder = folder.absolute()
    if invalid := re.search(r"[\"$`\\{}\x00-\x1f]", str(folder)):
        raise click.ClickException(f"The configuration of nginx and Caddy cannot hold the {invalid[0]!r} in {folder}.")
    umask = os.umask(0o022)  # the proxy runs as another user
    try:
        for name, content in _files(folder).items():
            _replace(folder / name, content)
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written: {error.strerror}.") from None
    finally:
        os.umask(umask)
    nginx = f"nginx: include {folder}/nginx-http.conf; beside the servers, {folder}/nginx-server.conf; in one"
    click.echo(f"Written. {nginx}. Caddy: import {folder}/Caddyfile in the site.")


def _files(folder: Path) -> dict[str, bytes]:
    """Return the content of each file by its path below the folder. The configuration comes last."""
    renderers = [HTMLRenderer("errors"), *(prefix.renderer for prefix in registered_prefixes(current_app))]
    pages = {renderer.folder: renderer for renderer in renderers if isinstance(renderer, HTMLRenderer)}
    languages = list(dict.fromkeys(tag for each in pages.values() for tag in each.page_set(current_app).languages))
    responses = dict(_responses(pages, languages))
    files = {name: response.get_data() for name, response in responses.items()}
    styles = {style for file in files.values() for style in re.findall(rb"(?s)<style\b.*?</style>", file)}
    content_languages = {name: response.headers.get("Content-Language", "") for name, response in responses.items()}

    templates = environment(BUILTIN_LOADER).overlay(autoescape=False)
    templates.globals.update(
        folder=folder,
        request_id=REQUEST_ID,
        statuses=STATUSES,
        policy=policy(b"".join(sorted(styles)).decode()),
        prefixes=list(_prefix_folders()),
        default=languages[0],
        tags={same(language): language for same in (_primary, str.lower) for language in reversed(languages)},
        other_languages={name: tag for name, tag in content_languages.items() if tag and f"/{tag}/" not in name},
    )
    return files | {name: templates.get_template(f"export/{name}").render().encode() + b"\n" for name in CONFIGURATION}


def _responses(pages: dict[str, HTMLRenderer], languages: list[str]) -> Iterator[tuple[str, Response]]:
    """Yield the responses of the service, with ``REQUEST_ID`` in place of the request ID."""
    placeholder = token_hex(16)
    for language in languages:
        with current_app.test_request_context(headers={"Accept-Language": language, "X-Request-ID": placeholder}):
            for status in STATUSES:
                error = InvalidAPIUsage(status_code=status)
                error.headers = RETRY_AFTER.get(status, {})
                responses = {f"problems/{status}.json": render_problem(error)}
                responses |= {f"{folder}/{language}/{status}.html": page(error) for folder, page in pages.items()}
                for name, response in responses.items():
                    response.set_data(response.get_data().replace(placeholder.encode(), REQUEST_ID.encode()))
                    yield name, response


def _prefix_folders() -> Iterator[tuple[str, str]]:
    """Yield the prefixes, longest first, as regular expressions, with the folder of their files."""
    mount_point = current_app.config["APPLICATION_ROOT"].rstrip("/")
    for prefix in registered_prefixes(current_app):
        if isinstance(prefix.renderer, HTMLRenderer):
            yield to_pattern(mount_point + prefix.prefix), prefix.renderer.folder
        elif prefix.renderer is render_problem:
            yield to_pattern(mount_point + prefix.prefix), "problems"


def _primary(tag: str) -> str:
    return tag.lower().partition("-")[0]


def _replace(path: Path, content: bytes) -> None:
    """Write a file in one step, so that the proxy never reads half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_bytes(content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
