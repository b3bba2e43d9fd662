"""Text to tree and back: `parse_tree`, `format_tree`, `format_text`, and the tree itself."""

from dgmspec.syntax.parser import parse_tree
from dgmspec.syntax.printer import format_text, format_tree
from dgmspec.syntax.tree import Token, Tree

__all__ = ["Token", "Tree", "format_text", "format_tree", "parse_tree"]
