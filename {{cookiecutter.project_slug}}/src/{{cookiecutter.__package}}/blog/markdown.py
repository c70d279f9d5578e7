"""Convert Markdown (CommonMark) to HTML. HTML in the text is escaped, and ``javascript:`` links are not links."""

from markdown_it import MarkdownIt
from markdown_it.rules_core import StateCore
from markupsafe import Markup


def _lower_headings(state: StateCore) -> None:
    """Lower every heading by one level, because the page's title is its only ``h1``."""
    for token in state.tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"


# References are disabled: a 25 kB reference that is used 6,000 times would make a page of 150 MB.
_markdown = MarkdownIt("commonmark", {"html": False}).disable("reference")
_markdown.core.ruler.push("lower_headings", _lower_headings)


def html(text: str) -> Markup:
    """Return the text as HTML that is safe in a page, even if the author of the text is not trusted."""
    return Markup(_markdown.render(text))
