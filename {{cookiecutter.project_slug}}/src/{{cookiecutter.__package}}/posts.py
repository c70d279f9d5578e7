"""The example's posts: what there is to publish, shared by the blog and the API."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy import Index, String, Text, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from . import errors
from .database import Model, UTCDateTime, db, is_unique_violation

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
CURSOR = r"^(-[0-9]{1,16}|[0-9]{1,17})-[0-9]{1,10}$"

LINE = r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$"
"""No control character, and something to see."""
MAX_ID = 2**31 - 1
"""Of PostgreSQL's integers; asked for a larger one, it would fail. Not in the URL rule: there Werkzeug answers 405."""
NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores no NUL."""


class Post(Model):
    """One post. The slug names it in the blog, the id in the API. The version is that of the text, 1 and up."""

    __tablename__ = "posts"
    __table_args__ = (Index(None, "published", "id"), {"sqlite_autoincrement": True})  # an id is never given twice

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(200), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    published: Mapped[datetime] = mapped_column(UTCDateTime)
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Draft(BaseModel):
    """What somebody wants published."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"title": "News", "body": "*Good*."}]})

    title: Annotated[str, StringConstraints(max_length=200, pattern=LINE)]
    body: Annotated[str, StringConstraints(min_length=1, max_length=50_000, pattern=NO_NUL)] = Field(
        description="Markdown"
    )
    slug: Annotated[str, StringConstraints(max_length=200, pattern=r"^[\w-]+$")] | None = Field(
        default=None, description="its name in the blog; made from the title where it is left out"
    )


class SlugTaken(errors.InvalidAPIUsage):
    """Each post has a slug of its own: its name in the address of its page. Send another ``slug`` or another title."""

    code = 409
    type = "/problems/slug-taken"
    title = "Slug taken"
    description = "There is another post with this slug. Send another slug."


@dataclass(frozen=True)
class Cursor:
    """A place between two posts, in the order of :func:`page`: after the post published then, with this id."""

    published: datetime
    id: int

    def __str__(self) -> str:
        return f"{(self.published - EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """
        :raises ValueError: this is not what ``str`` makes of one.
        """
        if not re.fullmatch(CURSOR, text):
            raise ValueError("not a cursor")
        microseconds, _, post_id = text.rpartition("-")
        return cls(EPOCH + timedelta(microseconds=int(microseconds)), int(post_id))


class Page(NamedTuple):
    posts: Sequence[Post]
    next: Cursor | None
    """Where the next page starts; None after the last."""


def page(limit: int, cursor: Cursor | None = None) -> Page:
    """Some posts, newest first. The thousandth page costs what the first costs: an index leads to its place."""
    query = select(Post).order_by(Post.published.desc(), Post.id.desc()).limit(limit + 1)
    if cursor:
        query = query.where(tuple_(Post.published, Post.id) < tuple_(cursor.published, cursor.id))
    found = db.session.scalars(query).all()
    if len(found) <= limit:
        return Page(found, None)
    last = found[limit - 1]
    return Page(found[:limit], Cursor(last.published, last.id))


def by_id(post_id: int, to_change: bool = False) -> Post | None:
    """The post with this id; None where there is none.

    :param to_change: hold it for this transaction: nobody else changes it meanwhile.
    """
    return db.session.get(Post, post_id, with_for_update=to_change) if post_id <= MAX_ID else None


def by_slug(slug: str) -> Post | None:
    """The post with this slug; None where there is none."""
    return db.session.scalar(select(Post).filter_by(slug=slug)) if "\0" not in slug else None


def add(draft: Draft, published: datetime | None = None) -> Post:
    """Publish a post, now unless told when.

    :raises SlugTaken: there is another with its slug.
    """
    slug = draft.slug or slug_of(draft.title)
    post = Post(slug=slug, title=draft.title, body=draft.body, published=published or datetime.now(UTC))
    db.session.add(post)
    _flush()
    return post


def change(post: Post, draft: Draft, published: datetime | None = None) -> None:
    """Replace title and text, and slug and date if they are given. The version goes up if anything changes.

    :raises SlugTaken: there is another with its slug.
    """
    post.title, post.body = draft.title, draft.body
    post.slug, post.published = draft.slug or post.slug, published or post.published
    _flush()


def remove(post: Post) -> None:
    db.session.delete(post)


def slug_of(title: str) -> str:
    """The letters and digits of a title, joined by ``-``; something made of its bytes where it has none."""
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", title).lower())
    return words.strip("-")[:200] or title.encode(errors="replace").hex()[:16]


def _flush() -> None:
    try:
        db.session.flush()
    except IntegrityError as error:
        if is_unique_violation(error):
            raise SlugTaken from error
        raise
