"""Text to lexemes, in one pass: comments and blank lines become trivia, the mistakes of other notations are named.

A lexeme keeps the offsets of the text as given, while its own text is in normal form: NFKC for names, so that letters
that Unicode holds equal are one name, and `pi` for `π`. Whatever was wrong with it, what later stages see is a name, a
number or a string within the limits.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache

from dgmspec.syntax import limits
from dgmspec.syntax.borrowed import bounds, closing_quote, is_prose
from dgmspec.syntax.foreign import NAMED, SPELLINGS, plain_name
from dgmspec.syntax.grammar import load_table
from dgmspec.syntax.lexeme import Edits, Lexeme, Sink

__all__ = ["Lexeme", "Sink", "comments", "lex"]

_RETURN = re.compile(r"\r(?![\r\n]|\Z)")


def lex(sink: Sink) -> list[Lexeme] | None:
    """The lexemes of the text, an $END last; None where its lines have no ends, or a limit bars reading it."""
    text = sink.text
    if len(text) > limits.FILE_BYTES or len(text.encode(errors="surrogatepass")) > limits.FILE_BYTES:
        sink.report("DGM120", f"the text is larger than {limits.FILE_BYTES:,} bytes", 0, 0, help="split it into files")
        return None
    if found := _RETURN.search(text):  # a comment would go on over all that follows
        message = "a carriage return alone does not end a line"
        sink.report("DGM101", message, found.start(), found.end(), help="end lines by newlines: `tr '\\r' '\\n'`")
        return None
    _check_lines(sink)
    reader = _Reader(sink)
    for match in _scanner()(text, 1 if text.startswith("\ufeff") else 0):
        kind = match.lastgroup
        assert kind is not None
        if not reader.read(kind, match.group(), match.start()):
            return None
    return reader.finish()


def comments(text: str) -> list[tuple[int, str]]:
    """Every comment of a text with its `#`, and the offset at which it begins."""
    matches = _scanner()(text, 0)
    return [(match.start(), match.group().rstrip()) for match in matches if match.lastgroup == "COMMENT"]


@cache
def _scanner() -> Callable[[str, int], Iterator[re.Match[str]]]:
    """The terminals of the grammar as one regular expression; every character matches one of them."""
    parts = "|".join(f"(?P<{name}>{pattern})" for name, pattern in load_table().terminals)
    return re.compile(parts).finditer


def _check_lines(sink: Sink) -> None:
    """One report for the first line that is too long."""
    start = 0
    for line in sink.text.split("\n"):
        if len(line) > limits.LINE_CHARACTERS:
            message = f"this line has {len(line):,} characters; at most {limits.LINE_CHARACTERS:,} are read"
            sink.report("DGM125", message, start, start + 1, help="break the line inside its parentheses")
            return
        start += len(line) + 1


def _printable(text: str) -> str:
    return "".join(filter(str.isprintable, text))


class _Reader:
    """Collects lexemes and hangs comments on them: one behind a token on its line, the others before the next token."""

    def __init__(self, sink: Sink) -> None:
        self.sink = sink
        self.lexemes: list[Lexeme] = []
        self.lines = 0
        self.before: list[str] = []
        self.blank = 0
        self.skip_to = 0

    def read(self, kind: str, text: str, start: int) -> bool:
        """Take one token of the scanner; False when there are too many."""
        if start < self.skip_to or kind == "WHITE":
            return True
        if kind == "NEWLINE":
            self.lines += 1
            self.blank += 1
        elif kind == "COMMENT":
            self._comment(text.rstrip())
        elif kind.startswith("BAD"):
            self._bad(kind, text, start)
        else:
            if kind in ("NAME", "QNAME"):
                self._name(kind, text, start)
            else:
                self.add(kind, text, start, start + len(text))
                self._limit(kind, text, start)
            if len(self.lexemes) > limits.TOKENS:
                message = f"the text has more than {limits.TOKENS:,} tokens"
                self.sink.report("DGM121", message, start, start + len(text), help="split it into files")
                return False
        return True

    def finish(self) -> list[Lexeme]:
        end = len(self.sink.text)
        self.add("$END", "", end, end)
        return self.lexemes

    def add(self, kind: str, text: str, start: int, end: int, flawed: bool = False) -> Lexeme:
        if self.blank > 1 and self.lexemes:
            self.before.append("")
        lexeme = Lexeme(kind, text, start, end, self.lines, self.before, flawed=flawed)
        self.lexemes.append(lexeme)
        self.lines, self.blank, self.before = 0, 0, []
        return lexeme

    def _comment(self, text: str) -> None:
        if self.lexemes and not self.lines and not self.lexemes[-1].after:
            self.lexemes[-1].after = text
        else:
            if self.blank > 1 and (self.lexemes or self.before):
                self.before.append("")
            self.before.append(text)
        self.blank = 0

    def _name(self, kind: str, written: str, start: int) -> None:
        """A name must be an identifier before and after normalisation."""
        end = start + len(written)
        name = written if written.isascii() else unicodedata.normalize("NFKC", written)
        parts = (*written.split("."), *name.split("."))
        if all(part.isidentifier() for part in parts):
            lexeme = self.add(kind, "pi" if name == "π" else name, start, end)
            lexeme.written = written if written != lexeme.text else ""
        else:
            base, write = plain_name(written)
            self.sink.report(
                "DGM102",
                f"`{written}` is not a name: a name is made of letters, digits and `_`",
                start,
                end,
                help=f"write `{write}`",
                replace=((start, end, write),),
            )
            self.add("NAME", base, start, end, flawed=True)
        if len(name) > limits.NAME_CHARACTERS * (2 if kind == "QNAME" else 1):
            message = f"this name has {len(name):,} characters; at most {limits.NAME_CHARACTERS} are allowed"
            self.sink.report("DGM124", message, start, end, help="shorten it")
            last = self.lexemes[-1]
            last.type, last.text = "NAME", last.text[: limits.NAME_CHARACTERS].replace(".", "_")

    def _limit(self, kind: str, text: str, start: int) -> None:
        """Strings and numbers of a size that can be read."""
        end = start + len(text)
        if kind == "STRING" and len(text.encode(errors="surrogatepass")) > limits.STRING_BYTES + 2:
            message = f"this string is longer than {limits.STRING_BYTES:,} bytes"
            self.sink.report("DGM123", message, start, end, help="shorten it")
            self.lexemes[-1].text = '""'
        elif kind == "STRING" and not text.isprintable():
            message = "this string holds a control character"
            self.sink.report("DGM106", message, start, end, help="write the string in printable characters")
            self.lexemes[-1].text = _printable(text)
        elif kind in ("INT", "FLOAT") and len(text) > limits.NUMBER_CHARACTERS:
            message = f"this number has {len(text):,} characters; at most {limits.NUMBER_CHARACTERS} are allowed"
            self.sink.report("DGM128", message, start, end, help="write it with fewer digits and an exponent")
            self.lexemes[-1].text = "1" if kind == "INT" else "1.0"
        elif kind == "FLOAT":
            value = float(text)
            if math.isinf(value) or (value == 0 and text.lower().partition("e")[0].strip("0._")):
                what = "larger than 1.8e308" if value else "smaller than 5e-324"
                message = f"`{text}` is {what} and no floating-point number"
                self.sink.report("DGM129", message, start, end, help="write `inf`" if value else "write `0.0`")
                self.lexemes[-1].text = "1.0"

    def _bad(self, kind: str, text: str, start: int) -> None:
        """A character or sequence of another notation: say what to write, read on as if it had been written."""
        end = start + len(text)
        if kind == "BAD_STRING":
            message = "this string does not end on its line"
            self.sink.report("DGM103", message, start, end, help='close it with `"`')
            self.add("STRING", _printable(text) + '"', start, end, flawed=True)
        elif text == ".":
            self._dot(start)
        elif text == "**":
            fix = ((start, end, "^"),)
            self.sink.report("DGM104", "a power is written `^`, not `**`", start, end, help="write `^`", replace=fix)
            self.add("CIRCUMFLEX", "^", start, end)
        elif text == "<" and (bound := bounds(self.sink.text, start)):
            self._bounds(*bound)
        elif text in NAMED:
            message, help, *plain = NAMED[text]
            if text == "//" and is_prose(self.sink.text, start):
                plain = ["#"]
            replace = tuple((start, end, spelled) for spelled in plain)
            self.sink.report("DGM105", message, start, end, help=help, replace=replace)
            if text == "//":
                self._skip_line(start)
            else:
                self.add("_OTHER", text, start, end, flawed=True)
        else:
            self._spelling(text, start)

    def _bounds(self, start: int, end: int, write: str) -> None:
        """Bounds in `< >`: they are part of a type here, with a name of its own."""
        help = f"write `{write.strip()}`"
        self.sink.report("DGM105", "bounds are part of a type", start, end, help=help, replace=((start, end, write),))
        type_ = write.removeprefix(" : ")
        if type_ != write:
            self.add("COLON", ":", start, start)
            self.add("NAME", "real", start, end)
        if "(" in type_:
            self.lexemes[-1].flawed = True
        else:
            self.lexemes[-1].text = type_
        self.lexemes[-1].end = self.skip_to = end

    def _spelling(self, text: str, start: int) -> None:
        """A character that looks like, or stands for, something of the language; or none of it."""
        end = start + len(text)
        plain = unicodedata.normalize("NFKC", text)
        kind, spelled = SPELLINGS.get(text) or SPELLINGS.get(plain) or ("", "")
        shown = f"`{text}`" if text.isprintable() else f"the character U+{ord(text):04X}"
        if kind:
            what = "a plain space" if kind == "WHITE" else f"`{spelled}`"
            close = closing_quote(self.sink.text, start) if kind == "QUOTE" else None
            fix: Edits = ((start, end, spelled),) if kind != "QUOTE" else ()
            if close:
                fix = ((start, end, spelled), (close, close + 1, spelled))
            message = f"{shown} is not part of the language"
            self.sink.report("DGM101", message, start, end, help=f"write {what}", replace=fix)
            if close:
                string = f'"{self.sink.text[end:close]}"'
                self.add("STRING", string, start, close + 1)
                self._limit("STRING", string, start)
                self.skip_to = close + 1
            elif kind == "QUOTE":
                self._skip_line(start)
            elif kind != "WHITE":
                self.add(kind, spelled, start, end)
        else:
            self._unknown(shown, start, end)

    def _unknown(self, shown: str, start: int, end: int) -> None:
        """One report for a run of characters that mean nothing."""
        last = self.lexemes[-1] if self.lexemes else None
        if last is None or last.type != "_OTHER" or last.end != start:
            self.sink.report("DGM101", f"{shown} is not part of the language", start, end, help="remove it")
            self.add("_OTHER", "", start, end, flawed=True)
        else:
            last.end = end

    def _dot(self, start: int) -> None:
        """`1.`, `.5`, `a.b.c`, or a lone dot."""
        text = self.sink.text
        before, after = text[start - 1 : start], text[start + 1 : start + 2]
        last = self.lexemes[-1] if self.lexemes else None
        touches = last is not None and last.end == start
        if touches and last is not None and last.type == "INT":
            help = f"write `{last.text}.0`"
            fix = ((start + 1, start + 1, "0"),)
            message = "a number does not end with a point"
            self.sink.report("DGM107", message, last.start, start + 1, help=help, replace=fix)
            last.type, last.text, last.end, last.flawed = "FLOAT", last.text + ".0", start + 1, True
        elif after.isdigit() and not (before.isalnum() or before == "_"):
            message = "a number does not begin with a point"
            fix = ((start, start, "0"),)
            self.sink.report("DGM107", message, start, start + 2, help="write `0` before it", replace=fix)
        else:
            message = "a name has at most one point, between the name of a used file and a name in it"
            self.sink.report("DGM105", message, start, start + 1, help="write `file.name`")
            self.add("_OTHER", ".", start, start + 1, flawed=True)

    def _skip_line(self, start: int) -> None:
        """Leave the rest of the line unread."""
        end = self.sink.text.find("\n", start)
        self.skip_to = len(self.sink.text) if end < 0 else end
        if self.lexemes and not self.lines:
            self.lexemes[-1].flawed = True
