"""Bijectors of the author's own: what their lines say, what is proved of it, and the operations that they become."""

from dgmspec.ops.authored.definition import Definition, Line, OwnConstant, OwnNet, Reading, Size
from dgmspec.ops.authored.scalar import AuthoredScalar
from dgmspec.ops.authored.step import AuthoredStep

__all__ = ["AuthoredScalar", "AuthoredStep", "Definition", "Line", "OwnConstant", "OwnNet", "Reading", "Size"]
