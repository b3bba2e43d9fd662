"""Families 4xx (invertibility) and 5xx (Jacobian and cost)."""

from dgmspec.core.code import Code


def _flow(steps: str, d: int = 2, more: str = "", top: str = "", context: str = "") -> str:
    """A whole file with one flow between two events of size d."""
    lines = "".join(f"        {step}\n" for step in steps.split("; ") if step)
    given = "    given c : real[3]\n" if context else ""
    return (
        f"dgm 1\n{top}model M {{\n    observe x : real[{d}]\n    latent z : real[{d}] ~ normal(0, 1)\n{given}"
        f"    flow x -> z{context} {{\n{lines}    }}\n{more and f'    {more}' + chr(10)}}}\n"
    )


_COUPLE = "coupling(affine, mask = alternate({}), net = mlp(8))"
_PAIR = f"{_COUPLE.format(0)}; {_COUPLE.format(1)}"

CODES: tuple[Code, ...] = (
    Code(
        "DGM401",
        "error",
        "a flow without a step",
        "A flow has at least one step.",
        "Without one, its two ends would be one variable with two names.",
        wrong=_flow(""),
        right=_flow("actnorm"),
    ),
    Code(
        "DGM402",
        "error",
        "a coupling with an empty part",
        "A coupling leaves some coordinates untouched and transforms at least one other.",
        "Its parameters are a network of the untouched part: with nothing to read they are constants, which "
        "`elementwise` says plainly; with nothing to transform the step is the identity.",
        wrong=_flow("coupling(affine, mask = half, net = mlp(8))", d=1),
        right=_flow("elementwise(affine)", d=1),
    ),
    Code(
        "DGM403",
        "error",
        "a map that cannot be inverted",
        "Each step of a flow is a bijection from its domain onto its image.",
        "The density of x is that of z times |det J|, which needs exactly one z for each x and one x for each z.",
        wrong=_flow("permute([0, 0])"),
        right=_flow("permute([1, 0])"),
    ),
    Code(
        "DGM404",
        "note",
        "invertible by assumption",
        "What the declaration does not prove is listed as assumed, with its reason.",
        "A dense matrix is invertible for almost every value of its entries, but nothing keeps training away from the "
        "others; `linear(plu)` is invertible for all of them.",
        wrong=_flow("linear(dense)"),
        right=_flow("linear(plu)"),
    ),
    Code(
        "DGM501",
        "warning",
        "a coordinate that is never transformed",
        "Every coordinate is transformed by some step that is more than a constant scale.",
        "What passes unchanged keeps the prior's own shape: the model cannot learn that coordinate's distribution.",
        wrong=_flow(_COUPLE.format(0)),
        right=_flow(_PAIR),
    ),
    Code(
        "DGM502",
        "warning",
        "coordinates that never meet",
        "For any two coordinates some output depends on both.",
        "Where no output does, what joins the two in the data can be learned only by way of the other coordinates.",
        wrong=_flow("elementwise(rqs); coupling(affine, mask = half, net = mlp(8))", d=4),
        right=_flow(_PAIR, d=4),
    ),
    Code(
        "DGM503",
        "warning",
        "a context that nothing reads",
        "Some step of an arrow with a context has parameters that depend on it; a law reads what stands after its bar.",
        "The author who wrote `| c` expects a conditional density; without a reader it is the same for every c.",
        wrong=_flow("actnorm", context=" | c"),
        right=_flow("elementwise(affine, net = mlp(8)); actnorm", context=" | c"),
    ),
    Code(
        "DGM504",
        "warning",
        "two couplings in a row with the same mask",
        "Between two couplings with the same mask something moves or mixes the coordinates.",
        "The same coordinates are transformed again while the others still wait; swapping the mask costs nothing.",
        wrong=_flow(f"{_COUPLE.format(0)}; {_COUPLE.format(0)}; {_COUPLE.format(1)}"),
        right=_flow(_PAIR),
    ),
    Code(
        "DGM505",
        "warning",
        "a step that the next one undoes",
        "A permutation, or a step without parameters, is not followed by its inverse.",
        "Together these are the identity, with log-determinant 0: they cost two passes and change nothing.",
        wrong=_flow(f"permute(reverse); permute(reverse); {_PAIR}"),
        right=_flow(f"permute(reverse); {_PAIR}"),
    ),
    Code(
        "DGM506",
        "note",
        "triangular as a whole",
        "A chain that mixes coordinates can depend on every input.",
        "All of its couplings and autoregressive steps respect one order, so their composition is triangular in that "
        "order too, and the last coordinate never shapes the first. A permutation between steps lifts the limit.",
        wrong=_flow("autoregressive(affine, net = made(8)); autoregressive(affine, net = made(8))"),
        right=_flow("autoregressive(affine, net = made(8)); permute(reverse); autoregressive(affine, net = made(8))"),
    ),
    Code(
        "DGM507",
        "warning",
        "a slow direction in training",
        "The direction that the loss runs takes fewer than 8 dependent passes.",
        "An autoregressive step gives all coordinates at once one way and one after another the other way. A loss that "
        "runs the slow way pays its passes on every batch, and their memory too.",
        wrong=_flow("inverse autoregressive(affine, net = made(64))", d=64, more="loss = nll"),
        right=_flow("autoregressive(affine, net = made(64))", d=64, more="loss = nll"),
    ),
    Code(
        "DGM508",
        "warning",
        "a permutation that moves nothing",
        "A permutation moves at least one coordinate.",
        "The identity costs a copy and usually stands where another order was meant.",
        wrong=_flow(f"permute([0, 1]); {_PAIR}"),
        right=_flow(f"permute([1, 0]); {_PAIR}"),
    ),
    Code(
        "DGM509",
        "warning",
        "affine steps in a row that are one",
        "Between two learned linear maps, or two learned scalings, something bends.",
        "An affine map of an affine map is an affine map: the second adds parameters and a log-determinant, and no "
        "function that the first has not. A frozen model merges them; training pays for both.",
        wrong=_flow(f"linear(plu); linear(qr); {_PAIR}"),
        right=_flow(f"linear(plu); {_PAIR}"),
    ),
)
