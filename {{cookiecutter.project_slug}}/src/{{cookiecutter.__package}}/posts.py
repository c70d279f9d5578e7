"""The example's posts: model and queries, shared by the blog and the API."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import String, Text, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column
from werkzeug.exceptions import Conflict

from . import errors
from .core.database import Model, UTCDateTime, db

MAX_ID = 2**31 - 1  # largest value of a PostgreSQL integer column


class Post(Model):
    """A post. Its version starts at 1 and increases with every change."""

    __tablename__ = "posts"
    __table_args__ = {"sqlite_autoincrement": True}  # noqa: RUF012 - IDs are never reused, so the newest has the highest

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str] = mapped_column(String(200), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    body: Mapped[str] = mapped_column(Text)
    published: Mapped[datetime] = mapped_column(UTCDateTime)
    version: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class PostInput(BaseModel):
    """The fields of a post that a client can set."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    # No control characters, not only spaces.
    title: str = Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]*$")
    body: str = Field(min_length=1, max_length=50_000, pattern=r"^[^\x00]*$", description="Markdown")
    slug: str | None = Field(default=None, max_length=200, pattern=r"^[\w-]+$")
    """name of the post in its URL; derived from the title if omitted"""


class SlugTaken(errors.InvalidAPIUsage):
    code = 409
    type = "/problems/slug-taken"
    title = "Slug taken"
    description = "Another post has this slug, its name in the URL. Send a different slug or title."


def page(limit: int, before: int | None) -> tuple[Sequence[Post], bool]:
    """Return at most ``limit`` posts with an ID below ``before``, newest first, and whether there are older ones."""
    query = select(Post).order_by(Post.id.desc()).limit(limit + 1)  # one more, to see whether there are older ones
    if before is not None:
        query = query.where(Post.id < before)
    found = db.session.scalars(query).all()
    return found[:limit], len(found) > limit


def get(post_id: int, for_update: bool = False) -> Post | None:
    """Return the post with this ID, or None. With ``for_update`` it is locked until the end of the transaction."""
    return db.session.get(Post, post_id, with_for_update=for_update) if post_id <= MAX_ID else None


def get_by_slug(slug: str) -> Post | None:
    """Return the post with this slug, or None."""
    return db.session.scalar(select(Post).filter_by(slug=slug)) if "\0" not in slug else None


def create(data: PostInput) -> Post:
    """Add a post. Raise SlugTaken if another post has its slug."""
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFKC", data.title).lower()).strip("-")
    slug = data.slug or words[:200] or data.title.encode(errors="replace").hex()[:16]  # hex if there are no letters
    post = Post(slug=slug, title=data.title, body=data.body, published=datetime.now(UTC))
    db.session.add(post)
    _flush()
    return post


def update(post: Post, data: PostInput) -> None:
    """Replace title and body, and the slug if one is sent. Raise SlugTaken if another post has the slug."""
    post.title, post.body, post.slug = data.title, data.body, data.slug or post.slug
    _flush()


def _flush() -> None:
    try:
        db.session.flush()
    except IntegrityError as error:
        if isinstance(errors.classify(error), Conflict):
            raise SlugTaken from error
        raise
