from flask import Blueprint, abort, render_template

from .. import errors, posts

bp = Blueprint("blog", __name__, url_prefix="/blog", template_folder="templates")
errors.claim(bp, errors.Pages("blog"))


@bp.get("/", strict_slashes=False)
def index() -> str:
    return render_template("blog/index.html", posts=posts.latest())


@bp.get("/<slug>")
def show(slug: str) -> str:
    return render_template("blog/show.html", post=posts.by_slug(slug) or abort(404))
