"""Finds links in a built site that lead to no page, no file or no anchor of it."""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit


class _Page(HTMLParser):
    """The links and anchors of one page."""

    def __init__(self, text: str):
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        self.anchors |= {value for name, value in attrs if name in ("id", "name")}
        links = (values.get("href"), values.get("src"))
        self.links += [link for link in links if link]


def dead_links(site: Path) -> list[str]:
    """Returns a line for each dead link; addresses of other hosts are not asked."""
    files = sorted(site.rglob("*.html"))
    pages = {file.resolve(): _Page(file.read_text()) for file in files}
    dead = []
    for file, page in pages.items():
        if file.name == "404.html":  # its links begin at the root of the host
            continue
        for link in dict.fromkeys(page.links):
            if not _alive(link, file, pages):
                dead.append(f"{file.relative_to(site.resolve())}: {link}")
    return dead


def _alive(link: str, file: Path, pages: dict[Path, _Page]) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    target = target / "index.html" if target.is_dir() else target
    if not target.exists():
        return False
    anchor = unquote(parts.fragment)
    skip = anchor.startswith("__")  # of the theme's own controls
    return not anchor or skip or target not in pages or anchor in pages[target].anchors
