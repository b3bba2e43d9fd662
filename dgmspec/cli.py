"""The command line: parse arguments, call, print.

Exit codes: 0 clean, or warnings only; 1 errors in the spec or the data, or figures that cannot be right; 2 usage, or
input and output; 3 a bug of ours; 130 interrupted.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

import dgmspec
from dgmspec.console import (
    INTERRUPTED,
    checked,
    chosen,
    crash,
    diagnosed,
    difference,
    drawn,
    lines,
    mistakes,
    paths,
    read,
    repaired,
    report,
    selected,
    stop,
    tables,
    write,
)
from dgmspec.core.codes import CODES
from dgmspec.core.diagnostics import did_you_mean, has_errors
from dgmspec.core.render import render
from dgmspec.options import (
    AsJson,
    DataFiles,
    Format,
    Ignore,
    ModelName,
    Out,
    Quiet,
    RunFolder,
    Seed,
    Select,
    Sets,
    SpecFile,
    To,
)

app = typer.Typer(
    name="dgmspec",
    help="Deep generative models as mathematics: check, compile, train and sample .dgm files.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Deep generative models as mathematics: check, compile, train and sample .dgm files."""
    if version:
        print(dgmspec.__version__)
    elif context.invoked_subcommand is None:
        print(context.get_help())


@app.command()
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
) -> None:
    """Check a spec before a tensor exists: shapes, supports, invertibility, structure, costs, loss.

    Examples: dgmspec check specs/realnvp.dgm;  dgmspec check --explain specs/maf.dgm;  cat m.dgm | dgmspec check -;
    dgmspec check --fix --diff m.dgm
    """
    if diff and not fix:
        stop("--diff shows what --fix would change: give both")
    found = repaired(spec, set, diff) if fix else diagnosed(spec, set)
    if model is not None and found.spec is not None:
        chosen(found, model)
    shown = selected(found.diagnostics, select, ignore)
    report(shown, found, format.value, sys.stderr if diff else sys.stdout)
    if explain and found.graphs and not has_errors(found.diagnostics):
        print("\n" + tables(found, model))
    wrong = any(d.severity == "error" or (strict and d.severity == "warning") for d in shown)
    raise typer.Exit(1 if wrong or found.spec is None else 0)


@app.command()
def fmt(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Files to format, or - for standard input.")],
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit 1 if a file would change.")] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Write nothing; print what would change.")] = False,
) -> None:
    """Format specs in place; comments stay, and nothing is written unless the result means the same.

    Examples: dgmspec fmt specs/*.dgm;  dgmspec fmt --check --diff model.dgm;  dgmspec fmt - < model.dgm
    """
    from dgmspec.syntax.printer import format_text

    changed = wrong = False
    for name in specs:
        text = read(name)
        after, diagnostics = format_text(text)
        wrong |= has_errors(diagnostics)
        if diagnostics:
            sys.stderr.write(render(diagnostics, {"": text}, names={"": name}))
        if has_errors(diagnostics):
            if name == "-":
                sys.stdout.write(text)
            continue
        changed |= after != text
        if diff:
            sys.stdout.write(difference(text, after, name))
        elif name == "-":
            sys.stdout.write(after)
        elif after != text and not check:
            write(Path(name), after)
    raise typer.Exit(1 if wrong or (check and changed) else 0)


@app.command()
def explain(
    code: Annotated[str, typer.Argument(metavar="CODE", help="A code such as DGM302.")],
) -> None:
    """Print the page of a diagnostic: the rule, its reason, a wrong example and a right one.

    Example: dgmspec explain DGM302
    """
    number = f"DGM{code.upper().removeprefix('DGM')}"
    if number not in CODES:
        hint = did_you_mean(number, CODES)
        stop(f"there is no code {number}" + (f"; did you mean {hint}?" if hint else ""))
    entry = CODES[number]
    print(f"{entry.number} ({entry.severity}): {entry.title}\n\n{entry.rule}\n\nWhy: {entry.reason}")
    for label, example in (("Wrong", entry.wrong), ("Right", entry.right)):
        if example:
            print(f"\n{label}:\n\n" + "\n".join(f"    {line}".rstrip() for line in example.strip().splitlines()))


@app.command()
def compile(
    spec: SpecFile,
    out: Out = None,
    set: Sets = None,
    model: ModelName = None,
    seed: Seed = None,
    quiet: Quiet = False,
) -> None:
    """Check and compile a spec, print its plan, test every claim numerically, and write the bundle.

    Example: dgmspec compile specs/realnvp.dgm -o build/realnvp
    """
    found = checked(spec, set, visible=not quiet)
    assert found.spec is not None
    name = chosen(found, model)
    if not quiet:
        print(tables(found, name) + "\n")
    with mistakes():
        from dgmspec.runtime.selfcheck import self_check

        compiled = dgmspec.compile(found.spec, model=name, seed=seed or 0)
        findings = self_check(compiled)
        failed = [finding for finding in findings if not finding.holds]
        for finding in failed if quiet else findings:
            print(finding)
        if out is not None:
            compiled.save(out)
            if not quiet:
                print(f"\nwrote {out}")
    raise typer.Exit(1 if failed else 0)


@app.command()
def verify(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A .dgm file, or the folder of a run.")],
    set: Sets = None,
    model: ModelName = None,
    seed: Seed = None,
    as_json: AsJson = False,
) -> None:
    """Test every claim numerically: a spec's with random parameters, a run's with its weights and held-out data.

    Examples: dgmspec verify specs/maf.dgm;  dgmspec verify runs/digits;  dgmspec verify --json specs/nsf.dgm
    """
    folder = Path(target).is_dir()
    if folder and (set or model):
        stop("a run is verified as it was trained: RUN takes no --set and no --model")
    found = None if folder else checked(target, set, visible=not as_json)
    name = None if found is None else chosen(found, model)
    with mistakes():
        from dgmspec.runtime.verify import verify as verify_model
        from dgmspec.runtime.verify import verify_run

        if found is None:
            result = verify_run(Path(target), seed or 0)
        else:
            assert found.spec is not None
            result = verify_model(dgmspec.compile(found.spec, model=name, seed=seed or 0), seed or 0)
    print(result.json() if as_json else result.text())
    raise typer.Exit(0 if result.holds else 1)


@app.command()
def train(
    spec: Annotated[str | None, typer.Argument(metavar="SPEC", help="A .dgm file with a train block.")] = None,
    out: Out = None,
    set: Sets = None,
    model: ModelName = None,
    seed: Seed = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a stopped run.")] = None,
    data: DataFiles = None,
    quiet: Quiet = False,
) -> None:
    """Train a model on its data and leave a run folder: model, metrics, checkpoints, pictures, report.

    Examples: dgmspec train specs/digits.dgm;  dgmspec train specs/nsf.dgm --set train.steps=2_000 --out runs/short;
    dgmspec train m.dgm --data events=/data/events.csv
    """
    if (spec is None) == (resume is None):
        stop("give a SPEC to train, or --resume RUN to go on with a stopped one")
    if resume is not None and (set or model or out or seed is not None):
        stop("a resumed run goes on as it began: --resume RUN takes no --set, --model, --out or --seed")
    found = checked(spec, set, visible=not quiet) if spec is not None else None
    if found is not None and model is not None:
        chosen(found, model)
    files = paths(data)
    with mistakes():
        from dgmspec.runtime.train import resume_run, train_spec

        if found is not None:
            assert found.spec is not None
            given = Path(str(spec))
            run = train_spec(
                found.spec,
                model=model,
                out=out,
                seed=seed,
                folder=given.parent,
                paths=files,
                visible=not quiet,
                name=given.stem,
            )
        else:
            assert resume is not None
            run = resume_run(resume, paths=files, visible=not quiet)
        if not quiet:
            print(run.summary())
    raise typer.Exit(1 if run.failure else 0)


@app.command()
def sample(
    run: RunFolder,
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="How many samples; 100, or what the sample block says.")
    ] = None,
    out: Out = None,
    seed: Seed = None,
    given: Annotated[
        list[str] | None, typer.Option("--given", metavar="NAME=VALUE", help="The value of a `given` variable.")
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Sample a trained model into a .npy, .csv or .png file (standard output as CSV without --out).

    Examples: dgmspec sample runs/digits -n 64 -o digits.png;  dgmspec sample runs/cond -n 16 --given label=3 -o 3.png
    """
    with mistakes():
        from dgmspec.runtime.sample import write_samples

        message = write_samples(run, count, out, seed, given or [], visible=not quiet)
    if message and not quiet:
        sys.stderr.write(message + "\n")


@app.command("eval")
def evaluate(
    run: RunFolder,
    seed: Seed = None,
    draws: Annotated[int | None, typer.Option("--draws", min=1, help="Dequantisations per row.")] = None,
    data: DataFiles = None,
    as_json: AsJson = False,
) -> None:
    """Evaluate a trained model on the test part of its data.

    Example: dgmspec eval runs/digits
    """
    files = paths(data)
    with mistakes():
        from dgmspec.runtime.evaluate import evaluate as evaluate_run

        figures = evaluate_run(run, paths=files, seed=seed, draws=draws, visible=not as_json)
    print(json.dumps({"format_version": 1, **figures}) if as_json else lines(figures))


@app.command()
def show(
    spec: SpecFile,
    to: Annotated[To, typer.Option("--to", help="What to print.")] = To.table,
    set: Sets = None,
    model: ModelName = None,
) -> None:
    """Show a spec: its table of steps, canonical text, JSON (or the schema of all specs), drawing, or equations.

    Examples: dgmspec show specs/maf.dgm --to json --set depth=2;  dgmspec show specs/maf.dgm --to svg > maf.svg
    """
    found = checked(spec, set)
    assert found.spec is not None
    if to is To.text:
        print(found.spec.text(), end="")
    elif to is To.json:
        print(found.spec.model_dump_json(indent=2))
    elif to is To.schema:
        print(json.dumps(type(found.spec).json_schema(), indent=2))
    elif to is To.table:
        print(tables(found, model))
    else:
        print(drawn(found, model, to.value), end="")


@app.command("list")
def list_(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A role such as `step`, or an operation.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the library: roles, the operations of a role, or one operation with its signature and facts.

    Examples: dgmspec list;  dgmspec list scalar;  dgmspec list rqs
    """
    from dgmspec.spec.catalogue import catalogue

    found = catalogue(name)
    if found is None:
        from dgmspec.ops import library

        names = {cls.name for cls in library()} | set(library().roles)
        hint = did_you_mean(name or "", sorted(names))
        stop(f"the library has no `{name}`" + (f"; did you mean `{hint}`?" if hint else ""))
    print(json.dumps(found.data, indent=2) if as_json else found.text)


# ---- the entry ------------------------------------------------------------------------------------------------------


def run(arguments: list[str] | None = None) -> int:
    """Run a command line; returns its exit code, whatever happens."""
    try:
        app(arguments, prog_name="dgmspec")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        sys.stderr.write("dgmspec: interrupted\n")
        return INTERRUPTED
    except Exception as error:
        return crash(error)
    return 0


def main() -> None:
    """The console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
