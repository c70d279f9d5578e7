"""Pages of the blog."""

from flask import Blueprint, abort, render_template, request

from .. import errors, posts
from .markdown import html

bp = Blueprint("blog", __name__, url_prefix="/blog", template_folder="templates")
errors.register_renderer(bp, errors.HTMLRenderer("blog"))
bp.add_app_template_filter(html, "markdown")


@bp.get("/", strict_slashes=False)
def index() -> str:
    """List posts, newest first. Raise 404 if the query parameter ``before`` is not an ID."""
    before = request.args.get("before", type=int)
    if "before" in request.args and (before is None or not 1 <= before <= posts.MAX_ID):
        abort(404)
    page, has_older = posts.page(20, before)
    return render_template("blog/index.html", posts=page, has_older=has_older)


@bp.get("/<slug>")
def show(slug: str) -> str:
    """Show a post. Raise 404 if no post has this slug."""
    return render_template("blog/show.html", post=posts.get_by_slug(slug) or abort(404))
