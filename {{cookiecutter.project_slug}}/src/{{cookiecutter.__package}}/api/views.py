from flask import Blueprint, Response, abort, current_app, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadGateway, GatewayTimeout

from .. import errors, limits, posts, tokens, upstream
from ..database import db, transaction
from .openapi import document, operation
from .problems import Changed, InvalidBody, InvalidQuery, MatchRequired, NoSuchPost
from .schemas import CommentList, Post, PostList, PostsQuery, read_body, read_query

bp = Blueprint("api", __name__, url_prefix="/api")
errors.claim(bp, errors.problem)
bp.before_request(limits.check)
bp.before_request(tokens.check)


@bp.get("/posts")
@operation(query=PostsQuery, answers={200: PostList}, headers=["Link"], problems=[InvalidQuery])
def list_posts() -> ResponseReturnValue:
    """List posts, newest first. The Link header leads to the next page."""
    query = read_query(PostsQuery)
    page = posts.page(query.limit, posts.Cursor.parse(query.cursor) if query.cursor else None)
    response = _json(PostList.model_validate(page))
    if page.next:
        response.headers["Link"] = f'<{url_for(".list_posts", limit=query.limit, cursor=page.next)}>; rel="next"'
    return response


@bp.post("/posts")
@operation(body=posts.Draft, answers={201: Post}, headers=["ETag", "Location"], problems=[InvalidBody, posts.SlugTaken])
@transaction
def create_post() -> ResponseReturnValue:
    """Publish a post."""
    post = posts.add(read_body(posts.Draft))
    response = _shown(post)
    response.headers["Location"] = url_for(".get_post", post_id=post.id)
    return response, 201


@bp.get("/posts/<int:post_id>")
@operation(answers={200: Post, 304: None}, headers=["ETag"], problems=[NoSuchPost, Changed])
def get_post(post_id: int) -> ResponseReturnValue:
    """Read a post."""
    post = posts.by_id(post_id) or abort(404, NoSuchPost.description)
    _refuse_changed(post)
    response = _shown(post)
    if request.if_none_match.contains_weak(str(post.version)):
        response.status_code = 304
    return response


@bp.get("/posts/<int:post_id>/comments")
@operation(answers={200: CommentList}, problems=[NoSuchPost, upstream.NotSetUp, BadGateway, GatewayTimeout])
def list_comments(post_id: int) -> ResponseReturnValue:
    """List the comments on a post. Another system keeps them."""
    posts.by_id(post_id) or abort(404, NoSuchPost.description)
    db.session.rollback()  # nobody waits for another system with a connection in hand
    return _json(upstream.get(CommentList, f"posts/{post_id}/comments"))


@bp.put("/posts/<int:post_id>")
@operation(
    body=posts.Draft,
    answers={200: Post},
    headers=["ETag"],
    problems=[InvalidBody, posts.SlugTaken, NoSuchPost, MatchRequired, Changed],
)
@transaction
def replace_post(post_id: int) -> ResponseReturnValue:
    """Replace title, text and, if it is given, the slug of a post."""
    draft = read_body(posts.Draft)
    post = _matching(post_id)
    posts.change(post, draft)
    return _shown(post)


@bp.delete("/posts/<int:post_id>")
@operation(answers={204: None}, problems=[NoSuchPost, MatchRequired, Changed])
@transaction
def delete_post(post_id: int) -> ResponseReturnValue:
    """Delete a post."""
    posts.remove(_matching(post_id))
    return "", 204


@bp.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    """This API in OpenAPI 3.1."""
    return document(current_app._get_current_object(), request.script_root)  # type: ignore[attr-defined]


def _json(model: Post | PostList | CommentList) -> Response:
    return Response(model.model_dump_json() + "\n", mimetype="application/json")


def _shown(post: posts.Post) -> Response:
    response = _json(Post.model_validate(post))
    response.set_etag(str(post.version))
    return response


def _matching(post_id: int) -> posts.Post:
    """The post to change, if the client has seen its present version (RFC 9110 section 13.1.1).

    :raises MatchRequired: it does not say what it has seen.
    :raises NotFound: there is no such post.
    :raises Changed: it has seen another version.
    """
    if "If-Match" not in request.headers:
        raise MatchRequired
    post = posts.by_id(post_id, to_change=True) or abort(404, NoSuchPost.description)
    _refuse_changed(post)
    return post


def _refuse_changed(post: posts.Post) -> None:
    if "If-Match" in request.headers and str(post.version) not in request.if_match:
        raise Changed
