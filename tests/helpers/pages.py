"""A rendered report, read by its text and its parts."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Text, tags and attributes of a page; fails where tags do not close."""

    VOID = ("meta", "br", "path", "circle", "img", "link")

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes, self.open = "", [], [], []  # type: str, list[str], list[tuple[str, str | None]], list[str]
        self.feed(source)
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data.replace("\u00a0", " ")


def section(source: str, name: str) -> str:
    """The source of one section."""
    start = source.index(f'id="{name}"')
    return source[start : source.index("</section>", start)]


def text_of(source: str, name: str) -> str:
    return Page(f"<section {section(source, name)}</section>").text
