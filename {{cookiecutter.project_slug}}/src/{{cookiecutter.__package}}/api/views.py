"""Endpoints of the API."""

from flask import Blueprint, Response, abort, request, url_for
from flask.typing import ResponseReturnValue

from .. import errors, posts
from ..comments import CommentList, get_comments
from ..core.database import db, transaction
from ..posts import PostInput
from . import auth, docs, limits
from .schemas import PostList, PostOutput, PostsQuery, read_body, read_query

bp = Blueprint("api", __name__, url_prefix="/api", cli_group=None)
errors.register_renderer(bp, errors.render_problem)
bp.before_request(limits.enforce_limit)
bp.before_request(auth.require_token)
bp.cli.add_command(auth.cli)
bp.record(lambda state: limits.init_storage(state.app))  # at startup, so that flask doctor checks it


class PreconditionRequired(errors.InvalidAPIUsage):
    code = 428
    type = "/problems/precondition-required"
    title = "Precondition required"
    description = "Send the ETag of the version that you fetched in the If-Match header."


class PreconditionFailed(errors.InvalidAPIUsage):
    code = 412
    type = "/problems/precondition-failed"
    title = "Precondition failed"
    description = "The If-Match header is not the current ETag, quotes included. Fetch the post again before updating."


@bp.get("/posts")
def list_posts() -> ResponseReturnValue:
    """List posts, newest first. The Link header has the URL of the next page."""
    query = read_query(PostsQuery)
    page, has_older = posts.page(query.limit, query.before)
    response = _json(PostList.model_validate({"posts": page}))
    if has_older:
        response.headers["Link"] = f'<{url_for(".list_posts", limit=query.limit, before=page[-1].id)}>; rel="next"'
    return response


@bp.post("/posts")
@transaction
def create_post() -> ResponseReturnValue:
    """Create a post. Raise 409 if another post has the slug."""
    post = posts.create(read_body(PostInput))
    response = _post_response(post)
    response.headers["Location"] = url_for(".get_post", post_id=post.id)
    return response, 201


@bp.get("/posts/<int:post_id>")
def get_post(post_id: int) -> ResponseReturnValue:
    """Get a post. For errors see :func:`_get_post`."""
    post = _get_post(post_id)
    response = _post_response(post)
    if request.if_none_match.contains_weak(str(post.version)):
        response.status_code = 304
    return response


@bp.get("/posts/<int:post_id>/comments")
def list_comments(post_id: int) -> ResponseReturnValue:
    """List the comments on a post. Raise 404 if it does not exist, or no upstream service is configured."""
    posts.get(post_id) or abort(404, "There is no post with this ID.")
    db.session.rollback()  # release the connection before waiting for the upstream service
    return _json(get_comments(post_id))


@bp.put("/posts/<int:post_id>")
@transaction
def replace_post(post_id: int) -> ResponseReturnValue:
    """Replace a post. Raise 409 if another post has the slug. For other errors see :func:`_get_post`."""
    data = read_body(PostInput)
    post = _get_post(post_id, for_update=True)
    posts.update(post, data)
    return _post_response(post)


@bp.delete("/posts/<int:post_id>")
@transaction
def delete_post(post_id: int) -> ResponseReturnValue:
    """Delete a post. For errors see :func:`_get_post`."""
    db.session.delete(_get_post(post_id, for_update=True))
    return "", 204


@bp.get("/openapi.json")
def openapi() -> ResponseReturnValue:
    """Return the OpenAPI document."""
    return docs.openapi(request.script_root)


def _json(model: PostOutput | PostList | CommentList) -> Response:
    return Response(model.model_dump_json() + "\n", mimetype="application/json")


def _post_response(post: posts.Post) -> Response:
    response = _json(PostOutput.model_validate(post))
    response.set_etag(str(post.version))
    return response


def _get_post(post_id: int, for_update: bool = False) -> posts.Post:
    """Return a post. Raise 404, or an error if the If-Match header (RFC 9110 section 13.1.1) is not as required."""
    if for_update and "If-Match" not in request.headers:
        raise PreconditionRequired
    post = posts.get(post_id, for_update) or abort(404, "There is no post with this ID.")
    if "If-Match" in request.headers and str(post.version) not in request.if_match:
        raise PreconditionFailed
    return post
