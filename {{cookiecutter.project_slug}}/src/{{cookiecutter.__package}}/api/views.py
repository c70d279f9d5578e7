from flask import Blueprint, abort, url_for
from flask.typing import ResponseReturnValue

from .. import errors, posts
from .schemas import NewPost, read_body, shown

bp = Blueprint("api", __name__, url_prefix="/api")
errors.claim(bp, errors.problem)


@bp.get("/posts")
def index() -> ResponseReturnValue:
    return {"posts": [shown(post) for post in posts.latest()]}


@bp.post("/posts")
def create() -> ResponseReturnValue:
    new = read_body(NewPost)
    post = posts.add(new.title, new.body)
    return shown(post), 201, {"Location": url_for(".show", post_id=post.id)}


@bp.get("/posts/<int:post_id>")
def show(post_id: int) -> ResponseReturnValue:
    return shown(posts.by_id(post_id) or abort(404, "There is no post with this id."))
