"""The command line: reads arguments, prints one clear error, exits as the outcomes ask. No torch in this process."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from harness import cli_claims, cli_fit, cli_reports, cli_search
from harness.core.errors import HarnessError, InternalError, UsageError
from harness.core.status import EXIT_FAULT
from harness.runner.asked import Asked

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Judge and time implementations of a loss: which are right, stable, fastest here, and need least memory.",
)


class Only(StrEnum):
    """Half of a run."""

    CORRECTNESS = "correctness"
    SPEED = "speed"


class Grade(StrEnum):
    """Accuracy grades, strictest first."""

    RELATIVE = "relative"
    TIGHT = "tight"
    STANDARD = "standard"


Implementations = Annotated[
    list[str] | None,
    typer.Option(
        "--implementation", "-i", help="Name, glob, path.py, path.py:callable or module:callable; repeatable."
    ),
]
Device = Annotated[
    str | None, typer.Option(help="Run every cell on this device: cpu, cuda, cuda:N, triton-interpreter.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print faults and the result only.")]


def _console() -> Console:
    return Console()


@app.command()
def run(
    suite: Annotated[str | None, typer.Argument(help="A suite file, or the name of a bundled suite.")] = None,
    out: Annotated[Path, typer.Option(help="Where the run's own folder is made.")] = Path("results"),
    implementation: Implementations = None,
    device: Device = None,
    only: Annotated[Only | None, typer.Option(help="Judge only, or time only what a short judgement admits.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Finish the run in this folder.")] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Run part I of N.")] = None,
    capture: Annotated[
        Path | None, typer.Option(help="Keep the logits that training met in this .npz, for regime captured:FILE.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run, and run nothing.")] = False,
    quiet: Quiet = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print every event as a line of JSON; tables go to standard error.")
    ] = False,
) -> None:
    """Judge and time a suite: the main job."""
    from harness.commands import run as command

    console, events = (Console(stderr=True), sys.stdout) if json else (_console(), None)

    if resume is not None:
        if suite or implementation or device or only or shard or capture:
            raise UsageError("--resume takes up a run as it was: it goes with no suite and no other choice")
        raise typer.Exit(command.resume(resume, console=console, quiet=quiet, events=events))
    if suite is None:
        raise UsageError("run needs a suite: a YAML file, or a bundled name (python -m harness list suites)")
    asked = Asked(
        implementations=tuple(implementation or ()),
        device=_device(device),
        only=only.value if only else None,
        shard=_shard(shard),
        capture=None if capture is None else str(capture),
    )
    raise typer.Exit(command.run(suite, asked, out=out, dry_run=dry_run, console=console, quiet=quiet, events=events))


@app.command()
def check(
    references: Annotated[list[str], typer.Argument(metavar="REF...", help="Implementations to judge.")],
    suite: Annotated[str, typer.Option(help="The suite to judge them on.")] = "correctness",
    cell: Annotated[
        list[str] | None, typer.Option(help="Only this cell (an id, or a glob over the suite); repeatable.")
    ] = None,
    check_name: Annotated[list[str] | None, typer.Option("--check", help="Only this check; repeatable.")] = None,
    device: Device = None,
    grade: Annotated[Grade | None, typer.Option(help="The accuracy grade required.")] = None,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop an implementation at its first fault.")] = False,
    thorough: Annotated[bool, typer.Option("--thorough", help="Judge every cell on three seeds.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write every verdict to this file.")] = None,
    quiet: Quiet = False,
) -> None:
    """Judge implementations, timing nothing."""
    from harness.commands import check as command

    asked = Asked(
        implementations=tuple(references),
        device=_device(device),
        cells=tuple(cell or ()),
        checks=_checks(check_name),
        grade=grade.value if grade else None,
        fail_fast=fail_fast,
        thorough=thorough,
    )
    raise typer.Exit(command.check(suite, asked, json_path=json, console=_console(), quiet=quiet))


@app.command("list")
def list_(
    topics: Annotated[
        list[str] | None, typer.Argument(help="implementations, suites, checks, regimes, losses.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what there is."""
    from harness.commands.listing import TOPICS, listing

    unknown = [topic for topic in topics or () if topic not in TOPICS]
    if unknown:
        raise UsageError(f"cannot list {unknown[0]!r}; allowed: {', '.join(TOPICS)}")
    raise typer.Exit(listing(tuple(topics or ()), as_json=json, console=_console()))


@app.command()
def selftest(
    suite: Annotated[str | None, typer.Argument(help="Grade this suite by the mutants it catches.")] = None,
    thorough: Annotated[
        bool, typer.Option("--thorough", help="Ask every mutant every check; print the matrix.")
    ] = False,
    json: Annotated[Path | None, typer.Option(help="Write every result to this file.")] = None,
    quiet: Quiet = False,
) -> None:
    """Judge the judge: which mutants are caught, and which controls are accused."""
    from harness.commands.selftest import selftest as command

    raise typer.Exit(command(suite, thorough=thorough, json_path=json, console=_console(), quiet=quiet))


@app.command()
def doctor(
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    seconds: Annotated[float, typer.Option(help="Time to spend on noise.")] = 15.0,
    json: Annotated[Path | None, typer.Option(help="Write everything to this file.")] = None,
) -> None:
    """Examine this machine: noise, ceilings, versions, and the smallest slowdown it can tell."""
    from harness.commands.doctor import doctor as command

    raise typer.Exit(command(device=_device(device) or "cpu", seconds=seconds, console=_console(), json_path=json))


cli_reports.register(app, _console)
cli_search.register(app, _console)
cli_claims.register(app, _console)
cli_fit.register(app, _console)


def main() -> None:
    """Entry point: one clear message for every error, a traceback only with ``--debug``."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    if debug:
        _debug(arguments)
        return
    try:
        app(arguments)
    except HarnessError as error:
        _complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        _complain("stopped")
        sys.exit(130)
    except Exception as error:
        _complain(
            f"the harness itself failed: {type(error).__name__}: {error}\n  run again with --debug for the traceback"
        )
        sys.exit(EXIT_FAULT)


def _debug(arguments: list[str]) -> None:
    """Run with every traceback shown, a worker's included."""
    try:
        app(arguments)
    except InternalError as error:
        _complain(error.traceback)
        raise


def _complain(text: str) -> None:
    Console(stderr=True, highlight=False).print(f"error: {text}", markup=False, soft_wrap=True)


def _device(text: str | None) -> str | None:
    if text is None or text in ("cpu", "cuda", "triton-interpreter"):
        return text
    kind, _, index = text.partition(":")
    if kind == "cuda" and index.isdigit():
        return text
    raise UsageError(f"--device: found {text!r}; allowed: cpu, cuda, cuda:N, triton-interpreter")


def _checks(names: list[str] | None) -> tuple[str, ...]:
    from harness.suite.model import CHECKS

    unknown = [name for name in names or () if name not in CHECKS]
    if unknown:
        raise UsageError(f"--check: found {unknown[0]!r}; allowed: {', '.join(CHECKS)}")
    return tuple(names or ())


def _shard(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    index, _, count = text.partition("/")
    if index.isdigit() and count.isdigit() and 1 <= int(index) <= int(count):
        return int(index), int(count)
    raise UsageError(f"--shard: found {text!r}; allowed: I/N with 1 ≤ I ≤ N, e.g. 1/4")
