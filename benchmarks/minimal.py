"""Minimal application of Flask and SQLAlchemy that returns the same JSON from the same table as the service.

A session for each request, as Flask's documentation shows: https://flask.palletsprojects.com/en/stable/patterns/sqlalchemy/
It has no error handling, validation, rate limits, ETags, middleware or logging.
"""

import os
from datetime import datetime
from typing import Any

from flask import Flask, abort, jsonify, request
from sqlalchemy import DateTime, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, scoped_session, sessionmaker
from werkzeug.wrappers import Response

URL = os.environ["DATABASE_URL"]

# Pool as in the service. WAL is a property of the SQLite file.
POSTGRESQL = {"pool_pre_ping": True, "connect_args": {"options": "-c timezone=UTC"}}
OPTIONS: dict[str, Any] = {} if URL.startswith("sqlite") else POSTGRESQL
engine = create_engine(URL.replace("postgresql:", "postgresql+psycopg:"), pool_size=5, max_overflow=0, **OPTIONS)


session = scoped_session(sessionmaker(engine))


class Model(DeclarativeBase):
    pass


class Post(Model):
    __tablename__ = "posts"

    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    title: Mapped[str]
    body: Mapped[str]
    published: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    version: Mapped[int]


app = Flask(__name__)


@app.teardown_appcontext
def close(error: BaseException | None) -> None:
    session.remove()


@app.get("/api/posts")
def index() -> Response:
    limit, before = request.args.get("limit", 20, int), request.args.get("before", None, int)
    query = select(Post).order_by(Post.id.desc()).limit(limit + 1)
    if before:
        query = query.where(Post.id < before)
    posts = session.scalars(query).all()
    response = jsonify(posts=[members(post) for post in posts[:limit]])
    if len(posts) > limit:
        response.headers["Link"] = f'<{request.path}?limit={limit}&before={posts[limit - 1].id}>; rel="next"'
    return response


@app.get("/api/posts/<int:post_id>")
def show(post_id: int) -> Response:
    return jsonify(members(session.get(Post, post_id) or abort(404)))


def members(post: Post) -> dict[str, Any]:
    published = post.published.replace(tzinfo=None).isoformat() + "Z"
    return {"id": post.id, "slug": post.slug, "title": post.title, "body": post.body, "published": published}
