"""The commands that read what runs left behind, and ``new``: thin doors, registered by :mod:`harness.cli`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]


class Format(StrEnum):
    """Formats of a report."""

    HTML = "html"
    MARKDOWN = "markdown"
    CSV = "csv"
    JSON = "json"
    PARQUET = "parquet"
    JUNIT = "junit"


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add ``report``, ``compare``, ``choose``, ``new`` and ``gate``; ``console`` makes what they print on."""
    for add in (_report, _compare, _choose, _new, _gate):
        add(app, console)


def _report(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def report(
        run: Annotated[Path, typer.Argument(help="A run folder, e.g. results/latest.")],
        format: Annotated[Format, typer.Option(help="What to write.")] = Format.HTML,
        out: Annotated[
            Path | None,
            typer.Option(help="Write here; html and parquet go into the run folder otherwise, the rest is printed."),
        ] = None,
    ) -> None:
        """Write a run's report again, from its files alone."""
        from harness.commands.report import report as command

        raise typer.Exit(command(run, format.value, out, console()))


def _compare(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def compare(
        runs: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="Run folders, oldest first.")],
    ) -> None:
        """What got wrong, slower, faster or right from one run to the next."""
        from harness.commands.compare import compare as command

        raise typer.Exit(command(runs, console=console()))


def _choose(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def choose(
        run: Annotated[Path, typer.Argument(help="A run folder, e.g. results/latest.")],
        max_memory: Annotated[str | None, typer.Option(help="Largest peak above the inputs, e.g. 2GiB.")] = None,
        max_ulp: Annotated[float | None, typer.Option(help="Largest error, in units in the last place.")] = None,
        pass_: Annotated[str | None, typer.Option("--pass", help="Look at this pass alone.")] = None,
    ) -> None:
        """The winner per shape under limits, crossovers, Pareto sets."""
        from harness.commands.choose import choose as command

        raise typer.Exit(command(run, console=console(), max_memory=max_memory, max_ulp=max_ulp, pass_=pass_))


def _new(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def new(name: Annotated[str, typer.Argument(help="Name of the implementation: letters, digits and _.")]) -> None:
        """Write a starter implementation with its test."""
        from harness.commands.new import new as command

        raise typer.Exit(command(name, console=console()))


def _gate(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def gate(
        run: Annotated[Path, typer.Argument(help="The run to judge.")],
        baseline: Annotated[Path, typer.Option(help="The run to hold it against.")],
        remeasure: Annotated[
            bool, typer.Option("--remeasure", help="Measure flagged cells again before the verdict.")
        ] = False,
        quiet: Quiet = False,
    ) -> None:
        """Hold a run against an earlier one: pass, regression or inconclusive, cell by cell."""
        from harness.commands.gate import gate as command

        raise typer.Exit(command(run, baseline, remeasure=remeasure, console=console(), quiet=quiet))
