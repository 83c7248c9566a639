"""The command that tests what tutorials say: a thin door, registered by :mod:`harness.cli`."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console


class ClaimsFormat(StrEnum):
    """Formats of the claims page."""

    TEXT = "text"
    MARKDOWN = "markdown"
    JSON = "json"
    CSV = "csv"


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add ``claims`` to ``app``; ``console`` makes what it prints on."""

    @app.command()
    def claims(
        file: Annotated[str, typer.Argument(help="A file of claims, or the name of a bundled one.")] = "tutorials",
        claim: Annotated[list[str] | None, typer.Option(help="Only this claim (an id or a glob); repeatable.")] = None,
        format: Annotated[ClaimsFormat, typer.Option(help="What to write.")] = ClaimsFormat.TEXT,
        out: Annotated[Path | None, typer.Option(help="Write here instead of printing.")] = None,
    ) -> None:
        """Put what tutorials say to the test: holds, does not hold, or under which conditions."""
        from harness.commands.claims import claims as command

        raise typer.Exit(command(file, names=tuple(claim or ()), form=format.value, out=out, console=console()))
