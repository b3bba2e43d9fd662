"""What to say about a token that cannot stand where it stands.

The automaton knows every token that could follow. From that set come, in this order: the mistakes that have their own
message, a repair that lets the next tokens be read (a token to insert, or one to remove), and the list of what was
expected, in words.
"""

from dataclasses import dataclass

from dgmspec.core.diagnostics import Label
from dgmspec.syntax.automaton import Automaton
from dgmspec.syntax.foreign import WORDS
from dgmspec.syntax.habits import habit, typed_first
from dgmspec.syntax.layout import HEADS, JOINERS
from dgmspec.syntax.lexeme import OPERANDS, Edits, Lexeme, Sink
from dgmspec.syntax.repairs import remedy

__all__ = ["NAMES", "explain"]

# Every terminal in words; those of an expression and of a statement are grouped in `_wanted`.
NAMES: dict[str, str] = {
    "NAME": "a name",
    "QNAME": "a name",
    "INT": "a number",
    "FLOAT": "a number",
    "STRING": "a string",
    "PLUS": "`+`",
    "MINUS": "`-`",
    "STAR": "`*`",
    "SLASH": "`/`",
    "AT": "`@`",
    "CIRCUMFLEX": "`^`",
    "EQUAL": "`=`",
    "TILDE": "`~`",
    "VBAR": "`|`",
    "COMMA": "`,`",
    "COLON": "`:`",
    "LPAR": "`(`",
    "RPAR": "`)`",
    "LSQB": "`[`",
    "RSQB": "`]`",
    "LBRACE": "`{`",
    "RBRACE": "`}`",
    "_ARROW": "`->`",
    "_BACK": "`<-`",
    "_DOTS": "`..`",
    "_SEMI": "`;`",
    "_SEP": "the end of the line",
    "$END": "the end of the text",
    "_INVERSE": "`inverse`",
    "_AS": "`as`",
    "_OVER": "`over`",
    "_IN": "`in`",
    "_FOR": "`for`",
}

_OPERAND_STARTS = OPERANDS | {"LPAR"}
_OPERAND_ENDS = OPERANDS | {"RPAR", "RSQB"}
_BINARY = ("PLUS", "MINUS", "STAR", "SLASH", "AT")
# Tokens that are one too many behind these.
_OPERATORS = frozenset((*_BINARY, "CIRCUMFLEX"))
_DOUBLED = {
    "COMMA": frozenset(("COMMA", "LPAR", "LSQB")),
    "EQUAL": frozenset(("EQUAL",)),
    **dict.fromkeys(sorted(_OPERATORS - {"MINUS"}), _OPERATORS | {"EQUAL"}),
}
# Tokens whose absence is worth guessing, likeliest first, and how they are written in a fix; brackets are paired.
_INSERT = {
    "COMMA": ", ",
    "EQUAL": " = ",
    "COLON": " : ",
    "_ARROW": " -> ",
    "_IN": " in ",
    "_OVER": " over ",
    "_AS": " as ",
    "TILDE": " ~ ",
}
_MOST_NAMED = 6
# How far a repair must carry, and how far it is followed to tell one from another.
_LEAST_AHEAD, _MOST_AHEAD = 3, 12


@dataclass(frozen=True, slots=True)
class _Error:
    """Token `i`, in the statement that begins at token `start`, cannot stand there."""

    automaton: Automaton
    tokens: list[Lexeme]
    i: int
    start: int
    sink: Sink

    @property
    def token(self) -> Lexeme:
        return self.tokens[self.i]

    @property
    def previous(self) -> Lexeme | None:
        return self.tokens[self.i - 1] if self.i > self.start else None

    @property
    def second(self) -> bool:
        """Whether the token is the second one of its statement."""
        return self.i == self.start + 1


def explain(automaton: Automaton, tokens: list[Lexeme], i: int, start: int, sink: Sink) -> None:
    """Report the error at token `i` of the statement that begins at token `start`."""
    error = _Error(automaton, tokens, i, start, sink)
    for attempt in (_reserved, _semicolon, _unnamed, _juxtaposed, _surplus, _missing):
        if attempt(error):
            return
    _unexpected(error)


# ------------------------------------------------------------------------------------ mistakes with their own message


def _reserved(e: _Error) -> bool:
    """`repeat` as a name, or without its count."""
    if e.previous and e.previous.type == "_REPEAT" and e.token.type == "LBRACE":
        message = "`repeat` does not say how many times"
        e.sink.report("DGM110", message, e.previous.start, e.token.end, help="write the count: `repeat 4 { … }`")
        return True
    word = next((t for t in (e.token, e.previous) if t and t.type == "_REPEAT"), None)
    if word is None or (word is e.previous and e.token.type in _OPERAND_STARTS):
        return False
    message = "`repeat` is the one reserved word of the language and names nothing"
    e.sink.report("DGM119", message, word.start, word.end, help="choose another name, or write `repeat 4 { … }`")
    return True


def _semicolon(e: _Error) -> bool:
    if e.token.type != "_SEMI":
        return False
    e.sink.report(
        "DGM117",
        "a `;` cannot stand here",
        e.token.start,
        e.token.end,
        help="separate arguments with `,`; only the head of a bijector has a `;`, before its parameters",
        replace=((e.token.start, e.token.end, ","),),
    )
    return True


def _unnamed(e: _Error) -> bool:
    """A head word, or a word that joins, without the name that makes it one: `latent : real`, `repeat 4 as { … }`."""
    head = e.previous if e.previous and e.second and e.previous.type == "NAME" and e.previous.text in HEADS else None
    joins = e.token.type == "NAME" and e.token.text in JOINERS and e.previous and e.previous.type in _OPERAND_ENDS
    if not joins and (head is None or e.token.type in OPERANDS):
        return False
    word, found = (e.token, e.tokens[e.i + 1]) if joins or head is None else (head, e.token)
    message = f"expected a name after `{word.text}`, found {_found(found)}"
    e.sink.report("DGM110", message, *_place(e.tokens, found), help=f"write `{word.text} name …`")
    return True


def _juxtaposed(e: _Error) -> bool:
    """Two operands side by side: a product without its `*`, or two names without what separates them."""
    previous, token = e.previous, e.token
    if previous is None or previous.type not in _OPERAND_ENDS or token.type not in _OPERAND_STARTS:
        return False
    if "STRING" in (previous.type, token.type) or not e.automaton.accepts(("STAR", token.type)):
        return False
    if token.type == "NAME" and not e.second and e.tokens[e.i + 1].type == "EQUAL":
        return False  # `n = 100 noise = 0.1` lacks its `,`
    left = previous.text if previous.type not in ("RPAR", "RSQB") else f"…{previous.text}"
    right = token.text if token.type != "LPAR" else "(…)"
    typed = typed_first(e.tokens, e.i, e.start)
    if typed or (previous.type == "NAME" and token.type in ("NAME", "QNAME")):
        help = f"write `{left} * {right}` for a product, or `,` between arguments"
        if e.second:
            help = (
                f"write `{left}({right})` for a step, `{left} = {right}` for a setting, or a new line between the two"
            )
        word = left if e.second and left in WORDS else right
        help = typed or WORDS.get(word, help)
        message = f"there is nothing between `{left}` and `{right}`"
        e.sink.report("DGM111", message, previous.start, token.end, help=help)
        return True
    if e.second and previous.type == "NAME":
        return False  # `steps 5` lacks its `=`
    # `2 x` can mean nothing else; `lr 0.1`, `64 64` and `f(x) y` may lack a sign of another sort.
    product = previous.type in ("INT", "FLOAT") and token.type in ("NAME", "QNAME", "LPAR")
    edits: Edits = ((previous.end, token.start, " * "),) if product else ()
    help = f"write `{left} * {right}`"
    e.sink.report("DGM111", "a product needs its `*`", previous.start, token.end, help=help, replace=edits)
    return True


# ------------------------------------------------------------------------------------------------------------ repairs


def _missing(e: _Error) -> bool:
    """A token that lets the reading go on if it is put before this one; of several, the one that carries furthest."""
    if e.previous is None:
        return False
    ahead = _ahead(e.tokens, e.i)
    reached = {kind: e.automaton.reach((kind, *ahead)) - 1 for kind in _INSERT}
    best = max(_INSERT, key=lambda kind: reached[kind])
    if reached[best] < min(_LEAST_AHEAD, len(ahead)):
        return False
    at = e.previous.end
    e.sink.report(
        "DGM110",
        f"{NAMES[best]} is missing before {_found(e.token)}",
        *_place(e.tokens, e.token),
        help=f"write {NAMES[best]} here",
        replace=((at, e.token.start if e.token.type != "_SEP" else at, _INSERT[best]),),
    )
    return True


def _surplus(e: _Error) -> bool:
    """A comma or an operator that is written twice."""
    token, previous = e.token, e.previous
    if previous is None or token.type not in _DOUBLED or previous.type not in _DOUBLED[token.type]:
        return False
    ahead = _ahead(e.tokens, e.i + 1)[:_LEAST_AHEAD]
    if not e.automaton.accepts(ahead):
        return False
    edits = ((token.start, token.end, ""),)
    e.sink.report("DGM110", f"{_found(token)} is one too many", token.start, token.end, help="remove it", replace=edits)
    return True


def _ahead(tokens: list[Lexeme], i: int) -> tuple[str, ...]:
    """The types of the next tokens, to the end of the statement at most."""
    types: list[str] = []
    for token in tokens[i : i + _MOST_AHEAD]:
        types.append(token.type)
        if token.type in ("_SEP", "LBRACE", "RBRACE", "$END"):
            break
    return tuple(types)


# ------------------------------------------------------------------------------------------------ what was expected


def _unexpected(e: _Error) -> None:
    """Nothing better is known: what could stand here, in words."""
    token, head, expected = e.token, e.tokens[e.start], e.automaton.expected()
    after = f" after `{e.previous.text}`" if e.previous and e.previous.text else ""
    labels: tuple[Label, ...] = ()
    place = _place(e.tokens, token)
    if e.previous and "\n" in e.sink.text[head.start : place[0]]:
        labels = (Label(e.sink.span(head.start, head.end), "in this statement"),)
    help = ""
    if token.type == "COMMA" and "RPAR" in expected:
        help = "a vector is written in square brackets: `[1, 2]`"
    elif token.type == "_DOTS":
        help = "a range `a..b` stands after `in`, or as an argument"
    replace: Edits = ()
    if not help:
        help, replace = habit(e.tokens, e.i, e.start, expected)
    if not help:
        help, replace = remedy(e.automaton, e.tokens, e.i, e.start)
    message = f"expected {_either(_wanted(expected))}{after}, found {_found(token)}"
    e.sink.report("DGM110", message, *place, labels=labels, help=help, replace=replace)


def _place(tokens: list[Lexeme], token: Lexeme) -> tuple[int, int]:
    """Where to point: at the token, or behind the last one where the line or the text ends."""
    if token.type in ("_SEP", "$END", "RBRACE") and token.first:
        end = tokens[token.first - 1].end
        return end, end
    return token.start, token.end


def _found(token: Lexeme) -> str:
    if token.type == "$END":
        return "the end of the text"
    if token.type == "_SEP" and token.text == "\n":
        return "the end of the line"
    return f"`{token.text}`"


def _wanted(expected: set[str]) -> list[str]:
    """The expected tokens in words, whole classes of them as one."""
    words: list[str] = []
    rest = set(expected)
    if "_FLOW" in rest:
        return ["a statement"]
    if {"NAME", "INT", "LPAR"} <= rest:
        words.append("an expression")
        rest -= OPERANDS | {"LPAR", "LSQB", "MINUS", "_INVERSE"}
    if set(_BINARY) <= rest:
        rest -= {*_BINARY, "CIRCUMFLEX", "LPAR", "LSQB"}
        if not rest & {"_SEP", "COMMA", "RPAR", "RSQB", "LBRACE"}:
            words.append("an operator")
    if "_SEP" in rest:
        rest -= {"RBRACE", "$END", "_SEMI"}
    named = (NAMES.get(kind) for kind in sorted(rest, key=list(NAMES).index) if kind in NAMES)
    return [*dict.fromkeys([*words, *(n for n in named if n)])][:_MOST_NAMED]


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
