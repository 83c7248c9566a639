import subprocess
import sys

from harness.core.case import DTYPES, PASSES, Case
from harness.losses.catalogue import families


def test_every_family_is_listed_under_its_own_name() -> None:
    assert families()["cross_entropy"].name == "cross_entropy"
    assert all(name == family.name for name, family in families().items())


def test_defaults_of_the_axes_are_those_of_a_case() -> None:
    case = Case(batch=1, classes=1)
    for axis in families()["cross_entropy"].axes:
        if not axis.required:
            assert getattr(case, "pass_" if axis.name == "pass" else axis.name) == axis.default


def test_every_default_is_allowed() -> None:
    for axis in families()["cross_entropy"].axes:
        assert axis.kind != "choice" or axis.default in axis.allowed


def test_cross_entropy_has_the_options_and_defaults_of_torch() -> None:
    family = families()["cross_entropy"]
    assert dict(family.options) == {"weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0}
    assert family.baseline == "torch"


def test_axes_offer_every_dtype_pass_and_device() -> None:
    family = families()["cross_entropy"]
    allowed = {axis.name: axis.allowed for axis in family.axes}
    assert allowed["dtype"] == DTYPES
    assert allowed["pass"] == PASSES
    assert set(allowed["device"]) == {"cpu", "cuda", "cuda:*", "triton-interpreter"}
    assert {"normal", "confident", "masked", "captured", "captured:*"} <= set(allowed["regime"])


def test_probability_targets_refuse_what_torch_gives_no_meaning() -> None:
    refusal = families()["cross_entropy"].refusal
    assert "ignored" in (refusal(Case(batch=4, classes=3, target="probability", ignored=0.5)) or "")
    assert "ignore_index" in (refusal(Case(batch=4, classes=3, target="one_hot", ignore_index=0)) or "")
    assert refusal(Case(batch=4, classes=3, target="probability", label_smoothing=0.1)) is None
    assert refusal(Case(batch=4, classes=3, ignored=0.5, ignore_index=0)) is None


def test_describing_the_families_imports_no_torch() -> None:
    code = "import sys; from harness.losses.catalogue import families; families(); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
