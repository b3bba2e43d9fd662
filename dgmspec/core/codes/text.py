"""Family 1xx, continued: syntax, limits, the header and the form of a text."""

from dgmspec.core.code import Code
from dgmspec.core.example import file_text

_MANY = "".join(f"fn f{i}(x) = {'x + ' * 400}1\n" for i in range(130))
_MODEL = "model M {{\n    observe x : real[2]\n    latent z : real[2] ~ normal(0, 1)\n    flow x -> z {{{}}}\n}}\n"

_STAN = """data {
  int<lower=0> J;
  vector[J] y;
}
parameters {
  real mu;
  real<lower=0> tau;
}
model {
  mu ~ normal(0, 10);
  tau ~ lognormal(2, 1);
  y ~ normal(mu, tau);
}
"""
_SCHOOL = """dgm 1
model School {
    observe theta : real[2] ~ normal([0, 2], [10, 1])    # mu, and the logarithm of tau
    observe y : real[4]
    generate y | theta ~ normal(theta[0], exp(theta[1]))
}
"""


def _flow(steps: str) -> str:
    return "dgm 1\n" + _MODEL.format(steps)


_SYNTAX = (
    Code(
        "DGM110",
        "error",
        "something is missing or out of place",
        "Each statement has the form that its head word sets; the message names what could stand at the place.",
        "What cannot be read is not guessed at. The other statements are still read, and their errors reported.",
        file_text("param a 2"),
        file_text("param a = 2"),
    ),
    Code(
        "DGM111",
        "error",
        "two operands side by side",
        "A product is written `2 * x`.",
        "`f (x)` would be both a call and a product if the sign could be left out.",
        file_text("fn f(x) = 2 x"),
        file_text("fn f(x) = 2 * x"),
    ),
    Code(
        "DGM112",
        "error",
        "a line that begins with an operator",
        "A statement goes on in the next line if the line ends in an operator, or inside parentheses.",
        "The end of a line ends a statement, so what it means must be visible at that end.",
        file_text("fn f(x) = x\n    + 1"),
        file_text("fn f(x) = x +\n    1"),
    ),
    Code(
        "DGM113",
        "error",
        "a bracket that is never closed",
        "Every `(`, `[` and `{` has its closing bracket.",
        "The message stands at the bracket that opened, because that is the end that can be found again.",
        file_text("fn f(x) = exp(x"),
        file_text("fn f(x) = exp(x)"),
    ),
    Code(
        "DGM114",
        "error",
        "a closing bracket that closes nothing",
        "Every `)`, `]` and `}` closes the bracket of its own form that was opened last.",
        "Brackets that cross have no meaning.",
        file_text("fn f(x) = exp(x))"),
        file_text("fn f(x) = exp(x)"),
    ),
    Code(
        "DGM115",
        "error",
        "a statement that defines nothing",
        "The left side of `=`, `~` and `<-` is a name or a form such as `f(t)`; a step is a name or a call.",
        "A statement says something about a thing with a name; an expression alone says nothing.",
        _flow(" actnorm; 2 * 3 "),
        _flow(" actnorm "),
    ),
    Code(
        "DGM116",
        "error",
        "a misspelled head word",
        "A name directly before another name, a number, a string or `{` is one of the head words of the language.",
        "Head words are keywords by their position only, so that each of them may also name things.",
        file_text("parma a = 2"),
        file_text("param a = 2"),
    ),
    Code(
        "DGM117",
        "error",
        "a `;` inside parentheses",
        "Inside parentheses a `;` stands in the head of a bijector alone, between its variable and its parameters.",
        "Elsewhere `;` ends a statement, and arguments are separated by `,`.",
        file_text("fn f(x) = max(x; 0)"),
        file_text("fn f(x) = max(x, 0)"),
    ),
    Code(
        "DGM119",
        "error",
        "`repeat` used as a name",
        "`repeat` is reserved: it begins a `repeat n { … }` and names nothing.",
        "It is followed by any expression, so its position does not tell the two uses apart.",
        file_text("param repeat = 4"),
        file_text("param turns = 4"),
    ),
)

_LIMITS = (
    Code(
        "DGM120",
        "error",
        "a text beyond 1 MiB",
        "A text has at most 1,048,576 bytes.",
        "Reading a spec takes bounded time and memory, whatever the input.",
        file_text("param a = 1  # " + "\n# " * 400_000),
        file_text("param a = 1"),
    ),
    Code(
        "DGM121",
        "error",
        "a text of too many tokens",
        "A text has at most 100,000 tokens.",
        "Reading a spec takes bounded time and memory, whatever the input.",
        file_text(_MANY),
        file_text("fn f(x) = x + 1"),
    ),
    Code(
        "DGM122",
        "error",
        "nesting that is too deep",
        "Blocks and expressions are nested at most 64 deep, brackets of all sorts at most 128.",
        "Later stages may then walk a spec without limits of their own. A part with a name needs no nesting.",
        file_text("fn f(x) = " + "exp(" * 70 + "x" + ")" * 70),
        file_text("fn f(x) = exp(exp(x))"),
    ),
    Code(
        "DGM123",
        "error",
        "a string that is too long",
        "A string has at most 10,000 bytes.",
        "Strings are paths and labels.",
        file_text(f'data d = csv("{"é" * 6_000}")'),
        file_text("param a = 1"),
    ),
    Code(
        "DGM124",
        "error",
        "a name that is too long",
        "A name has at most 100 characters.",
        "Names are parts of addresses, messages and the keys of saved weights.",
        file_text(f"param {'a' * 101} = 1"),
        file_text("param a = 1"),
    ),
    Code(
        "DGM125",
        "error",
        "a line that is too long",
        "A line has at most 10,000 characters.",
        "Messages show the line they are about.",
        file_text("fn f(x) = " + "x + " * 3000 + "1"),
        file_text("fn f(x) = x + 1"),
    ),
    Code(
        "DGM126",
        "error",
        "a block of too many statements",
        "A block has at most 10,000 statements.",
        "Repetition is written `repeat n { … }`.",
        _flow("\n" + "actnorm\n" * 10_001),
        _flow(" repeat 4 { elementwise(rqs) } "),
    ),
    Code(
        "DGM127",
        "note",
        "findings that are not shown",
        "At most twenty findings about the reading of one text are shown.",
        "After many errors, further ones tend to be consequences.",
        file_text("param 1\n" * 30),
        file_text("param a = 1"),
    ),
    Code(
        "DGM128",
        "error",
        "a number of too many digits",
        "A number has at most 100 characters.",
        "No quantity of a model is known to so many digits, and exact arithmetic on them has no bound.",
        file_text(f"param a = {'1' * 101}"),
        file_text("param a = 1e100"),
    ),
    Code(
        "DGM129",
        "error",
        "a number beyond floating point",
        "A decimal number lies in the range of 64-bit floating-point numbers.",
        "It would be read as infinity or as zero, which is another model.",
        file_text("param a = 1e999"),
        file_text("param a = inf"),
    ),
)

_HEADER = (
    Code(
        "DGM130",
        "warning",
        "no edition named",
        "The first statement is `dgm 1`: the edition of the language.",
        "Defaults change only with the edition, so a text that names its edition keeps its meaning.",
        "param a = 1\n",
        "dgm 1\nparam a = 1\n",
    ),
    Code(
        "DGM131",
        "error",
        "an edition that does not exist",
        "The edition is one that the installed version reads.",
        "A later edition may give the same words another meaning.",
        "dgm 99\nparam a = 1\n",
        "dgm 1\nparam a = 1\n",
    ),
    Code(
        "DGM132",
        "error",
        "an edition named too late",
        "`dgm 1` stands once, before every other statement.",
        "It says how everything after it is read.",
        "param a = 1\ndgm 1\n",
        "dgm 1\nparam a = 1\n",
    ),
    Code(
        "DGM133",
        "error",
        "a program of another language",
        "A text is a spec: models with names, of variables and the arrows between them. Of a Bayesian model the "
        "parameters are one variable with its prior, the data another, and `generate` states their law given the "
        "parameters.",
        "Blocks for data, parameters and a model, as in Stan, or statements of Python say things in other forms, which "
        "cannot be read here. The posterior is drawn by `dgmspec sample school.dgm --given y=28,8,-3,7 --sampler "
        "'hmc(200, 0.1)'`: Hamiltonian chains move the one variable that is not given.",
        _STAN,
        _SCHOOL,
    ),
)

_FORM = (
    Code(
        "DGM140",
        "error",
        "a text that cannot be formatted",
        "The formatted text reads as the same tree with the same comments, or it is not written.",
        "A formatter must not change a model. This message is a bug of the tool: the text itself is in order.",
        wrong_command="`dgmspec fmt` on a text for which the check of its own output fails; no such text is known.",
    ),
    Code(
        "DGM141",
        "warning",
        "names that look alike",
        "A name does not look like another one while being spelled with letters of another alphabet.",
        "Most fonts draw the Latin `a` and the Cyrillic `а` alike, so a reader cannot tell two such names apart.",
        file_text("param a = 1\nparam а = 2"),
        file_text("param a = 1\nparam b = 2"),
    ),
)

CODES: tuple[Code, ...] = (*_SYNTAX, *_LIMITS, *_HEADER, *_FORM)
