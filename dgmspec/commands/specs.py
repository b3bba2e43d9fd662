"""The verbs that read specs and the library; no tensor library is imported."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

import dgmspec
from dgmspec.answers import Answer, mistakes, stop
from dgmspec.checks.explain_table import explain_table
from dgmspec.console import (
    checked,
    chosen,
    diagnosed,
    difference,
    drawn,
    read,
    rendered,
    repaired,
    selected,
    tables,
    width_of,
    write,
)
from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import did_you_mean, has_errors
from dgmspec.core.render import as_data, render
from dgmspec.core.width import ellipsis, wrap
from dgmspec.options import (
    AsJson,
    CodeName,
    Format,
    Ignore,
    LibraryName,
    ModelName,
    Out,
    Quiet,
    Seed,
    Select,
    Sets,
    SpecFile,
    TemplateName,
    To,
    What,
)

__all__ = ["check", "explain", "fmt", "list_", "new", "show"]


def new(
    template: TemplateName = None,
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="Where to write; TEMPLATE.dgm here, or - for standard output.")
    ] = None,
    list: Annotated[bool, typer.Option("--list", help="Print the templates.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Write over a file that is there.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Begin a spec from a commented template.

    Examples: dgmspec new --list;  dgmspec new realnvp;  dgmspec new maf my/model.dgm
    """
    from dgmspec.spec.templates import templates

    known = templates()
    if list:
        width = max(map(len, known))
        said = [ellipsis(f"{name:{width}}  {known[name].title}", width_of(sys.stdout)) for name in known]
        listed = [{"name": one.name, "title": one.title} for one in known.values()]
        return Answer("\n".join(said) + "\n", {"templates": listed})
    if template not in known:
        near = did_you_mean(template or "", known)
        what = f"there is no template `{template}`; " if template else "name a template: "
        stop(what + (f"did you mean `{near}`?" if near else f"one of {', '.join(known)}"))
    target = Path(f"{template}.dgm" if path in (None, "-") else str(path))
    text = known[template].at(target)
    if path == "-":
        return Answer(text, {"template": template, "text": text}, document=True)
    if target.exists() and not force:
        stop(f"{target} is there already: choose another PATH, or give --force to write over it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        stop(f"cannot write {target}: {error.strerror}")
    write(target, text)
    said_next = f"wrote {target}\nnext: dgmspec check --explain {target};  {known[template].command(target)}\n"
    return Answer("" if quiet else said_next, {"template": template, "wrote": str(target)})


def check(
    spec: SpecFile,
    explain: Annotated[bool, typer.Option("--explain", help="Print the table of steps, structures and costs.")] = False,
    format: Annotated[Format, typer.Option("--format", help="How to print what was found.")] = Format.full,
    set: Sets = None,
    model: ModelName = None,
    select: Select = None,
    ignore: Ignore = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 for warnings too.")] = False,
    fix: Annotated[bool, typer.Option("--fix", help="Write the safe fixes, if they leave less to find.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="With --fix: write nothing, print what would change.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Check a spec before a tensor exists: shapes, supports, invertibility, structure, costs, loss.

    Examples: dgmspec check specs/realnvp.dgm;  dgmspec check --explain specs/maf.dgm;  cat m.dgm | dgmspec check -;
    dgmspec check --fix --diff m.dgm
    """
    if diff and not fix:
        stop("--diff shows what --fix would change: give both")
    found, fixes, changes = repaired(spec, set, diff) if fix else (diagnosed(spec, set), 0, "")
    if model is not None and found.spec is not None:
        chosen(found, model)
    shown = selected(found.diagnostics, select, ignore)
    wrong = any(d.severity == "error" or (strict and d.severity == "warning") for d in shown)
    wrong |= found.spec is None
    if quiet:
        shown = [d for d in shown if d.severity == "error"]
    sound = not has_errors(found.diagnostics)
    graphs = [graph for name, graph in found.graphs.items() if model in (None, name)] if explain and sound else []
    result: dict[str, Any] = {"valid": sound, "fixes": fixes} | ({"changes": changes} if diff else {})
    if graphs:
        result["tables"] = [explain_table(graph).data() for graph in graphs]
    said = rendered(shown, found, sys.stderr if diff else sys.stdout, format.value) if shown or not quiet else ""
    table = f"\n{tables(found, model)}\n" if graphs else ""
    written = f"{fixes} fix{'' if fixes == 1 else 'es'} written to {spec}\n" if fixes and not diff else ""
    text, aside = (changes + table, said) if diff else (said + table, "" if quiet else written)
    return Answer(text, result, 1 if wrong else 0, aside, found, shown)


def fmt(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Files to format, or - for standard input.")],
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Format specs in place; comments stay, and nothing is written unless the result means the same.

    Examples: dgmspec fmt specs/*.dgm;  dgmspec fmt --check --diff model.dgm;  dgmspec fmt - < model.dgm
    """
    from dgmspec.syntax.printer import format_text

    text, aside, files = "", "", []
    for name in specs:
        before = read(name)
        after, diagnostics = format_text(before)
        wrong = has_errors(diagnostics)
        shown = [d for d in diagnostics if d.severity == "error" or not quiet]
        aside += render(shown, {"": before}, names={"": name})
        after = before if wrong else after
        if diff:
            text += difference(before, after, name)
        elif name == "-":
            text += after
        elif after != before and not check:
            write(Path(name), after)
        if check and after != before and not quiet:
            aside += f"{name} would change\n"
        entry = {"file": name, "changes": after != before, "valid": not wrong}
        entry |= {"text": after} if name == "-" else {}
        files.append(entry | {"diagnostics": as_data(diagnostics, {"": before}, {"": name})})
    failed = any(not entry["valid"] or (check and entry["changes"]) for entry in files)
    return Answer(text, {"files": files}, 1 if failed else 0, aside, document=True)


def explain(code: CodeName, quiet: Quiet = False, as_json: AsJson = False) -> Answer:
    """Print the page of a diagnostic: the rule, its reason, a wrong example and a right one.

    Example: dgmspec explain DGM302
    """
    number = f"DGM{code.upper().removeprefix('DGM')}"
    if number not in CODES:
        near = did_you_mean(number, CODES)
        if not number.removeprefix("DGM").isdigit():
            stop(f"`{code}` is no code of a diagnostic, such as DGM302; `dgmspec list {code}` looks in the library")
        stop(f"there is no code {number}" + (f"; did you mean {near}?" if near else ""))
    entry, width = CODES[number], width_of(sys.stdout)
    page = [wrap(f"{entry.number} ({entry.severity}): {entry.title}\n\n{entry.rule}\n\nWhy: {entry.reason}", width)]
    for label, example in (("Wrong", entry.wrong), ("Right", entry.right)):
        if example:
            page.append(f"\n{label}:\n\n" + "\n".join(f"    {line}".rstrip() for line in example.strip().splitlines()))
    fields = ("number", "severity", "title", "rule", "reason", "wrong", "right")
    return Answer("\n".join(page) + "\n", {field: getattr(entry, field) for field in fields})


def show(
    spec: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A .dgm file, - for standard input, or a run.")],
    to: Annotated[To, typer.Option("--to", help="What to print.")] = To.table,
    what: Annotated[
        What | None, typer.Option("--what", help="What to draw of an `ode`, or of a forward `sde`.")
    ] = None,
    out: Out = None,
    seed: Seed = None,
    set: Sets = None,
    model: ModelName = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Show a spec: its table of steps, canonical text, JSON (or the schema of all specs), drawing, or equations.
    Of a RUN, with --what, the paths, the velocity or the density of its ode arrow, as a PNG (the density as a GIF too);
    of a RUN or a SPEC, the paths of an sde that starts at its prior.

    Examples: dgmspec show specs/maf.dgm --to json --set depth=2;  dgmspec show specs/maf.dgm --to svg > maf.svg;
    dgmspec show runs/cnf --what density -o cnf.gif;  dgmspec show specs/ou.dgm --what trajectories -o ou.png
    """
    if what is not None:
        if Path(spec).is_dir():
            return _picture(lambda: Path(spec), what, out, seed, quiet)
        found = checked(spec, set, visible=not (quiet or as_json))
        name, written = chosen(found, model), found.spec
        assert written is not None
        return _picture(lambda: dgmspec.compile(written, name), what, out, seed, quiet)
    if out is not None or seed is not None:
        stop("--out and --seed are those of a picture: say which with --what")
    if Path(spec).is_dir():
        stop(f"{spec} is a folder: of a run say what to draw, --what trajectories, or show its spec, {spec}/bundle.dgm")
    found = checked(spec, set, visible=not (quiet or as_json))
    assert found.spec is not None
    content: Any
    if to is To.text:
        content = text = found.spec.text()
    elif to is To.json:
        content, text = json.loads(found.spec.model_dump_json()), found.spec.model_dump_json(indent=2) + "\n"
    elif to is To.schema:
        content = type(found.spec).json_schema()
        text = json.dumps(content, indent=2) + "\n"
    elif to is To.table:
        if model is not None:
            chosen(found, model)
        graphs = [graph for name, graph in found.graphs.items() if model in (None, name)]
        content, text = [explain_table(graph).data() for graph in graphs], tables(found, model) + "\n"
    else:
        content = text = drawn(found, model, to.value)
    return Answer(text, {"to": to.value, "content": content}, found=found, document=to is not To.table)


def _picture(source: Callable[[], Any], what: What, out: Path | None, seed: int | None, quiet: bool) -> Answer:
    """Of a run's folder, or of the model of a spec."""
    with mistakes():
        from dgmspec.runtime.motion import draw_motion

        wrote = draw_motion(source(), what.value, out, seed or 0)
    return Answer("" if quiet else f"wrote {wrote}\n", {"what": what.value, "wrote": str(wrote)})


def list_(name: LibraryName = None, quiet: Quiet = False, as_json: AsJson = False) -> Answer:
    """List the library: roles, the operations of a role, or one operation with its signature and facts.

    Examples: dgmspec list;  dgmspec list scalar;  dgmspec list rqs
    """
    from dgmspec.spec.catalogue import catalogue

    found = catalogue(name)
    if found is None:
        from dgmspec.algebra.functions import FUNCTIONS
        from dgmspec.ops import library
        from dgmspec.spec.bodies import TYPES

        if name in FUNCTIONS or name in TYPES:
            kind = "function of formulas" if name in FUNCTIONS else "type"
            stop(f"`{name}` is a {kind}: docs/language.md has those; the library holds operations, which `list` names")
        names = {cls.name for cls in library()} | set(library().roles)
        near = did_you_mean(name or "", sorted(names))
        stop(f"the library has no `{name}`" + (f"; did you mean `{near}`?" if near else ""))
    return Answer(wrap(found.text, width_of(sys.stdout), found.hang) + "\n", found.data)
