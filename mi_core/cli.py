"""The command line, ``python -m mi_core``."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import click
import pandas as pd
from tqdm import tqdm

from mi_core.errors import UserError
from mi_core.study.bundles import import_bundle, write_bundle
from mi_core.study.catalogue import catalogue
from mi_core.study.experiments import EXPERIMENTS, ON_REQUEST, replicates
from mi_core.study.graph import Runner, Task, all_tasks
from mi_core.study.locations import data_folder, open_store, published_folder
from mi_core.study.manifest import publish as publish_profile
from mi_core.study.manifest import publishable
from mi_core.study.parameters import PROFILES, Protocol, Study, check_names
from mi_core.study.results import (
    OWN_TABLES,
    PUBLISHED,
    as_csv,
    estimate,
    open_results,
    parse_table,
    results_of_notebook,
)

__all__ = ["main"]

profile_option = click.option("--profile", type=click.Choice(list(PROFILES)), required=True, help="Scale of the study.")
parameter_option = click.option(
    "-p", "parameters", nargs=2, multiple=True, metavar="NAME VALUE", help="Change a parameter; may be repeated."
)
store_option = click.option(
    "--store", type=click.Path(file_okay=False, path_type=Path), help="Working folder for artefacts."
)


def _value(text: str) -> Any:
    """A parameter's value as papermill reads it: True, False, an integer, a number, or text."""
    if text in ("True", "False"):
        return text == "True"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _changes(parameters: tuple[tuple[str, str], ...], **given: Any) -> dict[str, Any]:
    changes = {name: _value(text) for name, text in parameters}
    return changes | {name: value for name, value in given.items() if value is not None}


def _for_notebooks(parameters: tuple[tuple[str, str], ...], store: Path | None) -> dict[str, Any]:
    """What papermill sets, refused here if the notebook would refuse it; its kernel inherits the store."""
    changes = _changes(parameters)
    check_names([*changes])
    results_of_notebook(changes)
    if store is not None:
        os.environ["MI_CORE_STORE"] = str(store.resolve())
    return changes


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Gray-box model inversion on MNIST: compute, inspect and publish the study; execute its chapters."""


@cli.command()
@profile_option
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to compute; auto by default.")
@click.option(
    "--only", "names", multiple=True, metavar="TABLE", help=f"Only this: 1 to 6, or one of {', '.join(EXPERIMENTS)}."
)
@click.option("--replicate", type=click.IntRange(min=0), help="Only this one; all by default.")
@click.option("--workers", type=click.IntRange(min=1), help="Compute with so many processes on this machine.")
@click.option("--scheduler", metavar="ADDRESS", help="Compute on the dask cluster there, e.g. tcp://127.0.0.1:8786.")
@click.option("--insecure", is_flag=True, help="Allow a --scheduler on another machine without TLS.")
@parameter_option
@store_option
def run(
    profile: str,
    device: str | None,
    names: tuple[str, ...],
    replicate: int | None,
    workers: int | None,
    scheduler: str | None,
    insecure: bool,
    parameters: tuple[tuple[str, str], ...],
    store: Path | None,
) -> None:
    """Compute what is missing. What has a budget of its own (comparison, precision, ladder, defences) only where named.

    Can be killed at any moment; the same command goes on where it was.
    """
    if workers and scheduler:
        raise UserError("`--workers` starts workers here and `--scheduler` uses others: give one of them.")
    if scheduler:
        from mi_core.study import cluster  # loads dask, which nothing else needs

        cluster.check_address(scheduler, insecure=insecure)
    results = open_results(profile, _changes(parameters, device=device), store=store)
    experiments = [parse_table(name) for name in names] or [name for name in EXPERIMENTS if name not in ON_REQUEST]
    chosen = [each for each in replicates(results.study) if replicate in (None, each.number)]
    if not chosen:
        raise UserError(
            f"`--replicate` must be one of the study's, 0 to {results.study.replicates - 1}; got {replicate}."
        )
    tasks = []
    for wanted in map(publishable, chosen):
        tasks += [wanted[name] for name in wanted if name in experiments or (not names and name not in ON_REQUEST)]
    if not tasks:
        raise UserError(f"{', '.join(experiments)} is of replicate 0 alone; got `--replicate` {replicate}.")
    missing = results.runner.missing(tasks)
    if missing:
        click.echo(estimate(missing), err=True)
        if workers or scheduler:
            _compute_on_workers(results.runner, tasks, workers, scheduler, insecure)
        else:
            results.runner.compute(tasks)
    click.echo(f"{', '.join(experiments)}: complete at profile {profile} ({len(missing)} steps computed).")


def _compute_on_workers(
    runner: Runner, tasks: list[Task], workers: int | None, scheduler: str | None, insecure: bool
) -> None:
    from mi_core.study import cluster

    if workers:
        clients = cluster.local_workers(workers, device=runner.device)
    else:
        clients = cluster.workers_at(scheduler, device=runner.device, insecure=insecure)
    with clients as client:
        cluster.compute(client, runner, tasks)


@cli.command()
@profile_option
@parameter_option
@store_option
def status(profile: str, parameters: tuple[tuple[str, str], ...], store: Path | None) -> None:
    """Say what exists of a profile and what is missing."""
    results = open_results(profile, _changes(parameters), store=store)
    for replicate in replicates(results.study):
        click.echo(f"replicate {replicate.number}")
        for name, task in publishable(replicate).items():
            missing = results.runner.missing([task])
            minutes = sum(task.work for task in missing) / 60
            state = f"{len(missing)} of {len(all_tasks([task]))} steps missing, about {minutes:.2g} min"
            click.echo(f"  {name:32} {state if missing else 'complete'}")


@cli.command()
@click.argument("table")
@click.option("--profile", type=click.Choice([PUBLISHED, *PROFILES]), default=PUBLISHED, show_default=True)
@click.option("--csv", is_flag=True, help="Print CSV.")
@parameter_option
@store_option
def table(table: str, profile: str, csv: bool, parameters: tuple[tuple[str, str], ...], store: Path | None) -> None:
    """Print a table of the thesis, ours beside the published numbers. Computes nothing."""
    name = parse_table(table)
    results = open_results(profile, _changes(parameters), store=store, compute=False)
    if name in OWN_TABLES or name.startswith("table"):
        text = as_csv(results.table(name))
    else:
        text = results.frame(name).drop(columns="pixels", errors="ignore").to_csv(index=False, float_format="%.6g")
    if csv:
        click.echo(text, nl=False)
    else:
        frame = pd.read_csv(io.StringIO(text), keep_default_na=False)
        click.echo(frame.to_string(index=False))
        click.echo(f"({results.note(name)})")


@cli.command()
@click.option("--profile", type=click.Choice([PUBLISHED, *PROFILES]), default=PUBLISHED, show_default=True)
@click.option("--csv", is_flag=True, help="Print CSV.")
@parameter_option
@store_option
def verdicts(profile: str, csv: bool, parameters: tuple[tuple[str, str], ...], store: Path | None) -> None:
    """Print a verdict on each of the thesis's claims and numbers, by fixed rules. Computes nothing."""
    from mi_core.study import verdicts as rules

    together = rules.EXPERIMENTS
    results = open_results(profile, _changes(parameters), store=store, compute=False, together=together)
    frame = rules.verdicts(results)
    if csv:
        click.echo(frame.to_csv(index=False, float_format="%.6g"), nl=False)
    else:
        shown = frame[["item", "metric", "published", "ours", "low", "high", "n"]].round(4).astype(object)
        shown = shown.where(shown.notna(), "").assign(
            matches=frame["number_matches"], supported=frame["claim_supported"]
        )
        click.echo(shown.assign(cause=frame["cause"]).to_string(index=False))


@cli.command()
@click.argument("name")
@parameter_option
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Executed copy; executed/NAME.ipynb.")
@store_option
def chapter(name: str, parameters: tuple[tuple[str, str], ...], output: Path | None, store: Path | None) -> None:
    """Execute one chapter through papermill with validated parameters, e.g. -p profile quick -p seed 3."""
    from mi_core.report.chapters import execute_chapter

    changes = _for_notebooks(parameters, store)
    path = execute_chapter(name, changes, output or Path("executed") / f"{name}.ipynb")
    click.echo(f"Executed: {path}")


@cli.command()
@parameter_option
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Another folder than the book's.")
@store_option
def book(parameters: tuple[tuple[str, str], ...], output: Path | None, store: Path | None) -> None:
    """Execute every chapter, from the published results into the book's folder unless told otherwise."""
    from mi_core.report.chapters import draw_overview, execute_chapters

    changes = _for_notebooks(parameters, store)
    if changes and output is None:
        raise UserError("the book's own folder holds published results: name another --output beside -p.")
    for path in execute_chapters(changes, output):
        click.echo(f"Executed: {path}")
    if output is None:
        click.echo(f"Drawn: {draw_overview()}")


@cli.command()
@profile_option
@click.option("--bundle", type=click.Path(dir_okay=False, path_type=Path), help="Write one file to carry elsewhere.")
@click.option("--replicate", type=click.IntRange(min=0), help="Only this one into the bundle; all by default.")
@store_option
def publish(profile: str, bundle: Path | None, replicate: int | None, store: Path | None) -> None:
    """Copy a profile's finished tables and figure data to the published results, or to a bundle for `import`."""
    if bundle is not None:
        entries = write_bundle(profile, open_store(store), bundle, replicate=replicate)
        click.echo(
            f"Wrote {len(entries)} artefacts of profile {profile} to {bundle} ({bundle.stat().st_size:,} bytes)."
        )
        return
    if replicate is not None:
        raise UserError("`--replicate` is for bundles: name a --bundle FILE as well.")
    entries = publish_profile(profile, open_store(store), published_folder())
    click.echo(f"Published {len(entries)} artefacts of profile {profile} in {published_folder()}.")


@cli.command("import")
@click.argument("bundle", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_results(bundle: Path) -> None:
    """Add a bundle of results that another machine has computed to the published ones, once it is verified."""
    entries = import_bundle(bundle, published_folder())
    click.echo(f"Imported {len(entries)} artefacts of {', '.join(sorted({entry.profile for entry in entries}))}.")


@cli.command()
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="How often each is timed.")
@click.option("--publish", "keep", is_flag=True, help="Keep the measurements among the published results.")
def bench(rounds: int, keep: bool) -> None:
    """Time the product against the plain protocol, beside the machine's matrix products, and how its time grows."""
    from mi_core.study import benchmark
    from mi_core.study.cost import exponents

    sizes = sum(len(of) for of in benchmark.GROWTHS.values())
    with tqdm(total=rounds + 1 + sizes, disable=not sys.stderr.isatty()) as bar:
        speed = benchmark.measure_speed(data_folder(), rounds=rounds, on_round=bar.update)
        growth = benchmark.measure_growth(rounds=rounds, on_size=bar.update)
    shown = speed.drop(columns=["peak_float32", "peak_product"])
    click.echo(shown.to_string(index=False, float_format="{:.3g}".format, na_rep=""))
    peaks = speed[["peak_float32", "peak_product"]].iloc[0] / 1e9
    click.echo(f"Matrix products: {peaks.iloc[0]:.0f} GFLOP/s in float32, {peaks.iloc[1]:.0f} as the product computes.")
    click.echo(growth.to_string(index=False, float_format="{:.3g}".format))
    grown = ", ".join(f"{what}^{exponent:.2f}" for what, exponent in exponents(growth).items())
    click.echo(f"Seconds grow with {grown}.")
    if keep:
        click.echo(f"Written: {benchmark.write(speed, growth, published_folder())}")


@cli.command()
def parameters() -> None:
    """List every parameter with its type, range, default and meaning."""
    frame = catalogue()
    for model in (Study, Protocol):
        click.echo(f"{model.__name__}: {model.__doc__.splitlines()[0]}")
        for line in frame[frame["model"] == model.__name__].itertuples():
            click.echo(f"  {line.name:22} {line.kind:34} default {line.default!s:12} {line.meaning}")
    click.echo("Defaults of sizes are those of the profile paper; the other profiles have smaller ones:")
    for name, study in PROFILES.items():
        sizes = {key: value for key, value in study.model_dump().items() if value != getattr(Study(), key)}
        click.echo(f"  {name:8} " + ", ".join(f"{key} {value}" for key, value in sizes.items() if key != "protocol"))


def main() -> None:
    """Run the command line: one sentence and exit code 2 for bad input, 130 when interrupted."""
    if "OMP_WAIT_POLICY" not in os.environ:  # threads that wait for each other burn the cores that other work needs
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # read when torch is imported; no slower where it is alone
    try:
        cli(standalone_mode=False)
    except (click.exceptions.Abort, KeyboardInterrupt):  # click turns the one into the other
        click.echo("\nInterrupted; nothing finished is lost. The same command goes on from here.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            error.show()  # the help
        else:
            click.echo(f"Error: {UserError(' '.join(error.format_message().split()))}", err=True)
        sys.exit(error.exit_code)
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
