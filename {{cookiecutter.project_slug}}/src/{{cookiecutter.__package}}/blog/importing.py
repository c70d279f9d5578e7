"""``flask posts import``: posts from files with front matter (YAML) and Markdown."""

import re
from collections import Counter
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import click
import yaml
from pydantic import BeforeValidator, Field, ValidationError

from .. import posts
from ..database import Commands, transaction

LONG = 20
"""Files from which on a progress bar is shown."""
FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*(?:\n|\Z)", re.DOTALL | re.MULTILINE)


def _moment(given: object) -> datetime:
    """As YAML has it. A date is its first moment, and without a time zone it is in UTC."""
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day)
    if not isinstance(given, datetime) or not 1700 < given.year < 5000:
        raise ValueError("write it as 2026-01-31")
    return given.replace(tzinfo=given.tzinfo or UTC)


cli = Commands("posts", help="The posts of the blog.")


class Entry(posts.Draft):
    """The front matter of a file, and its text as ``body``."""

    published: Annotated[datetime, BeforeValidator(_moment)] | None = Field(default=None, alias="date")


class PostFileError(Exception):
    """What is wrong with a file, and in which line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"line {line}: {message}")


@cli.command("import")
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE.md...")
@click.pass_context
def import_(context: click.Context, files: tuple[Path, ...]) -> None:
    """Publish the posts of FILE.md...

    Each starts with its front matter: title, and if you like slug and date. The slug is the name of the file where it
    is left out. A post that is there already is changed if the file was.
    """
    outcomes, refused, files_of = Counter[str](), [], dict[str | None, Path]()
    with click.progressbar(files, label="Importing", hidden=len(files) < LONG) as bar:
        for file in bar:
            try:
                entry = _read(file)
                if (other := files_of.setdefault(entry.slug, file)) is not file:
                    raise PostFileError(1, f"has the same slug as {other}")
                outcomes[_store(entry)] += 1
            except (PostFileError, OSError, posts.SlugTaken) as error:
                refused.append(f"{file}: {error.strerror if isinstance(error, OSError) else error}")
    for line in refused:
        click.echo(line, err=True)
    outcomes["refused"] = len(refused)
    click.echo(", ".join(f"{number} {outcome}" for outcome, number in outcomes.items() if number))
    context.exit(1 if refused else 0)


@transaction
def _store(entry: Entry) -> str:
    post = posts.by_slug(entry.slug or "")
    if post is None:
        posts.add(entry, entry.published)
        return "added"
    version = post.version
    posts.change(post, entry, entry.published)
    return "unchanged" if post.version == version else "changed"


def _read(file: Path) -> Entry:
    """
    :raises PostFileError: it is not a post.
    :raises OSError: it cannot be read.
    """
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise PostFileError(error.object[: error.start].count(b"\n") + 1, "is not UTF-8") from None
    found = FRONT_MATTER.match(text)
    if not found:
        raise PostFileError(1, "does not start with front matter, which stands between two lines of ---")
    body = text[found.end() :].strip("\n")
    try:
        mapping = _mapping(found[1])
        slug = mapping.get("slug") or posts.slug_of(file.stem)
        return Entry.model_validate({**mapping, "slug": slug, "body": body})
    except ValidationError as error:
        problem = min(error.errors(), key=lambda problem: problem["type"] != "extra_forbidden")  # a misspelt name first
        name, message = problem["loc"][0], problem["msg"]
        raise PostFileError(_line_of(str(name), found[1]), f"{name}: {message}") from None


def _mapping(matter: str) -> dict[str, Any]:
    try:
        mapping = yaml.safe_load(matter)
    except Exception as error:  # its constructors raise whatever they stumble over
        mark = getattr(error, "problem_mark", None)
        raise PostFileError(mark.line + 2 if mark else 2, f"is not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(mapping, dict):
        raise PostFileError(2, "is not front matter: write lines such as title: Hello")
    return {str(name): value for name, value in mapping.items()}


def _line_of(name: str, matter: str) -> int:
    """The line of the file in which the front matter names it; the first where it does not."""
    found = re.search(rf"^{re.escape(name)}\s*:", matter, re.MULTILINE)
    return matter.count("\n", 0, found.start()) + 2 if found else 1
