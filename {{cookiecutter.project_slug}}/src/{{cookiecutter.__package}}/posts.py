"""The example's posts, in memory: what there is to publish, shared by the blog and the API."""

import re
from dataclasses import dataclass
from itertools import count
from threading import Lock


@dataclass(frozen=True)
class Post:
    """One post. The slug names it in the blog, the id in the API."""

    id: int
    slug: str
    title: str
    body: str


_posts: list[Post] = []
_ids = count(1)
_writing = Lock()


def latest() -> list[Post]:
    """All posts, newest first."""
    return _posts[::-1]


def by_id(post_id: int) -> Post | None:
    """The post with this id; None where there is none."""
    return next((post for post in _posts if post.id == post_id), None)


def by_slug(slug: str) -> Post | None:
    """The post with this slug; None where there is none."""
    return next((post for post in _posts if post.slug == slug), None)


def add(title: str, body: str) -> Post:
    """Publish a post. Its slug comes from the title and is made unique by the id where it is taken."""
    with _writing:
        post_id = next(_ids)
        slug = re.sub(r"[^\w]+", "-", title.lower()).strip("-") or str(post_id)
        while by_slug(slug):
            slug = f"{slug}-{post_id}"
        post = Post(post_id, slug, title, body)
        _posts.append(post)
    return post


add("Hello", "This post lives in the memory of one worker process, and is gone when that stops.")
