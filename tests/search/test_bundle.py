"""The source that a script carries: the candidate, what stands beside it, and a stand-in for the harness."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import UnknownReferenceError
from harness.search.bundle import STUB, bundle


def test_a_file_brings_what_it_imports_from_beside_it(tmp_path: Path) -> None:
    (tmp_path / "loss.py").write_text("import torch\nfrom pieces import part\nfrom deep.inner import more\n")
    (tmp_path / "pieces.py").write_text("part = 1\n")
    (tmp_path / "unused.py").write_text("x = 1\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "__init__.py").write_text("")
    (tmp_path / "deep" / "inner.py").write_text("from . import other\nmore = 2\n")
    (tmp_path / "deep" / "other.py").write_text("y = 1\n")
    found = bundle(f"{tmp_path}/loss.py:loss", Path.cwd())
    assert set(found.files) == {
        "harness/__init__.py", "loss.py", "pieces.py", "deep/__init__.py", "deep/inner.py", "deep/other.py"
    }  # fmt: skip
    assert (found.module, found.attribute) == ("loss", "loss")
    assert found.files["harness/__init__.py"] == STUB


def test_a_module_of_the_harness_comes_with_its_modules_but_not_with_all_of_the_harness() -> None:
    found = bundle("harness.mutants.tiles:tail_dropped", Path.cwd())
    assert "harness/mutants/tiles.py" in found.files
    assert "harness/mutants/_pieces.py" in found.files
    assert not any("worker" in name or "runner" in name for name in found.files)


def test_a_file_that_is_not_there_is_told() -> None:
    with pytest.raises(UnknownReferenceError, match="nowhere"):
        bundle("nowhere/loss.py:loss", Path("/tmp"))
