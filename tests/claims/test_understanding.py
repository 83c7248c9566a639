"""``docs/understanding_losses.md``: every sentence cites a claim or a cell, all of them exist, and the cells say so."""

from __future__ import annotations

import io
import json
import re
from collections import defaultdict
from pathlib import Path

from rich.console import Console

from harness.commands.check import check
from harness.commands.claims import load_claims
from harness.core.status import Status, worst
from harness.losses.catalogue import families
from harness.runner.asked import Asked
from harness.suite import expand, load_suite, suite_names
from harness.training.running import setups
from harness.worker.process import ProcessWorkers

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "understanding_losses.md").read_text(encoding="utf-8")
BODY, _, CELLS = PAGE.partition("\n## Cells\n")
#: anchor → (cell, verdict of torch, verdict of naive)
_ROW = re.compile(r'^\| <a id="([\w-]+)"></a>.*?\| `(.+?)` \| (\w+) \| (\w+) \|$', re.MULTILINE)
TABLE = {name: (cell, torch, naive) for name, cell, torch, naive in _ROW.findall(CELLS)}


def sentences() -> list[str]:
    """Sentences of the sections; a heading is none, a list item is one or more."""
    text = BODY[BODY.index("\n## ") :]
    blocks = re.split(r"\n\s*\n|\n(?=- )", "\n".join(line for line in text.splitlines() if not line.startswith("#")))
    flat = [" ".join(block.split()).removeprefix("- ") for block in blocks]
    return [one for block in flat for one in re.split(r"(?<=\.) (?=[A-Z`])", block) if one]


def test_every_sentence_cites_a_claim_or_a_cell() -> None:
    found = sentences()
    assert len(found) > 25
    assert [one for one in found if "](claims.md#" not in one and "](#cell-" not in one] == []


def test_every_claim_cited_exists_and_stands_in_the_page_of_claims() -> None:
    cited = set(re.findall(r"claims\.md#([\w.]+)", PAGE))
    known = {claim.id for claim in load_claims("tutorials").claims}
    anchors = set(re.findall(r'<a id="([\w.]+)"></a>', (DOCS / "claims.md").read_text(encoding="utf-8")))
    assert cited <= known
    assert cited <= anchors


def test_every_cell_cited_is_in_the_table_and_in_a_suite_that_ships() -> None:
    assert set(re.findall(r"\]\(#([\w-]+)\)", PAGE)) - {"cells"} == set(TABLE)
    known = families()
    suites = [load_suite(name, known) for name in suite_names() if name in ("smoke", "extreme", "training")]
    cells = {case.cell for suite in suites for case in expand(suite, known)}
    cells |= {setup.case.cell for suite in suites for setup in setups(suite, device=None, shard=None)}
    assert [cell for cell, _, _ in TABLE.values() if cell not in cells] == []


def test_the_cells_say_what_the_page_says(tmp_path: Path, workers: ProcessWorkers) -> None:
    cells = tuple(cell for cell, _, _ in TABLE.values() if "training:" not in cell)
    out = tmp_path / "found.json"
    asked = Asked(implementations=("torch", "naive"), cells=cells)
    check("correctness", asked, json_path=out, console=Console(file=io.StringIO()), quiet=True, workers=workers)
    found: dict[tuple[str, str], list[Status]] = defaultdict(list)
    for one in json.loads(out.read_text()):
        found[one["cell"].partition("#")[0], one["implementation"]].append(Status(one["status"]))
    for cell, torch, naive in TABLE.values():
        if cell in cells:
            assert worst(found[cell, "torch"]).value == torch, cell
            assert worst(found[cell, "naive"]).value == naive, cell
