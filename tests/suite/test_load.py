import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import SuiteError
from harness.suite.load import find_suite, suite_names, suites_folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("smoke", "cpu"):
        (tmp_path / f"{name}.yaml").write_text(f"suite: {name}\ndescription: about {name}\n", encoding="utf-8")
    return tmp_path


def test_a_bundled_name_or_a_path_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert find_suite("smoke", folder) == folder / "smoke.yaml"
    assert find_suite("cpu.yaml", folder / "none") == Path("cpu.yaml")
    assert find_suite(folder / "cpu.yaml", folder / "none") == folder / "cpu.yaml"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("smok", ["'smok'", "no suite of that name (did you mean 'smoke'?)", "cpu, smoke"]),
        ("suites/smoke.yml", ["no such file (did you mean 'smoke'?)"]),
        (".", ["a folder"]),
        ("", ["one of cpu, smoke"]),
    ],
)
def test_an_unknown_suite_is_refused_with_what_there_is(text: str, parts: list[str], folder: Path) -> None:
    with pytest.raises(SuiteError) as caught:
        find_suite(text, folder)
    for part in parts:
        assert part in str(caught.value)


def test_names_come_with_descriptions(folder: Path) -> None:
    (folder / "broken.yaml").write_bytes(b"\xff: [")
    assert suite_names(folder) == {"broken": "", "cpu": "about cpu", "smoke": "about smoke"}


def test_the_working_directory_goes_first_when_it_is_the_project(tmp_path: Path) -> None:
    package, checkout = tmp_path / "site" / "harness", tmp_path / "checkout"
    (checkout / "suites").mkdir(parents=True)
    assert suites_folder(package, checkout) == package / "bundled" / "suites"
    (checkout / "pyproject.toml").write_text('[project]\nname = "loss-harness"\n', encoding="utf-8")
    assert suites_folder(package, checkout) == checkout / "suites"
    (checkout / "pyproject.toml").write_text('[project]\nname = "other"\n', encoding="utf-8")
    assert suites_folder(package, checkout) == package / "bundled" / "suites"


def test_naming_the_suites_imports_neither_pydantic_nor_torch() -> None:
    code = (
        "import sys; from harness.suite import suite_names; assert 'smoke' in suite_names(); "
        "print([m for m in ('torch', 'pydantic', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
