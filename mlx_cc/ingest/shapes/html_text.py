"""HTML bodies of messages as plain text."""

import re
from html.parser import HTMLParser

BLOCKS = {"article", "blockquote", "div", "footer", "h1", "h2", "h3", "h4", "h5", "h6", "header", "hr", "ol", "p"}
BLOCKS |= {"pre", "section", "table", "tr", "ul"}
SILENT = {"script", "style", "head", "title", "template"}


def html_text(body: str) -> str:
    """The visible text: without tags, entities resolved, a line for each paragraph, list item and table row.

    In text without tags, entities are resolved and line breaks kept.
    """
    if "<" not in body and "&" not in body:
        return body.strip()
    first, *others = body.split("<!--")
    body = first + "".join(other.partition("-->")[2] for other in others)
    tags, end, rest = body.rpartition(">")
    body = (
        tags + end + rest.replace("<", "&lt;")
    )  # the parser's time grows with the square of the number of unclosed tags
    page = _Page()
    try:
        page.feed(body)
        page.close()
        said = "".join(page.said)
    except AssertionError:  # the parser's error for an unknown declaration, such as <![x
        said = re.sub(r"<[^<>]*>", "\n", body)
    lines = (re.sub(r"[ \t\xa0]+", " ", line).strip() for line in said.split("\n"))
    return "\n".join(line for line in lines if line)


class _Page(HTMLParser):
    """Collects the text between the tags."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[str] = []
        self.silent: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in SILENT:
            self.silent.append(tag)
        elif tag in BLOCKS or tag == "br":
            self.said.append("\n")
        elif tag == "li":
            self.said.append("\n- ")
        elif tag in ("td", "th"):
            self.said.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in SILENT:
            if tag in self.silent:
                del self.silent[self.silent.index(tag) :]
        elif tag in BLOCKS or tag == "li":
            self.said.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.silent:
            self.said.append(data)
