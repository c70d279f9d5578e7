"""Convert Markdown (CommonMark) to HTML. HTML in the text is escaped, and ``javascript:`` links are not links."""

from markdown_it import MarkdownIt
from markupsafe import Markup

# References are disabled: a 25 kB reference that is used 6,000 times would make a page of 150 MB.
_markdown = MarkdownIt("commonmark", {"html": False}).disable("reference")


def html(text: str) -> Markup:
    """Return the text as HTML that is safe in a page, even if the author of the text is not trusted."""
    # The title of the page is its only h1.
    return Markup(_markdown.render(text).replace("<h1>", "<h2>").replace("</h1>", "</h2>"))
