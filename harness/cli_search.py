"""The commands that look for failures and show them: thin doors, registered by :mod:`harness.cli`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

Json = Annotated[Path | None, typer.Option("--json", help="Write what was found to this file.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the result only.")]
Out = Annotated[Path | None, typer.Option(help="Write the script here.")]


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add ``fuzz``, ``repro`` and ``explain`` to ``app``; ``console`` makes what they print on."""
    for add in (_fuzz, _repro, _explain):
        add(app, console)


def _fuzz(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def fuzz(
        ref: Annotated[str, typer.Argument(help="One implementation: a name, path.py:callable or module:callable.")],
        seconds: Annotated[float, typer.Option(help="Time to search.")] = 60.0,
        seed: Annotated[int, typer.Option(help="Of the drawn cells.")] = 0,
        device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:N or triton-interpreter.")] = None,
        out: Out = None,
        json: Json = None,
        quiet: Quiet = False,
    ) -> None:
        """Search for a failing cell, shrink it, and write a script that shows it."""
        from harness.commands.fuzz import fuzz as command

        code = command(
            ref, seconds=seconds, seed=seed, device=device, out=out, json_path=json, console=console(), quiet=quiet
        )
        raise typer.Exit(code)


def _repro(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def repro(
        run: Annotated[Path, typer.Argument(help="A run folder, e.g. results/latest.")],
        cell: Annotated[str, typer.Argument(help="Id of a failed cell, #variant included.")],
        implementation: Annotated[str | None, typer.Option("--implementation", "-i", help="Which one failed.")] = None,
        check: Annotated[str | None, typer.Option(help="Which check failed.")] = None,
        out: Out = None,
    ) -> None:
        """Print a standalone script, torch only, that shows a failure of a run."""
        from harness.commands.repro import repro as command

        raise typer.Exit(command(run, cell, implementation=implementation, check=check, out=out, console=console()))


def _explain(app: typer.Typer, console: Callable[[], Console]) -> None:
    @app.command()
    def explain(
        run: Annotated[Path, typer.Argument(help="A run folder, e.g. results/latest.")],
        cell: Annotated[str, typer.Argument(help="Id of a judged cell.")],
        implementation: Annotated[str | None, typer.Option("--implementation", "-i", help="Whose verdict.")] = None,
        check: Annotated[str | None, typer.Option(help="agreement or gradient.")] = None,
    ) -> None:
        """Tell the budget of a verdict term by term."""
        from harness.commands.explain import explain as command

        raise typer.Exit(command(run, cell, implementation=implementation, check=check, console=console()))
