from flask import Blueprint, abort, render_template, request

from .. import errors, posts
from .importing import cli
from .markdown import html

POSTS_PER_PAGE = 20

bp = Blueprint("blog", __name__, url_prefix="/blog", template_folder="templates", cli_group=None)
errors.claim(bp, errors.Pages("blog"))
bp.cli.add_command(cli)
bp.add_app_template_filter(html, "markdown")


@bp.get("/", strict_slashes=False)
def index() -> str:
    before = request.args.get("before")  # of the link on the page before
    try:
        cursor = posts.Cursor.parse(before) if before else None
    except ValueError:
        abort(404)
    return render_template("blog/index.html", page=posts.page(POSTS_PER_PAGE, cursor))


@bp.get("/<slug>")
def show(slug: str) -> str:
    return render_template("blog/show.html", post=posts.by_slug(slug) or abort(404))
