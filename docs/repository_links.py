"""Links of Markdown files in the repository, as links between pages of the site."""

import re
from pathlib import Path

# [text](target) and ![text](target), but not what is written as code.
_CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.M | re.S)
_LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
_FIGURES = (".png", ".jpg", ".svg")


class Links:
    """Rewrites links; `figures` are the pictures that the pages show."""

    def __init__(self, root: Path, names: dict[Path, str], address: str | None):
        """Takes the names of the pages on the site, and the repository's address."""
        self.root, self.names, self.address = root, names, address
        self.figures: set[Path] = set()

    def rewritten(self, page: Path, text: str) -> str:
        """Returns the text of a page with links as the site has them."""
        pieces = _CODE.split(text)
        for number, piece in enumerate(pieces):
            if number % 2 == 0:  # between two pieces of code
                pieces[number] = _LINK.sub(lambda link: self._link(page, link), piece)
        return "".join(pieces)

    def _link(self, page: Path, link: re.Match) -> str:
        mark, text, target = link.groups()
        if "://" in target or target.startswith(("#", "mailto:")):
            return link[0]
        place, _, anchor = target.partition("#")
        file = (page.parent / place).resolve()
        if not file.exists():
            raise SystemExit(f"{page.relative_to(self.root)}: no file {target!r}")
        if file in self.names:
            hash_and_anchor = f"#{anchor}" if anchor else ""
            return f"{mark}[{text}]({self.names[file]}{hash_and_anchor})"
        if file.suffix in _FIGURES:
            self.figures.add(file)
            return f"{mark}[{text}](figures/{file.name})"
        return self._file(text, file)

    def _file(self, text: str, file: Path) -> str:
        """A file that is no page: a link where the repository has an address."""
        place = file.relative_to(self.root).as_posix()
        if self.address is not None:
            return f"[{text}]({self.address}/blob/main/{place})"
        return f"`{place}`" if text == place else f"{text} (`{place}`)"
