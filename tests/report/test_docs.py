"""The page on analysing results: every code block runs, in order, on a folder of two runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.report.synthetic import make_run, outcomes

PAGE = Path(__file__).parents[2] / "docs" / "analysing_results.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.filterwarnings("error")
def test_every_code_block_of_the_page_runs(tmp_path, monkeypatch, capsys):
    make_run(tmp_path / "results", outcomes(50))
    make_run(tmp_path / "results", outcomes(30))
    monkeypatch.chdir(tmp_path)
    assert len(BLOCKS) >= 8
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)
    told = capsys.readouterr().out
    for piece in (
        "baseline_median_ns",
        "ulp_error",
        "winner",
        "crossover",
        "ambiguous",
        "python -m harness check naive",
    ):
        assert piece in told, piece
