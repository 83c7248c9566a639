"""What the project's own gate misses and accuses: ``python -m tests.benchmarks.gate --times 3``.

Runs ``pytest suites/smoke.yaml --harness-baseline results/baselines`` on the project as it is, and on copies in which
something was planted: real work added to ``fused_cpu`` (no sleeping), or a wrong gradient. Prints a line for each run:
how many timings passed, were called a regression, or were not decided.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[2]
_PARTS = ("harness", "implementations", "suites", "results/baselines", "pyproject.toml")
_ENTRY = Path("implementations/fused_cpu/__init__.py")
_SIGNATURE, _FIRST = "def fused_cpu_cross_entropy(", "    serve = operator("
#: What is planted → lines put in front of the entry point's own work; {share} of the rows are worked on once more.
_SLOWER = """
    _extra = logits.detach()[: max(1, int({share} * logits.shape[0]))]
    torch.nn.functional.cross_entropy(_extra, target.detach()[: _extra.shape[0]])
"""
_WRONG = """
    logits = logits * (1 + 1e-3)
"""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="runs of each kind")
    parser.add_argument("--share", type=float, nargs="*", default=[1.0], help="rows that fused_cpu works on once more")
    arguments = parser.parse_args()
    kinds = {"as it is": ""}
    kinds |= {f"slower: {share:g} of the rows once more": _SLOWER.format(share=share) for share in arguments.share}
    kinds["wrong: logits scaled by 1.001"] = _WRONG
    for kind, planted in kinds.items():
        with tempfile.TemporaryDirectory() as folder:
            project = copy(Path(folder), planted)
            for _ in range(1 if planted == _WRONG else arguments.times):
                print(f"{kind}: {run(project, judged=planted == _WRONG)}", flush=True)


def copy(folder: Path, planted: str) -> Path:
    """The project with ``planted`` at the beginning of ``fused_cpu``."""
    for part in _PARTS:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    if planted:
        entry = folder / _ENTRY
        head, signature, body = entry.read_text(encoding="utf-8").partition(_SIGNATURE)
        before, first, rest = body.partition(_FIRST)
        assert first, f"{_ENTRY} looks different: plant the work elsewhere"
        entry.write_text(head + signature + before + planted.lstrip("\n") + first + rest, encoding="utf-8")
    return folder


def run(project: Path, *, judged: bool) -> str:
    """One run of the smoke suite under pytest; what came of it in words."""
    report = project / "junit.xml"
    command = [sys.executable, "-m", "pytest", "suites/smoke.yaml", "--harness-baseline", "results/baselines", "-q",
               "-p", "no:cacheprovider", "--junitxml", str(report), *(["-m", "judged"] if judged else [])]  # fmt: skip
    started = time.monotonic()
    code = subprocess.run(command, cwd=project, capture_output=True, check=False).returncode
    cases = list(ElementTree.parse(report).iter("testcase"))
    told = [one.get("value", "") for case in cases for one in case.iter("property") if one.get("name") == "gate"]
    verdicts = Counter(text.partition(":")[0] for text in told)
    failed = sum(case.find("failure") is not None for case in cases)
    words = ", ".join(f"{number} {verdict}" for verdict, number in sorted(verdicts.items()))
    seconds = time.monotonic() - started
    return f"exit {code}, {failed} of {len(cases)} items failed; gate: {words or 'nothing'}; {seconds:.0f} s"


if __name__ == "__main__":
    main()
