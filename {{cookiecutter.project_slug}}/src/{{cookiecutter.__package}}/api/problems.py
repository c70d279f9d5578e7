"""What can be wrong with a request to the API. Each type has a page below ``/problems/``."""

from typing import Self

from werkzeug.exceptions import NotFound

from .. import errors


class InvalidBody(errors.InvalidBody):
    """The body is JSON, but not what is expected here. Each member of ``errors`` says in ``detail`` what is wrong and
    in ``pointer`` (RFC 6901) where."""

    type = "/problems/invalid-body"
    title = "Invalid body"


class InvalidQuery(errors.InvalidAPIUsage):
    """The query of the URL is not what is expected here. Each member of ``errors`` says in ``detail`` what is wrong
    and in ``parameter`` where."""

    code = 400
    type = "/problems/invalid-query"
    title = "Invalid query"
    description = "The query is not what is expected here; see errors."

    @classmethod
    def example(cls) -> Self:
        return cls(payload={"errors": [{"detail": "Input should be greater than or equal to 1", "parameter": "limit"}]})


class NoSuchPost(NotFound):
    description = "There is no post with this id."


class MatchRequired(errors.InvalidAPIUsage):
    """To change or delete something, say which version of it you have seen: send the ``ETag`` that came with it as
    ``If-Match``. So nobody overwrites what somebody else has changed meanwhile."""

    code = 428
    type = "/problems/match-required"
    title = "If-Match required"
    description = "Send the ETag of the version that you have seen as If-Match."


class Changed(errors.InvalidAPIUsage):
    """What you want to change has been changed since you read it. Read it again, and decide anew."""

    code = 412
    type = "/problems/changed"
    title = "Changed meanwhile"
    description = "The post has been changed since, or this is not its ETag, quotes included. Read it again."
