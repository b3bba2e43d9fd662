"""The specs that come with the package, as starting points: from the source tree, else the copies inside the wheel."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from dgmspec.algebra.nodes import Call
from dgmspec.ops import library
from dgmspec.ops.data import AbstractFile
from dgmspec.spec.diagnose import parse
from dgmspec.spec.model import Data, Sample, Train

__all__ = ["Template", "templates"]


@dataclass(frozen=True)
class Template:
    """A spec to begin from: its name, the first line that it says of itself, and its text with all comments."""

    name: str
    title: str
    text: str

    def at(self, path: Path) -> str:
        """The text whose comments name the file at `path` where they name this spec, and others as lying beside it."""
        return re.sub(r"specs/(\w+)\.dgm", lambda m: path.as_posix() if m[1] == self.name else f"{m[1]}.dgm", self.text)

    def command(self, path: Path) -> str:
        """What the spec at `path` is for: a training, with the files of the reader's own that it takes, or samples."""
        items = parse(self.text).items
        if any(isinstance(item, Train) for item in items):
            sources = {cls.name for cls in library() if issubclass(cls, AbstractFile)}
            named = [(item.name, item.value) for item in items if isinstance(item, Data)]
            files = [f" --data {name}=PATH" for name, call in named if isinstance(call, Call) and call.name in sources]
            return f"dgmspec train {path}{''.join(files)}"
        drawn = any(isinstance(item, Sample) for item in items)
        return f"dgmspec sample {path} -o samples.csv" if drawn else f"dgmspec compile {path}"


@cache
def templates() -> dict[str, Template]:
    """Every spec of ``specs/`` by name."""
    package = Path(__file__).parents[1]
    source = package.parent / "specs"
    folder = source if (package.parent / "grammar").is_dir() and source.is_dir() else package / "templates"
    return {path.stem: _template(path) for path in sorted(folder.glob("*.dgm"))}


def _template(path: Path) -> Template:
    text = path.read_text(encoding="utf-8")
    return Template(path.stem, text.partition("\n")[0].removeprefix("#").strip(), text)
