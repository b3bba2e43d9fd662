"""Family 2xx, up to 229: what may stand where, what is declared, used files, and specs given as objects."""

from dgmspec.core.code import Code


def _model(flow: str = "actnorm", z: str = "real[2] ~ normal(0, 1)", top: str = "", more: str = "") -> str:
    """A whole file with one model whose flow is one step; `top` stands before the model, `more` inside it."""
    above = f"{top}\n" if top else ""
    below = f"    {more}\n" if more else ""
    return (
        f"dgm 1\n{above}model M {{\n    observe x : real[2]\n    latent z : {z}\n{below}"
        f"    flow x -> z {{\n        {flow}\n    }}\n    loss = nll\n}}\n"
    )


_LAYER = "autoregressive(affine, net = made({}))"

CODES: tuple[Code, ...] = (
    Code(
        "DGM201",
        "error",
        "a name that nothing declares",
        "A name in a formula, at an arrow's end or before a dot must be declared in the file or the model.",
        "Nothing is looked up elsewhere: a spec means the same wherever it is read.",
        wrong=_model().replace("flow x -> z", "flow x -> y"),
        right=_model(),
    ),
    Code(
        "DGM202",
        "error",
        "a name that is declared twice",
        "What a file declares shares one list of names; so do the members of a model, and the settings of a block.",
        "Of two declarations one would silently not count, and every address would have two meanings.",
        wrong=_model(more="latent z : real[2]"),
        right=_model(),
    ),
    Code(
        "DGM203",
        "error",
        "a statement with a part missing",
        "A statement has all the parts that its form needs: a variable its type, a function its arguments and value.",
        "The compiler completes what follows from the text; it guesses nothing that does not.",
        wrong=_model(top="fn f = 2 * t"),
        right=_model(_LAYER.format("f(8)"), top="fn f(t) = 2 * t"),
    ),
    Code(
        "DGM204",
        "error",
        "a part that does not belong there",
        "A statement or an expression has no other parts than those of its form.",
        "A part without a meaning would be read by people and ignored by the compiler.",
        wrong=_model(_LAYER.format("f(8)"), top="fn f(t : real) = 2 * t"),
        right=_model(_LAYER.format("f(8)"), top="fn f(t) = 2 * t"),
    ),
    Code(
        "DGM205",
        "error",
        "something else where a plain name must stand",
        "Variables, arguments, indices and settings are declared by a plain name, without dots and operators.",
        "A declaration gives a name to something; an expression has no name to give.",
        wrong=_model().replace("flow x -> z", "flow 2 -> z"),
        right=_model(),
    ),
    Code(
        "DGM206",
        "error",
        "a constant of the language declared anew",
        "`pi`, `inf`, `true` and `false` (and `π`) are constants and cannot be declared.",
        "A constant that meant something else in one file would make every formula there misleading.",
        wrong=_model(_LAYER.format("pi"), top="param pi = 8"),
        right=_model(_LAYER.format("width"), top="param width = 8"),
    ),
    Code(
        "DGM207",
        "error",
        "a name of another sort than its place needs",
        "A number stands where a number is needed, a function is called with arguments, arrows join variables.",
        "Names are looked up by role; a name in the wrong role has no value there.",
        wrong=_model(_LAYER.format("2 * f"), top="fn f(t) = 2 * t"),
        right=_model(_LAYER.format("2 * f(4)"), top="fn f(t) = 2 * t"),
    ),
    Code(
        "DGM208",
        "error",
        "arguments out of order or given twice",
        "Arguments by position come first, then those by name, each given once.",
        "Otherwise it would depend on counting which value an argument gets.",
        wrong=_model("autoregressive(net = made(8), affine)"),
        right=_model("autoregressive(affine, net = made(8))"),
    ),
    Code(
        "DGM210",
        "error",
        "a statement in the wrong place",
        "Each statement has its place: variables and arrows in a model, steps in a flow, updates in a bijector.",
        "The place says what a statement is part of.",
        wrong="dgm 1\nloss = nll\n" + _model().removeprefix("dgm 1\n").replace("    loss = nll\n", ""),
        right=_model(),
    ),
    Code(
        "DGM211",
        "error",
        "the wrong number of arguments",
        "Functions, networks and chains of the file get the arguments that they declare; functions by position.",
        "What is missing has no value, and what is too much would be ignored.",
        wrong=_model(_LAYER.format("f(4, 2)"), top="fn f(t) = 2 * t"),
        right=_model(_LAYER.format("f(4)"), top="fn f(t) = 2 * t"),
    ),
    Code(
        "DGM212",
        "error",
        "a definition that needs itself",
        "Params, functions, networks and chains may not mention themselves, directly or through others.",
        "Without recursion every spec unfolds to a finite model, and checking it takes bounded time.",
        wrong=_model("block", top="bijector block = { actnorm; block }"),
        right=_model("block", top="bijector block = { actnorm; linear(plu) }"),
    ),
    Code(
        "DGM213",
        "error",
        "an unknown type, or one with the wrong arguments",
        "Types are real, positive, unit, interval(a, b), integer(a..b), binary, category(k), simplex and like(part).",
        "The type is the support of a density; the list is closed so that every check knows it.",
        wrong=_model().replace("real[2] ~", "reel[2] ~"),
        right=_model(),
    ),
    Code(
        "DGM214",
        "warning",
        "a name that hides a param or a function of the file",
        "A member, argument or index should not have the name of one of the file's params or functions.",
        "It is legal, and the inner meaning counts; but a reader may take it for the outer one.",
        wrong=_model("repeat 2 as k { coupling(affine, mask = alternate(k), net = mlp(8)) }", top="param k = 2"),
        right=_model("repeat n as k { coupling(affine, mask = alternate(k), net = mlp(8)) }", top="param n = 2"),
    ),
    Code(
        "DGM215",
        "error",
        "`use` in a text that came without a folder",
        "A text that uses other files is given together with them: as a file in its folder, or with their texts.",
        "A text alone has no place from which a path could start.",
        wrong='dgm 1\nuse "blocks.dgm" as blocks\n' + _model().removeprefix("dgm 1\n"),
        right=_model(),
    ),
    Code(
        "DGM216",
        "error",
        "a used file that is not there",
        "The path after `use` is relative to the file that it stands in.",
        "A definition that cannot be found cannot be checked.",
        wrong_command='`use "nowhere.dgm" as n` in a file, where its folder holds no nowhere.dgm',
    ),
    Code(
        "DGM217",
        "error",
        "a used file outside the folder",
        "Only files in the folder of the main file, or below it, can be used; links and addresses of the web cannot.",
        "A spec reads nothing that was not given with it, so one from a stranger is safe to check.",
        wrong_command='`use "../secret.dgm" as s` in the main file',
    ),
    Code(
        "DGM218",
        "error",
        "files that use each other in a circle",
        "A file may not use itself, directly or through others.",
        "Without circles every spec unfolds to a finite model.",
        wrong_command='`use "b.dgm" as b` in a.dgm, and `use "a.dgm" as a` in b.dgm',
    ),
    Code(
        "DGM219",
        "error",
        "too many used files",
        "Files use each other at most 10 deep, and a spec uses at most 100.",
        "Checking takes bounded time, whatever the input.",
        wrong_command="a chain of eleven files, each using the next",
    ),
    Code(
        "DGM220",
        "error",
        "a file that cannot be read",
        "A spec is UTF-8 text of at most 1 MiB.",
        "Other bytes have no meaning that every machine agrees on.",
        wrong_command="`dgmspec check` on a picture, or `use` of one",
    ),
    Code(
        "DGM225",
        "error",
        "JSON or objects that are no spec",
        "The JSON form of a spec follows its JSON Schema: no other fields, all names and numbers as the text allows.",
        "Text, objects and JSON are one thing in three spellings; what one refuses, all refuse.",
        wrong_command='`Spec.from_json(\'{"items": [{"kind": "modle"}]}\')`',
    ),
    Code(
        "DGM226",
        "error",
        "a value set for a param that is not there",
        "`--set name=value` and `with_params` reach the params of the file, `train.name` and `sample.name` its blocks.",
        "A misspelt name that were accepted would leave the old value in place without a word.",
        wrong_command="`dgmspec check model.dgm --set detph=4` where the file declares `param depth = 8`",
    ),
    Code(
        "DGM227",
        "error",
        "a value that cannot be read",
        "A value that is set from outside is an expression of the language: a number, a list, a name, a call.",
        "It takes the place of what the file says, so it follows the same rules.",
        wrong_command="`dgmspec check model.dgm --set depth='4 4'`",
    ),
)
