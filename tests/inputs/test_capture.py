import pickle
from pathlib import Path

import numpy as np
import pytest

from harness.core.case import Case
from harness.core.errors import UsageError
from harness.inputs.build import build_inputs
from harness.inputs.capture import bundled_data, capture_classes, load_capture
from harness.inputs.catalogue import refusal


def write(folder, **arrays):
    path = folder / "capture.npz"
    np.savez(path, **arrays)
    return f"captured:{path}"


def good():
    return {"logits": np.arange(12, dtype=np.float32).reshape(4, 3), "target": np.array([0, 1, 2, 1])}


def test_the_bundled_capture_is_a_small_file_of_a_good_classifier():
    path = bundled_data() / "digits.npz"
    assert path.stat().st_size < 100_000
    capture = load_capture("captured")
    assert capture.logits.shape == (899, 10)
    assert capture.path == path
    assert np.mean(capture.logits.argmax(1) == capture.target) > 0.95


def test_a_bare_file_name_may_be_a_bundled_one(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert capture_classes("captured:digits.npz") == 10
    write(tmp_path, **good())
    assert capture_classes("captured:capture.npz") == 3
    assert load_capture("captured:capture.npz").path == Path("capture.npz")


def test_an_installed_package_finds_its_bundled_copy(monkeypatch, tmp_path):
    package = tmp_path / "site-packages" / "harness"
    monkeypatch.setattr("harness.inputs.capture.__file__", str(package / "inputs" / "capture.py"))
    assert bundled_data() == package.resolve() / "bundled" / "suites" / "data"


def test_a_users_capture_serves_inputs(tmp_path):
    regime = write(tmp_path, **good())
    case = Case(batch=50, classes=3, regime=regime)
    assert refusal(case) is None
    inputs = build_inputs(case)
    assert {tuple(row) for row in inputs.logits.tolist()} == {(0, 1, 2), (3, 4, 5), (6, 7, 8), (9, 10, 11)}
    labels = good()["target"]
    assert inputs.target.tolist() == [labels[int(first) // 3] for first in inputs.logits[:, 0]]
    assert refusal(Case(batch=4, classes=4, regime=regime)) == f"regime={regime} holds logits of 3 classes, not 4"


def test_the_folder_of_a_capture_does_not_change_what_is_drawn(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    here, there = write(tmp_path, **good()), write(tmp_path / "elsewhere", **good())
    first, second = (build_inputs(Case(batch=9, classes=3, regime=regime)) for regime in (here, there))
    assert first.logits.tolist() == second.logits.tolist()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"logits": np.zeros(4, np.float32)}, r"logits have shape \(4,\), not \(rows, C\)"),
        ({"logits": np.zeros((0, 3), np.float32)}, r"logits have shape \(0, 3\)"),
        ({"target": np.zeros(5, int)}, r"target has shape \(5,\), not \(4,\)"),
        ({"logits": np.zeros((4, 3), int)}, "logits are int64, not float16, float32 or float64"),
        ({"target": np.zeros(4)}, "target is float64, not an integer type"),
        ({"target": np.array([0, 1, 3, 0])}, r"target\[2\] is 3, outside \[0, 3\)"),
        ({"target": np.array([0, -1, 2, 0])}, r"target\[1\] is -1, outside \[0, 3\)"),
        ({"logits": np.array([[1, np.nan, 0]] * 4, np.float32)}, r"logits\[0, 1\] is nan"),
    ],
)
def test_a_capture_of_another_form_is_refused_by_name(tmp_path, change, why):
    regime = write(tmp_path, **{**good(), **change})
    with pytest.raises(UsageError, match=why + r"[^\n]*\n  a capture holds `logits`"):
        load_capture(regime)


@pytest.mark.parametrize("key", ["logits", "target"])
def test_a_missing_key_is_named_with_those_found(tmp_path, key):
    arrays = good()
    arrays["other"] = arrays.pop(key)
    regime = write(tmp_path, **arrays)
    with pytest.raises(UsageError, match=f"has no '{key}'; it has .*other"):
        load_capture(regime)
    if key == "logits":
        with pytest.raises(UsageError, match="has no 'logits'"):
            capture_classes(regime)


def test_a_pickle_in_a_capture_is_never_opened(tmp_path):
    regime = write(tmp_path, **{**good(), "target": np.array([{"a": 1}] * 4, dtype=object)})
    with pytest.raises(UsageError, match=r"cannot be read as \.npz"):
        load_capture(regime)


@pytest.mark.parametrize("content", [b"", b"not a zip", pickle.dumps([1])])
def test_a_file_that_is_no_npz_is_named(tmp_path, content):
    path = tmp_path / "capture.npz"
    path.write_bytes(content)
    for read in (load_capture, capture_classes):
        with pytest.raises(UsageError, match=r"cannot be read as \.npz"):
            read(f"captured:{path}")


def test_another_ending_is_refused(tmp_path):
    path = tmp_path / "capture.pt"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match=r"neither .npz nor .safetensors"):
        load_capture(f"captured:{path}")


def test_safetensors_without_the_package_says_what_to_type(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "safetensors", None)
    path = tmp_path / "capture.safetensors"
    path.write_bytes(b"")
    with pytest.raises(UsageError, match="pip install safetensors"):
        load_capture(f"captured:{path}")


def test_safetensors_captures_are_read_bfloat16_included(tmp_path):
    pytest.importorskip("safetensors")
    import torch
    from safetensors.torch import save_file

    path = tmp_path / "capture.safetensors"
    save_file({"logits": torch.randn(4, 3, dtype=torch.bfloat16), "target": torch.tensor([0, 1, 2, 0])}, path)
    assert capture_classes(f"captured:{path}") == 3
    assert load_capture(f"captured:{path}").logits.dtype == np.float64


def test_logits_beyond_the_dtype_are_refused(tmp_path):
    arrays = good()
    arrays["logits"] = arrays["logits"] * 1e6
    regime = write(tmp_path, **arrays)
    with pytest.raises(UsageError, match=r"beyond ±65504, the range of float16"):
        build_inputs(Case(batch=4, classes=3, regime=regime, dtype="float16"))


def test_a_capture_of_ignored_targets_alone_is_refused(tmp_path):
    regime = write(tmp_path, **{**good(), "target": np.ones(4, int)})
    with pytest.raises(UsageError, match=r"every target of .* is ignore_index=1"):
        build_inputs(Case(batch=4, classes=3, regime=regime, ignore_index=1))
