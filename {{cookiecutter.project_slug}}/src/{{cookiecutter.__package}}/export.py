"""``flask errors export DIR``: what the service answers to errors, as files for the proxy to send when it is down.

With them go the lines that tell nginx and Caddy which file to send.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from secrets import token_hex

import click
from flask import Flask, Response, current_app
from flask.cli import AppGroup
from jinja2 import PackageLoader
from werkzeug.http import HTTP_STATUS_CODES

from .errors import InvalidAPIUsage, Pages, problem
from .errors.rendering import environment, policy
from .errors.spaces import pattern, spaces

TOKEN = "<!--{placeholder `http.request.uuid`}-->"
"""Where the reference belongs. nginx replaces it, Caddy executes it; where nobody does, it is a comment."""
_STATUSES = [status for status in HTTP_STATUS_CODES if status >= 400]
_RETRY_AFTER = {status: {"Retry-After": "30"} for status in (502, 503, 504)}
_SNIPPETS = ("nginx-http.conf", "nginx-server.conf", "Caddyfile")

cli = AppGroup("errors", help="What is answered when something goes wrong.")


def init_app(app: Flask) -> None:
    app.cli.add_command(cli)


@cli.command("export")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
def export(folder: Path) -> None:
    """Write all error pages and problems into DIR, for nginx or Caddy to send when the service is down."""
    folder = folder.absolute()
    if unusable := re.search(r"[\"$`\\{}\x00-\x1f]", str(folder)):
        raise click.ClickException(f"nginx and Caddy cannot be told of a folder with {unusable[0]!r} in its name.")
    umask = os.umask(0o022)  # the proxy is another user
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
    """By their path below the folder. What names the others comes last."""
    renderers = [Pages("errors"), *(space.renderer for space in spaces(current_app))]
    pages = {renderer.folder: renderer for renderer in renderers if isinstance(renderer, Pages)}
    languages = list(dict.fromkeys(tag for each in pages.values() for tag in each.edition(current_app).languages))
    answers = dict(_answers(pages, languages))
    files = {name: answer.get_data() for name, answer in answers.items()}
    styles = {style for file in files.values() for style in re.findall(rb"(?s)<style\b.*?</style>", file)}
    spoken = {name: answer.headers.get("Content-Language", "") for name, answer in answers.items()}

    templates = environment(PackageLoader(__package__)).overlay(autoescape=False)
    templates.globals.update(
        folder=folder,
        token=TOKEN,
        statuses=_STATUSES,
        policy=policy(b"".join(sorted(styles)).decode()),
        spaces=list(_claimed()),
        default=languages[0],
        tags={same(language): language for same in (_primary, str.lower) for language in reversed(languages)},
        strays={name: tag for name, tag in spoken.items() if tag and f"/{tag}/" not in name},
    )
    return files | {name: templates.get_template(f"export/{name}").render().encode() + b"\n" for name in _SNIPPETS}


def _answers(pages: dict[str, Pages], languages: list[str]) -> Iterator[tuple[str, Response]]:
    """What the service would answer, with the token for a reference."""
    reference = token_hex(16)
    for language in languages:
        with current_app.test_request_context(headers={"Accept-Language": language, "X-Request-ID": reference}):
            for status in _STATUSES:
                error = InvalidAPIUsage(status_code=status)
                error.headers = _RETRY_AFTER.get(status, {})
                answers = {f"problems/{status}.json": problem(error)}
                answers |= {f"{folder}/{language}/{status}.html": page(error) for folder, page in pages.items()}
                for name, answer in answers.items():
                    answer.set_data(answer.get_data().replace(reference.encode(), TOKEN.encode()))
                    yield name, answer


def _claimed() -> Iterator[tuple[str, str]]:
    """The claimed prefixes, longest first, as regular expressions, and the folder of their pages; none for problems."""
    mount_point = current_app.config["APPLICATION_ROOT"].rstrip("/")
    for space in spaces(current_app):
        if isinstance(space.renderer, Pages):
            yield pattern(mount_point + space.prefix), space.renderer.folder
        elif space.renderer is problem:
            yield pattern(mount_point + space.prefix), ""


def _primary(tag: str) -> str:
    return tag.lower().partition("-")[0]


def _replace(path: Path, content: bytes) -> None:
    """Who reads the file meanwhile has the old one or the new one, never a half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        new.write_bytes(content)
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
