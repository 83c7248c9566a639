from __future__ import annotations

import functools
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.registry.load import load_source
from harness.registry.sources import parse_reference

FOLDER = Path(__file__).parents[2] / "implementations"
TRITON = (
    "fused_triton", "fused_triton_recompute", "fused_triton_resident", "fused_triton_capped", "fused_triton_three_pass",
    "fused_triton_inplace",
)  # fmt: skip
FILES = {
    "naive": "naive.py", "log_softmax_nll": "log_softmax_nll.py", "torch": "torch_eager.py",
    "torch_compile": "torch_compile.py", **dict.fromkeys(TRITON, "fused_triton"),
}  # fmt: skip
OPTIONS = {"weight", "ignore_index", "reduction", "label_smoothing"}


def load(name: str):
    (found,) = (it for it in load_source(parse_reference(str(FOLDER / FILES[name]), FOLDER)) if it[0].name == name)
    return found


@pytest.mark.parametrize("name", FILES)
def test_a_file_registers_the_name_it_is_known_by(name):
    description, _ = load(name)
    assert description.name == name
    assert description.loss == "cross_entropy"
    assert description.summary


def test_signatures_and_declarations_show_what_is_supported():
    assert set(load("naive")[0].options) == {"reduction"}
    assert set(load("log_softmax_nll")[0].options) == OPTIONS - {"label_smoothing"}
    for name in ("torch", "torch_compile", *TRITON):
        assert set(load(name)[0].options) == OPTIONS | ({"z_loss", "softcap"} if name in TRITON else set())
        assert load(name)[0].targets == ("index", "probability")
    assert load("naive")[0].targets == load("log_softmax_nll")[0].targets == ("index",)
    for name in TRITON:
        assert load(name)[0].devices == ("cuda", "triton-interpreter")
    assert load("torch")[0].devices == ("cpu", "cuda")


@pytest.mark.parametrize("name", ["naive", "log_softmax_nll", "torch"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("shape", [(6, 5), (3, 5, 2, 2)])
def test_plain_cross_entropy_agrees_with_torch(name, reduction, shape):
    torch.manual_seed(0)
    logits = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    target = torch.randint(shape[1], (shape[0], *shape[2:]))
    loss = load(name)[1](logits, target, reduction=reduction)
    expected = F.cross_entropy(logits, target, reduction=reduction)
    torch.testing.assert_close(loss, expected)
    ours, theirs = (torch.autograd.grad(value.sum(), logits)[0] for value in (loss, expected))
    torch.testing.assert_close(ours, theirs)


def test_log_softmax_nll_passes_weight_and_ignore_index_on():
    torch.manual_seed(0)
    logits, weight, target = torch.randn(6, 5), torch.rand(5), torch.tensor([0, 1, 2, 3, 4, 4])
    options = {"weight": weight, "ignore_index": 4, "reduction": "mean"}
    torch.testing.assert_close(
        load("log_softmax_nll")[1](logits, target, **options), F.cross_entropy(logits, target, **options)
    )


def test_naive_overflows_where_the_textbook_does():
    function = load("naive")[1]
    assert math.isfinite(function(torch.tensor([[88.0, 0.0]]), torch.tensor([0])).item())
    assert math.isnan(function(torch.tensor([[89.0, 0.0]]), torch.tensor([0])).item())
    assert function(torch.tensor([[0.0, 89.0]]), torch.tensor([0])).item() == math.inf


def test_naive_names_a_reduction_it_does_not_know():
    with pytest.raises(ValueError, match="allowed: none, mean, sum"):
        load("naive")[1](torch.zeros(1, 2), torch.tensor([0]), reduction="avg")


def test_torch_compile_compiles_lazily_and_afresh_after_a_reset(monkeypatch):
    from torch._dynamo.utils import counters

    # when it compiles is the matter here; inductor's own C++ compilation would take 10 s
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    torch.compiler.reset()
    counters.clear()
    function = load("torch_compile")[1]
    assert counters["stats"]["unique_graphs"] == 0
    logits, target = torch.randn(4, 7), torch.tensor([0, 1, 2, 6])
    for graphs in (1, 1, 2):
        if graphs == 2:
            torch.compiler.reset()
        found = function(logits, target, label_smoothing=0.1)
        torch.testing.assert_close(found, F.cross_entropy(logits, target, label_smoothing=0.1))
        assert counters["stats"]["unique_graphs"] == graphs
    torch.compiler.reset()
