"""The command that finds the largest batch: a thin door, registered by :mod:`harness.cli`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer
from rich.console import Console


def register(app: typer.Typer, console: Callable[[], Console]) -> None:
    """Add ``fit`` to ``app``; ``console`` makes what it prints on."""

    @app.command()
    def fit(
        refs: Annotated[list[str], typer.Argument(help="Implementations: names, globs, path.py:callable.")],
        cell: Annotated[
            str, typer.Option(help="Id of the cell whose batch is to grow (its own batch does not matter).")
        ] = "cross_entropy/1x32000/float32/cpu/normal/forward_backward/mean",
        memory: Annotated[str | None, typer.Option(help="Most memory, e.g. 2GiB; what is free unless told.")] = None,
        seconds: Annotated[float, typer.Option(help="Longest that one trial may take.")] = 120.0,
    ) -> None:
        """Find the largest batch that fits into memory, by trial."""
        from dataclasses import replace

        from harness.commands.fit import fit as command
        from harness.core.case import parse_cell
        from harness.core.errors import UsageError
        from harness.suite.sizes import parse_bytes

        try:
            limit = None if memory is None else parse_bytes(memory)
        except ValueError:
            raise UsageError(f"--memory: found {memory!r}; allowed: a size such as 2GiB") from None
        case = replace(parse_cell(cell), batch=1)
        raise typer.Exit(command(refs, case, limit_bytes=limit, seconds=seconds, console=console()))
