"""The files that a file uses, read once each: cycles, depth and number are bounded, whatever the input."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from dgmspec.core.address import Address, child
from dgmspec.core.diagnostics import Diagnostic, SpecError, did_you_mean, has_errors
from dgmspec.spec.model import Spec, Use
from dgmspec.spec.resolve import Document, read_document
from dgmspec.spec.sources import Refused, Sources, fetch, names_like, place
from dgmspec.syntax.parser import parse_tree
from dgmspec.syntax.tree import Tree

MAX_DEPTH = 10
MAX_FILES = 100


@dataclass
class File:
    """A file that was read, and the files it uses by their aliases. `path` is "" for the main text."""

    path: str
    text: str
    prefix: Address
    tree: Tree
    found: list[Diagnostic]
    document: Document
    uses: dict[str, File] = field(default_factory=dict)

    def all(self) -> Iterable[File]:
        """This file and every file below it."""
        yield self
        for file in self.uses.values():
            yield from file.all()


@dataclass
class Loader:
    """Reads a text and all that it uses; `texts` gathers the used files by path."""

    sources: Sources | None
    texts: dict[str, str] = field(default_factory=dict)
    trees: dict[str, tuple[Tree, list[Diagnostic]]] = field(default_factory=dict)
    count: int = 0

    def main(self, text: str, name: str = "") -> File:
        """The main text; `name` is what the files it uses would call it."""
        return self._file("", text, "", (name,))

    def _file(self, path: str, text: str, prefix: Address, chain: tuple[str, ...]) -> File:
        if path not in self.trees:
            self.trees[path] = parse_tree(text, path)
        tree, found = self.trees[path]
        file = File(path, text, prefix, tree, found, read_document(tree, prefix))
        for item in file.document.items:
            if isinstance(item, Use) and item.alias not in file.uses:
                used = self._use(item, file, chain)
                if isinstance(used, File):
                    file.uses[item.alias] = used
                else:
                    self._refuse(item, file, used)
        return file

    def _use(self, use: Use, user: File, chain: tuple[str, ...]) -> File | Refused:
        path = place(use.path, user.path)
        if isinstance(path, Refused):
            return path
        if path in chain:
            loop = " -> ".join(f"`{name}`" for name in (*chain[chain.index(path) :], path))
            return Refused("DGM218", f"files use each other in a circle: {loop}", ("move what both need to a third",))
        self.count += 1
        if len(chain) > MAX_DEPTH or self.count > MAX_FILES:
            what = f"more than {MAX_FILES} files" if self.count > MAX_FILES else f"files more than {MAX_DEPTH} deep"
            return Refused("DGM219", f"this spec uses {what}")
        text = self.texts[path] if path in self.texts else fetch(path, self.sources)
        if isinstance(text, Refused):
            return text
        self.texts[path] = text
        return self._file(path, text, child(user.prefix, use.alias), (*chain, path))

    def _refuse(self, use: Use, user: File, why: Refused) -> None:
        near = did_you_mean(use.path, names_like(use.path, self.sources)) if why.code == "DGM216" else None
        help = (f"did you mean `{near}`?",) if near else why.help
        reading = user.document.reading
        at = reading.spans[child(user.prefix, use.alias)]
        reading.report(why.code, why.message, at, "used here", help=help)


@lru_cache(maxsize=32)
def used(spec: Spec) -> Mapping[str, Spec]:
    """The specs of the files that `spec` uses, by alias, each with its own sources; `SpecError` if one is missing."""
    found: dict[str, Spec] = {}
    for item in spec.items:
        if not isinstance(item, Use):
            continue
        path = posixpath.normpath(item.path)
        if path not in spec.sources:
            raise SpecError([Diagnostic("DGM216", f"there is no source `{path}`", item.alias)])
        tree, wrong = parse_tree(spec.sources[path], path)
        document = read_document(tree, item.alias)
        wrong = [*wrong, *document.reading.found]
        if has_errors(wrong):
            raise SpecError(wrong, spec.sources)
        folder = posixpath.dirname(path) or "."
        others = {posixpath.relpath(p, folder): text for p, text in spec.sources.items()}
        found[item.alias] = Spec(*document.items, edition=document.edition, sources=others)
    return found
