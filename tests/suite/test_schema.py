from pathlib import Path

import pytest

from harness.core.errors import SuiteError
from harness.suite import load_suite
from harness.suite.model import CHECKS, Budget, Gate, Limits, Suite, Timing
from tests.suite.families import FAMILIES

HEAD = "suite: x\ndescription: a sentence\n"
CASES = "cases:\n  - loss: cross_entropy\n    batch: 8\n    classes: 10\n"


def load(text: str, folder: Path) -> Suite:
    source = folder / "x.yaml"
    source.write_text(text, encoding="utf-8")
    return load_suite(source, FAMILIES)


def message(text: str, folder: Path) -> str:
    with pytest.raises(SuiteError) as caught:
        load(text, folder)
    return str(caught.value)


def test_a_full_suite_is_read(tmp_path: Path) -> None:
    text = (
        "suite: mine\ndescription: >\n  a longer\n  sentence\nbaseline: torch\n"
        "implementations: [naive, 'torch*', mine.py, 'dir/mine.py:loss', pkg.mod:loss]\nchecks: [agreement, gradient]\n"
        "cases:\n  - loss: cross_entropy\n    batch: [0, 8]\n    classes: 10\n    label_smoothing: [0, 1e-5]\n"
        "timing: {target_relative_width: 1e-2, max_seconds_per_cell: 3, cache: warm}\ngrade: tight\n"
        "gate: {max_slowdown: 1.1, confidence: 0.95, max_memory_growth: 1.2, min_speedup: {naive: 0.5}}\n"
        "limits: {seconds_per_call: 10, memory: 8GiB}\n"
    )
    suite = load(text, tmp_path)
    assert (suite.name, suite.description, suite.grade) == ("mine", "a longer sentence", "tight")
    assert suite.implementations == ("naive", "torch*", "mine.py", "dir/mine.py:loss", "pkg.mod:loss")
    assert suite.checks == ("agreement", "gradient")
    assert suite.timing == Timing(target_relative_width=0.01, max_seconds_per_cell=3.0, cache="warm")
    assert suite.gate == Gate(max_slowdown=1.1, confidence=0.95, max_memory_growth=1.2, min_speedup={"naive": 0.5})
    assert suite.limits == Limits(seconds_per_call=10.0, memory_bytes=8 * 2**30)
    assert suite.entries[0].axes == (("batch", (0, 8)), ("classes", (10,)), ("label_smoothing", (0.0, 1e-5)))
    assert (suite.entries[0].key, suite.entries[0].line) == ("cases[0]", 9)
    assert (suite.source, suite.text) == (tmp_path / "x.yaml", text)


def test_budgets_of_single_cells_are_read(tmp_path: Path) -> None:
    entry = "{cell: '*/32000/*', implementation: naive, max_slowdown: 1.2, max_peak_memory: 2MiB}"
    suite = load(HEAD + CASES + f"gate:\n  budgets:\n    - {entry}\n    - {{max_seconds_per_call: 0.5}}\n", tmp_path)
    assert suite.gate.budgets == (
        Budget(cell="*/32000/*", implementation="naive", max_slowdown=1.2, max_peak_bytes=2 << 20),
        Budget(max_seconds_per_call=0.5),
    )


def test_a_budget_that_cannot_be_read_names_its_line_and_what_is_allowed(tmp_path: Path) -> None:
    text = message(HEAD + CASES + "gate:\n  budgets:\n    - {max_slowdon: 1.2}\n    - {max_slowdown: 0.5}\n", tmp_path)
    assert "max_slowdon" in text
    assert "max_slowdown" in text
    assert "gate.budgets[0]" in text
    assert "gate.budgets[1].max_slowdown" in text


def test_defaults_are_those_of_the_documented_suite(tmp_path: Path) -> None:
    suite = load(HEAD + CASES, tmp_path)
    assert (suite.baseline, suite.implementations, suite.grade) == ("torch", ("*",), "standard")
    assert suite.checks == ("agreement", "gradient", "stability")
    assert (suite.timing, suite.gate, suite.limits) == (Timing(), Gate(), Limits())


@pytest.mark.parametrize(
    ("text", "checks"),
    [("all", tuple(CHECKS)), ("none", ()), ("stability", ("stability",))],
)
def test_checks_may_be_one_word(text: str, checks: tuple[str, ...], tmp_path: Path) -> None:
    assert load(f"{HEAD}checks: {text}\n{CASES}", tmp_path).checks == checks


def test_timing_none_means_judged_only(tmp_path: Path) -> None:
    assert load(f"{HEAD}timing: none\n{CASES}", tmp_path).timing is None


def test_one_shape_may_stand_alone(tmp_path: Path) -> None:
    suite = load(f"{HEAD}cases: [{{loss: cross_entropy, shape: [8, 10, 3]}}]", tmp_path)
    assert suite.entries[0].axes == (("shape", ((8, 10, 3),)),)


BAD_TOP = [
    ("implementation: naive\n" + CASES, ["x.yaml:3: implementation", "did you mean 'implementations'?", "baseline"]),
    ("suite: y\n" + CASES, ["x.yaml:3: suite", "second time (first on line 1)"]),
    ("", ["x.yaml:1: cases", "no such key", "a list of entries"]),
    ("cases: []\n", ["x.yaml:3: cases", "an empty list", "a list of entries"]),
    ("cases: 3\n", ["x.yaml:3: cases", "3 (a whole number)", "a list of entries"]),
    ("cases: [5]\n", ["x.yaml:3: cases[0]", "5 (a whole number)", "a mapping of axes"]),
    ("cases: [{batch: 1}]\n", ["x.yaml:3: cases[0].loss", "no such key", "cross_entropy, linear_cross_entropy"]),
    ("cases: [{loss: cros_entropy}]\n", ["cases[0].loss", "did you mean 'cross_entropy'?"]),
    ("cases: [{loss: [cross_entropy]}]\n", ["cases[0].loss", "a list", "allowed: a loss"]),
    ("baseline: 'torch*'\n" + CASES, ["x.yaml:3: baseline", "'torch*'", "no glob"]),
    ("implementations: []\n" + CASES, ["implementations", "an empty list", "a name or glob"]),
    (
        "implementations:\n  - ok\n  - 'not ok'\n" + CASES,
        ["x.yaml:5: implementations[1]", "'not ok'", "path.py:callable"],
    ),
    ("implementations: ['a.py:']\n" + CASES, ["implementations[0]", "'a.py:'"]),
    ("checks: agrement\n" + CASES, ["x.yaml:3: checks", "did you mean 'agreement'?", "all, or none"]),
    ("checks: [all]\n" + CASES, ["checks[0]", "'all'"]),
    ("checks: []\n" + CASES, ["checks", "an empty list", "none"]),
    ("checks: no\n" + CASES, ["checks", "'no'", "none"]),
    ("grade: strict\n" + CASES, ["x.yaml:3: grade", "'strict'", "relative, tight, standard"]),
    ("timing: off\n" + CASES, ["x.yaml:3: timing", "'off'", "none"]),
    ("timing: {cache: hot}\n" + CASES, ["x.yaml:3: timing.cache", "'hot'", "cold, warm"]),
    ("timing: {target_relative_width: 0}\n" + CASES, ["timing.target_relative_width", "0 (a whole number)", "above 0"]),
    ("timing: {target_relative_width: yes}\n" + CASES, ["timing.target_relative_width", "'yes' (text)"]),
    ("timing:\n  max_seconds: 3\n" + CASES, ["x.yaml:4: timing.max_seconds", "did you mean 'max_seconds_per_cell'?"]),
    ("gate: {confidence: 0.5}\n" + CASES, ["gate.confidence", "0.5", "between 0.5 and 1"]),
    ("gate: {confidence: true}\n" + CASES, ["gate.confidence", "true (true or false)"]),
    ("gate: {max_slowdown: 0.9}\n" + CASES, ["gate.max_slowdown", "0.9", "≥ 1"]),
    ("gate: {min_speedup: {naive: -1}}\n" + CASES, ["gate.min_speedup.naive", "-1", "above 0"]),
    ("gate: 3\n" + CASES, ["gate", "3 (a whole number)", "a mapping"]),
    ("limits: {memory: 8 apples}\n" + CASES, ["limits.memory", "'8 apples'", "8GiB"]),
    ("limits: {seconds_per_call: .inf}\n" + CASES, ["limits.seconds_per_call", "inf", "seconds above 0"]),
    ("description: ''\n", ["x.yaml:3: description", "second time"]),
]


@pytest.mark.parametrize(("text", "parts"), BAD_TOP)
def test_a_bad_top_level_is_refused_with_place_found_and_allowed(text: str, parts: list[str], tmp_path: Path) -> None:
    found = message(HEAD + text, tmp_path)
    for part in (*parts, "found:", "allowed:"):
        assert part in found


BAD_AXES = [
    ("dtyp: float32", ["cases[0].dtyp", "did you mean 'dtype'?", "batch, classes, dtype"]),
    ("features: 3", ["cases[0].features", "unknown key 'features'"]),
    ("dtype: []", ["cases[0].dtype", "an empty list", "float64, float32"]),
    ("dtype: fp32", ["cases[0].dtype", "'fp32'", "float64, float32, bfloat16, float16"]),
    ("dtype: [float32, bfloat]", ["cases[0].dtype[1]", "did you mean 'bfloat16'?"]),
    ("dtype: 32", ["cases[0].dtype", "32 (a whole number)"]),
    ("dtype:", ["cases[0].dtype", "nothing (null)"]),
    ("device: gpu", ["cases[0].device", "'gpu'", "cpu, cuda, cuda:INDEX, triton-interpreter"]),
    ("device: 'cuda:one'", ["cases[0].device", "'cuda:one'"]),
    ("regime: norml", ["cases[0].regime", "did you mean 'normal'?", "captured:FILE"]),
    ("regime: 'captured:'", ["cases[0].regime", "'captured:'"]),
    ("target: onehot", ["cases[0].target", "'onehot'", "uniform, probability"]),
    ("weight: no", ["cases[0].weight", "'no'", "none, skewed"]),
    ("layout: strided", ["cases[0].layout", "contiguous, padded"]),
    ("pass: both", ["cases[0].pass", "'both'", "forward_no_grad, forward, backward, forward_backward"]),
    ("reduction: avg", ["cases[0].reduction", "none, mean, sum"]),
    ("label_smoothing: 1.01", ["cases[0].label_smoothing", "1.01", "numbers from 0 to 1"]),
    ("label_smoothing: .nan", ["cases[0].label_smoothing", "nan", "numbers from 0 to 1"]),
    ("ignored: [0, -0.5]", ["cases[0].ignored[1]", "-0.5"]),
    ("ignored: true", ["cases[0].ignored", "true (true or false)"]),
    ("ignore_index: 1.5", ["cases[0].ignore_index", "1.5", "whole numbers"]),
    ("seed: -1", ["cases[0].seed", "-1", "≥ 0"]),
    ("seed: false", ["cases[0].seed", "false (true or false)", "whole numbers"]),
    ("shape: [[8, 10]]", ["cases[0].batch", "batch and shape together", "either shape, or batch and classes"]),
]


@pytest.mark.parametrize(("axis", "parts"), BAD_AXES)
def test_a_bad_axis_is_refused_with_place_found_and_allowed(axis: str, parts: list[str], tmp_path: Path) -> None:
    found = message(f"{HEAD}{CASES}    {axis}\n", tmp_path)
    for part in (*parts, "found:", "allowed:"):
        assert part in found
    if "together" not in found:
        assert "x.yaml:7: " in found


BAD_SIZES = [
    ("batch: 8", ["cases[0]", "no classes", "batch and classes, or shape in their place"]),
    ("seed: 1", ["cases[0]", "no batch and no classes"]),
    ("batch: -1, classes: 10", ["cases[0].batch", "-1", "whole numbers from 0"]),
    ("batch: 8, classes: 0", ["cases[0].classes", "0 (a whole number)", "whole numbers from 1"]),
    ("batch: true, classes: 10", ["cases[0].batch", "true (true or false)"]),
    ("batch: 8, classes: 1e3", ["cases[0].classes", "1000.0 (a number)"]),
    ("batch: '8', classes: 10", ["cases[0].batch", "'8' (text)"]),
    ("batch: 99999999999999999999, classes: 10", ["cases[0].batch", "99999999999999999999"]),
    ("shape: []", ["cases[0].shape", "an empty list", "[N, C]"]),
    ("shape: [[8]]", ["cases[0].shape[0]", "[8] (a list)", "[N, C] or [N, C, d1, …]"]),
    ("shape: [[8, 10], [8, 0]]", ["cases[0].shape[1]", "[8, 0]"]),
    ("shape: [[8, 10, -1]]", ["cases[0].shape[0]"]),
    ("shape: [[8, x]]", ["cases[0].shape[0][1]", "'x' (text)"]),
    ("shape: 8", ["cases[0].shape", "8 (a whole number)"]),
    ("shape: {n: 8}", ["cases[0].shape", "a mapping"]),
]


@pytest.mark.parametrize(("axes", "parts"), BAD_SIZES)
def test_bad_sizes_are_refused_with_place_found_and_allowed(axes: str, parts: list[str], tmp_path: Path) -> None:
    found = message(f"{HEAD}cases:\n  - {{loss: cross_entropy, {axes}}}\n", tmp_path)
    for part in (*parts, "x.yaml:4: ", "found:", "allowed:"):
        assert part in found


def test_all_problems_of_a_file_are_told_together_in_order(tmp_path: Path) -> None:
    found = message(f"suite: x\ngrade: no\n{CASES}    dtype: fp32\n    seeds: 3\ngate: {{confidence: 2}}\n", tmp_path)
    keys = [line.split(": ")[1] for line in found.splitlines() if not line.startswith("  ")]
    assert keys == ["description", "grade", "cases[0].dtype", "cases[0].seeds", "gate.confidence"]


def test_linear_losses_need_features(tmp_path: Path) -> None:
    assert "no features" in message(f"{HEAD}cases: [{{loss: linear_cross_entropy, batch: 1, classes: 2}}]", tmp_path)
    assert "[N, H, C]" in message(f"{HEAD}cases: [{{loss: linear_cross_entropy, shape: [1, 2]}}]", tmp_path)
