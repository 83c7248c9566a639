"""The matrix mutants × checks as text: which checks catch which mutant, and what only one check catches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.mutants.catalogue import GROUPS, Mutant
from harness.mutants.results import Result


def matrix_lines(results: Sequence[Result]) -> Iterator[str]:
    """Markdown: one row for each mutant with the checks that catch it, then what each check alone catches."""
    caught: dict[Mutant, list[str]] = defaultdict(list)
    for result in results:
        assert isinstance(result.subject, Mutant)
        caught[result.subject] += [result.question] if result.caught else []
    yield "| mutant | mechanism | caught by |"
    yield "| --- | --- | --- |"
    for group in GROUPS:
        for mutant, checks in caught.items():
            if mutant.group == group:
                yield f"| `{mutant.name}` | {mutant.mechanism} | {', '.join(checks) or '**nothing**'} |"
    yield ""
    yield "| check | catches | catches alone |"
    yield "| --- | ---: | --- |"
    for check in dict.fromkeys(result.question for result in results):
        alone = [f"`{mutant.name}`" for mutant, checks in caught.items() if checks == [check]]
        count = sum(check in checks for checks in caught.values())
        yield f"| {check} | {count} | {', '.join(alone) or 'nothing: see the notes'} |"
