"""The pre-pass: delimiters matched, line ends turned into separators, keywords told by their position. All linear.

A line end separates statements unless it stands inside `( )` or `[ ]`, before `{`, or after a token that cannot end a
statement. A word is a keyword only where a name would be an error, so that every word may also name things.
"""

from dgmspec.core.diagnostics import Label, did_you_mean
from dgmspec.syntax import limits
from dgmspec.syntax.lexeme import OPERANDS, Edits, Lexeme, Sink
from dgmspec.syntax.repairs import closes_at_once

__all__ = ["ARROWS", "HEADS", "JOINERS", "arrange"]

_HEAD_WORDS = (
    "dgm use param fn net data bijector model observe latent given flow ode sde markov perturb generate infer energy "
    "learn train sample"
)
HEADS = frozenset(_HEAD_WORDS.split())
ARROWS = frozenset(("flow", "ode", "sde", "markov", "perturb"))
JOINERS = frozenset(("as", "over", "in", "for"))

_BEGINS = OPERANDS | {"LPAR", "LSQB", "MINUS"}
_ENDS = OPERANDS | {"RPAR", "RSQB"}
# Tokens after which a statement cannot end, nor begin with.
_JOINING = "PLUS MINUS STAR SLASH AT CIRCUMFLEX EQUAL TILDE VBAR COMMA COLON _ARROW _BACK _DOTS"
_CONTINUE = frozenset(_JOINING.split())
_CLOSER = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
_SPELLED = {"RPAR": ")", "RSQB": "]", "RBRACE": "}"}


def arrange(lexemes: list[Lexeme], sink: Sink) -> list[Lexeme] | None:
    """The tokens that the parser reads; None where brackets are nested beyond the limit."""
    matched = _match_delimiters(lexemes, sink)
    return None if matched is None else _separate(matched, sink)


# ------------------------------------------------------------------------------------------------------ delimiters


def _match_delimiters(lexemes: list[Lexeme], sink: Sink) -> list[Lexeme] | None:
    """The lexemes with every bracket closed: strays dropped, missing ones added, each reported."""
    stack: list[int] = []
    match: dict[int, int] = {}
    unclosed: list[int] = []
    dropped: set[int] = set()
    for i, lexeme in enumerate(lexemes):
        if lexeme.lines and stack and _begins_statement(lexemes, i):
            while stack and lexemes[stack[-1]].type != "LBRACE":
                unclosed.append(stack.pop())
        if lexeme.type in _CLOSER:
            stack.append(i)
            if len(stack) > limits.BRACKETS:
                message = f"brackets are nested more than {limits.BRACKETS} deep"
                sink.report("DGM122", message, lexeme.start, lexeme.end, help="name the inner parts")
                return None
        elif lexeme.type in _SPELLED:
            _close(lexemes, i, stack, match, unclosed, dropped, sink)
        elif lexeme.type == "$END":
            unclosed.extend(reversed(stack))
    if not unclosed and not dropped:
        return lexemes
    return _mend(lexemes, match, unclosed, dropped, sink)


def _begins_statement(lexemes: list[Lexeme], i: int) -> bool:
    """Whether a line begins as only a declaration can, so that nothing above it goes on here."""
    following = lexemes[i + 1] if i + 1 < len(lexemes) else lexemes[i]
    head = lexemes[i].type == "NAME" and lexemes[i].text in HEADS and not following.lines
    return head and following.type in ("NAME", "QNAME", "STRING") and following.text not in JOINERS


def _close(
    lexemes: list[Lexeme],
    i: int,
    stack: list[int],
    match: dict[int, int],
    unclosed: list[int],
    dropped: set[int],
    sink: Sink,
) -> None:
    """Match one closing bracket. A brace closes whatever is open inside its block; others stay inside theirs."""
    closer = lexemes[i]
    depth = len(stack) - 1
    while depth >= 0 and _CLOSER[lexemes[stack[depth]].type] != closer.type:
        if lexemes[stack[depth]].type == "LBRACE":
            depth = -1
            break
        depth -= 1
    if depth >= 0:
        unclosed.extend(reversed(stack[depth + 1 :]))
        match[stack[depth]] = i
        del stack[depth:]
    elif stack and closer.type != "RBRACE" and lexemes[stack[-1]].type != "LBRACE":
        opener = lexemes[stack[-1]]
        right = _SPELLED[_CLOSER[opener.type]]
        sink.report(
            "DGM114",
            f"`{opener.text}` is closed by `{closer.text}`",
            closer.start,
            closer.end,
            labels=(Label(sink.span(opener.start, opener.end), "opened here"),),
            help=f"write `{right}`",
            replace=((closer.start, closer.end, right),),
        )
        closer.type, closer.text = _CLOSER[opener.type], right
        match[stack.pop()] = i
    else:
        message = f"`{closer.text}` closes nothing"
        sink.report("DGM114", message, closer.start, closer.end, help=f"remove it, or open its `{_opening(closer)}`")
        dropped.add(i)


def _opening(closer: Lexeme) -> str:
    return {"RPAR": "(", "RSQB": "[", "RBRACE": "{"}[closer.type]


def _mend(
    lexemes: list[Lexeme], match: dict[int, int], unclosed: list[int], dropped: set[int], sink: Sink
) -> list[Lexeme]:
    """Close each unclosed bracket where its line ends (a brace at the end of the text) and leave out the strays."""
    added: dict[int, list[Lexeme]] = {}
    braces = [i for i in unclosed if lexemes[i].type == "LBRACE"]
    for i in unclosed:
        opener = lexemes[i]
        kind = _CLOSER[opener.type]
        at = len(lexemes) - 1 if kind == "RBRACE" else _line_end(lexemes, i, match)
        previous = lexemes[at - 1]
        closing = Lexeme(kind, _SPELLED[kind], previous.end, previous.end, flawed=kind != "RBRACE")
        added.setdefault(at, []).append(closing)
        if kind != "RBRACE":
            opener.flawed = True
            sure = len(unclosed) == 1 and closes_at_once(lexemes, i, at)
            _report_unclosed(opener, sink, ((previous.end, previous.end, closing.text),) if sure else ())
    if braces:
        suspect = _suspect(lexemes, match, braces[-1], sink.text)
        sure = len(unclosed) == 1 and suspect == braces[-1]
        _report_unclosed(lexemes[suspect], sink, _brace_at_end(sink.text, lexemes[suspect]) if sure else ())
    out: list[Lexeme] = []
    for i, lexeme in enumerate(lexemes):
        out.extend(added.get(i, ()))
        if i not in dropped:
            out.append(lexeme)
        elif out:
            out[-1].flawed = True
    return out


def _report_unclosed(opener: Lexeme, sink: Sink, replace: Edits) -> None:
    closer = _SPELLED[_CLOSER[opener.type]]
    message = f"this `{opener.text}` is never closed"
    sink.report("DGM113", message, opener.start, opener.end, help=f"close it with `{closer}`", replace=replace)


def _brace_at_end(text: str, opener: Lexeme) -> Edits:
    """A `}` on a line of its own at the end of the text, under the line of its `{`."""
    end = len(text)
    return ((end, end, f"{'' if text.endswith(chr(10)) else chr(10)}{' ' * _indent(text, opener.start)}}}\n"),)


def _line_end(lexemes: list[Lexeme], i: int, match: dict[int, int]) -> int:
    """The first lexeme after an unclosed `(` or `[` that can no longer belong to it."""
    j = i + 1
    while lexemes[j].type not in ("$END", "LBRACE", "RBRACE", "_SEMI") and not lexemes[j].lines:
        j = match[j] + 1 if j in match else j + 1
    return j


def _suspect(lexemes: list[Lexeme], match: dict[int, int], outer: int, text: str) -> int:
    """Which `{` the author forgot to close: the innermost whose `}` stands further left than its line, else `outer`."""
    for i, j in sorted(match.items(), reverse=True):
        hangs = _indent(text, lexemes[j].start) < _indent(text, lexemes[i].start)
        if i > outer and lexemes[i].type == "LBRACE" and lexemes[j].lines and hangs:
            return i
    return outer


def _indent(text: str, offset: int) -> int:
    """The width of the white space that begins the line of an offset."""
    start = text.rfind("\n", 0, offset) + 1
    line = text[start : start + limits.LINE_CHARACTERS]
    return len(line) - len(line.lstrip(" \t"))


# -------------------------------------------------------------------------------------------- separators, keywords


def _separate(lexemes: list[Lexeme], sink: Sink) -> list[Lexeme]:
    """Put _SEP between statements and give keywords their type; numbers each token by its place."""
    out: list[Lexeme] = []
    open_: list[str] = []
    for i, lexeme in enumerate(lexemes):
        inside = bool(open_) and open_[-1] != "LBRACE"
        if lexeme.type == "_SEMI" and not inside:
            _put_separator(out, lexeme.start, lexeme.end, ";")
            _move_comments(lexeme, out[-1] if out else None, lexemes[i + 1])
            continue
        if lexeme.lines and not inside and out:
            _end_line(out, lexemes, i, sink)
        if lexeme.type in ("RBRACE", "$END") and out and out[-1].type == "_SEP":
            out.pop()
        if lexeme.type == "NAME":
            _retag(lexeme, out[-1] if out else None, lexemes[i + 1], inside, sink)
        if lexeme.type in _CLOSER:
            open_.append(lexeme.type)
        elif lexeme.type in _SPELLED and open_:
            open_.pop()
        out.append(lexeme)
    for i, lexeme in enumerate(out):
        lexeme.first = lexeme.last = i
    return out


def _put_separator(out: list[Lexeme], start: int, end: int, text: str = "\n") -> None:
    """A separator, unless nothing stands before it that it could end."""
    if out and out[-1].type not in ("_SEP", "LBRACE"):
        out.append(Lexeme("_SEP", text, start, end))


def _move_comments(semicolon: Lexeme, previous: Lexeme | None, following: Lexeme) -> None:
    """Separators carry no comments: one behind a `;` belongs to the statement before it, others to the next."""
    if semicolon.after and previous and previous.type == "_SEP" and not semicolon.lines:
        previous.after = semicolon.after
    elif semicolon.after:
        following.before.insert(0, semicolon.after)
    following.before[:0] = semicolon.before


def _end_line(out: list[Lexeme], lexemes: list[Lexeme], i: int, sink: Sink) -> None:
    """Decide what the line end before lexeme `i` means, outside parentheses."""
    previous, lexeme = out[-1], lexemes[i]
    following = lexemes[i + 1] if i + 1 < len(lexemes) else lexeme
    if lexeme.type == "LBRACE" or previous.type in ("LBRACE", "_SEP"):
        return
    if previous.type in _CONTINUE:
        if _begins_statement(lexemes, i):
            _put_separator(out, previous.end, previous.end)
        return
    joins = lexeme.text in JOINERS and following.type == "NAME" and not following.lines and previous.type in _ENDS
    if lexeme.type in _CONTINUE or joins:
        sink.report(
            "DGM112",
            f"a line cannot begin with `{lexeme.text}`",
            lexeme.start,
            lexeme.end,
            help=f"end the line above with `{lexeme.text}`: then it continues here"
            if not joins
            else f"write `{lexeme.text}` on the line above, or break the line after an operator",
            replace=((previous.end, previous.end, f" {lexeme.text}"), (lexeme.start, lexeme.end, ""))
            if not joins
            else (),
        )
        return
    _put_separator(out, previous.end, previous.end)


def _retag(lexeme: Lexeme, previous: Lexeme | None, following: Lexeme, inside: bool, sink: Sink) -> None:
    """Turn a name into a keyword where its position says so."""
    word = lexeme.text
    starts = previous is None or previous.type in ("_SEP", "LBRACE")
    if word == "repeat":
        lexeme.type = "_REPEAT"
    elif word == "inverse" and (starts or (previous and previous.type in ("LPAR", "COMMA", "EQUAL"))):
        here = following.type in ("NAME", "QNAME") and (inside or not following.lines)
        if here or following.type == "LBRACE":
            lexeme.type = "_INVERSE"
    elif starts:
        if following.type == "LBRACE" or (following.type in OPERANDS and not following.lines):
            _retag_head(lexeme, following, sink)
        elif word in ARROWS and following.type == "LSQB" and not following.lines:
            lexeme.type = f"_{word.upper()}"
    elif word in JOINERS and previous and previous.type in _ENDS and following.type in _BEGINS:
        lexeme.type = f"_{word.upper()}"


def _retag_head(lexeme: Lexeme, following: Lexeme, sink: Sink) -> None:
    """A name directly before an operand or a brace can only be a head word, well or badly spelled."""
    if lexeme.text in HEADS:
        lexeme.type = f"_{lexeme.text.upper()}"
        return
    near = did_you_mean(lexeme.text, HEADS)
    if near and following.text not in JOINERS:
        sink.report(
            "DGM116",
            f"no declaration begins with `{lexeme.text}`",
            lexeme.start,
            lexeme.end,
            help=f"did you mean `{near}`?",
            replace=((lexeme.start, lexeme.end, near),),
        )
        lexeme.type = f"_{near.upper()}"
