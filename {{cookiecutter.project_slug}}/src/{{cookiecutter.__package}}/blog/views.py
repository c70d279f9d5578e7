"""Pages of the blog."""

from flask import Blueprint, abort, render_template, request

from .. import errors, posts
from .markdown import html

POSTS_PER_PAGE = 20

bp = Blueprint("blog", __name__, url_prefix="/blog", template_folder="templates")
errors.register_renderer(bp, errors.HTMLRenderer("blog"))
bp.add_app_template_filter(html, "markdown")


@bp.get("/", strict_slashes=False)
def index() -> str:
    """List posts, newest first.

    :raise 404: if the query parameter ``before`` is not a cursor.
    """
    before = request.args.get("before")
    try:
        cursor = posts.Cursor.parse(before) if before else None
    except ValueError:
        abort(404)
    return render_template("blog/index.html", page=posts.page(POSTS_PER_PAGE, cursor))


@bp.get("/<slug>")
def show(slug: str) -> str:
    """Show a post.

    :raise 404: if no post has this slug.
    """
    return render_template("blog/show.html", post=posts.get_by_slug(slug) or abort(404))
