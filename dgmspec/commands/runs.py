"""The verbs that compile, train and look at runs; tensor libraries are imported when one of them is called."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

import dgmspec
from dgmspec.answers import Answer, mistakes, stop, write_utf8
from dgmspec.checks.explain_table import explain_table
from dgmspec.console import checked, chosen, lines, paths, tables
from dgmspec.options import AsJson, DataFiles, ModelName, Out, Quiet, RunFolder, Seed, Sets, SpecFile

__all__ = ["compile", "evaluate", "report", "sample", "train", "verify"]


def compile(
    spec: SpecFile,
    out: Out = None,
    set: Sets = None,
    model: ModelName = None,
    seed: Seed = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Check and compile a spec, print its plan, test every claim numerically, and write the bundle.

    Example: dgmspec compile specs/realnvp.dgm -o build/realnvp
    """
    found = checked(spec, set, visible=not (quiet or as_json))
    assert found.spec is not None
    name = chosen(found, model)
    with mistakes():
        from dgmspec.runtime.rundir import finite
        from dgmspec.runtime.selfcheck import self_check

        compiled = dgmspec.compile(found.spec, model=name, seed=seed or 0)
        findings = self_check(compiled)
        if out is not None:
            compiled.save(out)
    failed = [finding for finding in findings if not finding.holds]
    said = [*map(str, failed)] if quiet else [tables(found, name), "", *map(str, findings)]
    if out is not None and not quiet:
        said += ["", f"wrote {out}"]
    result = {
        "model": name,
        "table": explain_table(found.graphs[name]).data(),
        "checked": finite([finding.data() for finding in findings]),
        "wrote": None if out is None else str(out),
    }
    return Answer("".join(f"{line}\n" for line in said), result, 1 if failed else 0, found=found)


def verify(
    target: Annotated[str, typer.Argument(metavar="SPEC|RUN", help="A .dgm file, or the folder of a run.")],
    set: Sets = None,
    model: ModelName = None,
    seed: Seed = None,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", metavar="FILE", help="A PNG of simulated processes beside their laws."),
    ] = None,
    data: DataFiles = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Test every claim numerically: a spec's with random parameters, a run's with its weights and held-out data.

    Examples: dgmspec verify specs/maf.dgm;  dgmspec verify runs/digits;  dgmspec verify --json specs/nsf.dgm;
    dgmspec verify specs/double_well.dgm --picture wells.png
    """
    folder = Path(target).is_dir()
    if folder and (set or model):
        stop("a run is verified as it was trained: RUN takes no --set and no --model")
    if data and not folder:
        stop("--data says where the held-out rows of a RUN lie; a spec is verified at random points")
    files, visible = paths(data), not (quiet or as_json)
    found = None if folder else checked(target, set, visible=visible)
    name = None if found is None else chosen(found, model)
    with mistakes():
        from dgmspec.runtime.verify import verify as verify_model
        from dgmspec.runtime.verify import verify_run

        if found is None:
            result = verify_run(Path(target), seed or 0, files, visible=visible)
        else:
            assert found.spec is not None
            result = verify_model(dgmspec.compile(found.spec, model=name, seed=seed or 0), seed or 0, visible)
        if picture is not None:
            result.draw(picture)
    text = "" if quiet and result.holds else f"{result.text()}\n"
    return Answer(text, result.data(), 0 if result.holds else 1, found=found)


def train(
    spec: Annotated[
        str | None, typer.Argument(metavar="SPEC", help="A .dgm file with a train block, or - for standard input.")
    ] = None,
    out: Out = None,
    set: Sets = None,
    model: ModelName = None,
    seed: Seed = None,
    resume: Annotated[Path | None, typer.Option("--resume", metavar="RUN", help="Go on with a stopped run.")] = None,
    init: Annotated[
        Path | None, typer.Option("--init", metavar="RUN", help="Begin with the weights of a run or a saved model.")
    ] = None,
    data: DataFiles = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Train a model on its data and leave a run folder: model, metrics, checkpoints, pictures, report.

    Examples: dgmspec train specs/digits.dgm;  dgmspec train specs/nsf.dgm --set train.steps=2_000 --out runs/short;
    dgmspec train m.dgm --data events=/data/events.csv;  dgmspec train specs/reflow.dgm --init runs/flow_matching
    """
    if spec is None and resume is None:
        stop("give a SPEC to train, or --resume RUN to go on with a stopped one")
    if spec is not None and resume is not None:
        stop(f"a stopped run holds its spec: dgmspec train --resume {resume}")
    if resume is not None and (set or model or out or init or seed is not None):
        stop("a resumed run goes on as it began: --resume RUN takes no --set, --model, --out, --init or --seed")
    visible = not (quiet or as_json)
    found = checked(spec, set, visible=visible) if spec is not None else None
    if found is not None and model is not None:
        chosen(found, model)
    files = paths(data)
    with mistakes():
        from dgmspec.runtime.rundir import finite
        from dgmspec.runtime.train import resume_run
        from dgmspec.runtime.train import train as train_model

        if found is not None:
            assert found.spec is not None
            given = Path(str(spec))
            run = train_model(
                found.spec,
                model=model,
                out=out,
                seed=seed,
                folder=given.parent,
                paths=files,
                visible=visible,
                name=None if spec == "-" else given.stem,
                init=init,
            )
        else:
            assert resume is not None
            run = resume_run(resume, paths=files, visible=visible)
    text = "" if quiet else f"{run.summary()}\nnext: dgmspec report {run.path}\n"
    return Answer(text, {"run": str(run.path), **finite(run.report)}, 1 if run.failure else 0, found=found)


def sample(
    target: Annotated[
        str,
        typer.Argument(
            metavar="RUN|SPEC", help="The folder of a run or a compiled model, or a .dgm file that trains nothing."
        ),
    ],
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, help="How many samples; 100, or what the sample block says.")
    ] = None,
    out: Out = None,
    seed: Seed = None,
    given: Annotated[
        list[str] | None,
        typer.Option("--given", metavar="NAME=VALUE|CSV", help="The value of a `given` variable, or of a known one."),
    ] = None,
    sampler: Annotated[
        str | None,
        typer.Option("--sampler", metavar="CALL", help="A sampler as a spec writes it, instead of the sample block's."),
    ] = None,
    guidance: Annotated[
        float | None, typer.Option("--guidance", min=0, help="How far a sampler goes beyond what the context says.")
    ] = None,
    set: Sets = None,
    model: ModelName = None,
    time: Annotated[
        float | None,
        typer.Option("--t", metavar="T", help="The time at which an `sde` that starts at its prior stops."),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Sample a trained model into a .npy, .csv or .png file (standard output as CSV without --out).

    Examples: dgmspec sample runs/digits -n 64 -o digits.png;  dgmspec sample runs/cond -n 16 --given label=3 -o 3.png;
    dgmspec sample runs/nle --given x=0.3,-0.5 --sampler 'hmc(100, 0.1)' -o posterior.csv;
    dgmspec sample specs/double_well.dgm --t 0.5 -o early.csv
    """
    visible = not (quiet or as_json)
    folder = not (target == "-" or target.endswith(".dgm"))
    if folder and (set or model):
        stop("a run is sampled as it was trained: RUN takes no --set and no --model")
    found = None if folder else checked(target, set, visible=visible)
    with mistakes():
        from dgmspec.runtime.drawn import write_csv, write_samples
        from dgmspec.runtime.rundir import finite
        from dgmspec.runtime.sample import draw_samples_of

        source: Any = Path(target)
        if found is not None:
            assert found.spec is not None
            source = dgmspec.compile(found.spec, chosen(found, model))
        drawn = draw_samples_of(source, count, seed, given or [], out, visible, sampler, guidance, time)
        result: dict[str, Any] = {"count": drawn.count, "seed": drawn.seed, "wrote": None if out is None else str(out)}
        if out is not None:
            write_samples(drawn, out)
        elif as_json:
            result["samples"] = finite({name: rows.tolist() for name, rows in drawn.whole().items()})
        else:
            write_utf8()
            write_csv(drawn, sys.stdout)
    said = [] if out is None else [f"wrote {drawn.count:,} samples to {out}"]
    result |= finite(drawn.figures)
    said += drawn.said()
    return Answer(result=result, found=found, aside="" if quiet else "".join(f"{line}\n" for line in said))


def evaluate(
    run: RunFolder,
    seed: Seed = None,
    draws: Annotated[int | None, typer.Option("--draws", min=1, help="Dequantisations per row.")] = None,
    samples: Annotated[
        int | None,
        typer.Option("--samples", min=1, help="Importance weights per row, for a model with latent variables."),
    ] = None,
    whole: Annotated[
        bool, typer.Option("--whole", help="Test on all rows of the data, not on those set aside.")
    ] = False,
    data: DataFiles = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> Answer:
    """Evaluate a trained model on the test part of its data, or on the whole of a file of test rows.

    Examples: dgmspec eval runs/digits;  dgmspec eval runs/vae --samples 500;
    dgmspec eval runs/vae --data images=t10k-images-idx3-ubyte.gz --whole
    """
    files = paths(data)
    with mistakes():
        from dgmspec.runtime.evaluate import evaluate as evaluate_run
        from dgmspec.runtime.report import OK, of_density, verdict
        from dgmspec.runtime.rundir import finite

        figures = evaluate_run(
            run,
            paths=files,
            seed=seed,
            draws=draws,
            samples=samples,
            whole=whole,
            visible=not (quiet or as_json),
        )
    nothing = f"nothing to evaluate in {run}: the model has no density, or no test rows were set aside"
    said = lines(figures, of_density) or nothing
    failed = verdict(figures)
    if failed == OK:
        return Answer(f"{said}\n", finite(figures))
    return Answer(f"{said}\nFAILED: {failed}\n", {**finite(figures), "verdict": failed}, 1)


def report(
    run: RunFolder, out: Out = None, data: DataFiles = None, quiet: Quiet = False, as_json: AsJson = False
) -> Answer:
    """Write one HTML page on a run: figures, graph, costs, curves, samples beside data, ledger, self-check.

    The file holds everything and needs no network. Examples: dgmspec report runs/digits;
    dgmspec report runs/digits -o digits.html
    """
    files = paths(data)
    with mistakes():
        from dgmspec.runtime.page import write_page

        wrote = write_page(run, out, files, visible=not (quiet or as_json))
    return Answer("" if quiet else f"wrote {wrote}\n", {"wrote": str(wrote), "bytes": wrote.stat().st_size})
