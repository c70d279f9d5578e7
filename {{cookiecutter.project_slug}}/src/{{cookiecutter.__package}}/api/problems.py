"""Problem types of the API (RFC 9457). Each has a page below ``/problems/``."""

from .. import errors


class InvalidBody(errors.InvalidBody):
    type = "/problems/invalid-body"
    title = "Invalid body"
    documentation = "Each member of errors has a detail and a pointer (RFC 6901) to the invalid value in the JSON body."


class InvalidQuery(errors.InvalidAPIUsage):
    code = 400
    type = "/problems/invalid-query"
    title = "Invalid query"
    description = "The query is invalid; see errors."
    documentation = "Each member of errors has a detail and the name of the invalid query parameter."


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
