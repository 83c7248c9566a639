"""Axes, cost and inputs of linear cross-entropy."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from harness.core.case import parse_cell
from harness.core.errors import UsageError
from harness.losses.linear_cross_entropy.cost import cost, memory
from harness.losses.linear_cross_entropy.describe import FAMILY, REGIMES
from harness.losses.linear_cross_entropy.inputs import build
from tests.losses.linear_cross_entropy.tools import case_of


def test_a_cell_id_is_read_back():
    case = case_of(linear_bias="normal", dtype="bfloat16")
    assert parse_cell(case.cell) == case
    assert case.cell.startswith("linear_cross_entropy/16x64x257/bfloat16/")


def test_flops_are_those_of_the_products():
    case = case_of(batch=8192, features=4096, classes=128256, dtype="bfloat16")
    product = 2 * 8192 * 4096 * 128256
    assert [cost(case.with_pass(p)).flops // product for p in ("forward", "backward", "forward_backward")] == [1, 2, 3]
    assert cost(replace(case, ignored=0.5)).flops == 3 * product // 2
    least = 2 * (8192 * 4096 + 128256 * 4096) * 2
    assert cost(case).total_bytes == pytest.approx(least, rel=1e-3)


def test_memory_counts_what_the_oracle_holds_on_the_cpu_alone():
    case = case_of(batch=2048, features=1024, classes=32000)
    assert memory(case) > memory(replace(case, device="cuda")) > 3 * 2048 * 32000 * 4


def test_what_has_no_meaning_is_refused_in_words():
    assert "further dimensions" in FAMILY.refusal(replace(case_of(), dims=(3,)))
    assert "features" in FAMILY.refusal(replace(case_of(), features=0))
    assert "regime=nonfinite" in FAMILY.refusal(replace(case_of(), regime="nonfinite"))
    assert "linear_bias" in FAMILY.refusal(case_of(linear_bias="huge"))
    with pytest.raises(UsageError, match="argmax"):
        build(replace(case_of(), target="argmax"))
    assert FAMILY.refusal(case_of(linear_bias="normal")) is None


@pytest.mark.parametrize("regime", REGIMES)
def test_the_product_follows_the_regime(regime):
    case = case_of(batch=64, features=256, classes=300, regime=regime)
    inputs = build(case)
    logits = inputs.logits.double() @ inputs.others["linear_weight"].double().T
    probability = logits.softmax(1)
    own = probability.gather(1, inputs.target[:, None]).squeeze(1)
    deviation = float((logits - logits.mean(1, keepdim=True)).std())
    if regime == "confident":
        assert float(own.median()) > 0.999
    elif regime == "wrong":
        assert float(own.max()) < 0.5
        assert float(probability.amax(1).median()) > 0.999
    elif regime == "offset":
        assert float(logits.mean(1).abs().min()) > 1000
    else:
        assert deviation == pytest.approx({"normal": 1.0, "small": 0.1, "sigma10": 10.0}[regime], rel=0.1)


def test_inputs_follow_from_the_seed_and_features_alone():
    case = case_of(linear_bias="normal")
    one, other = build(case), build(replace(case, pass_="forward", dtype="bfloat16"))
    for name, tensor in one.tensors().items():
        assert torch.equal(tensor.to(other.tensors()[name].dtype), other.tensors()[name])
    wider = build(replace(case, features=128))
    assert not torch.equal(wider.logits[:, :64], one.logits)


def test_large_weights_are_windows_into_a_bank():
    weight = build(case_of(batch=1, features=512, classes=9000)).others["linear_weight"]
    assert weight.shape == (9000, 512)
    assert len(torch.unique(weight[:, 0])) > 8000
    assert float(weight.std()) * 512**0.5 == pytest.approx(1.0, rel=0.02)


def test_hidden_states_come_in_the_asked_layout():
    inputs = build(case_of(layout="transposed"))
    assert inputs.logits.stride() == (1, 16)
    assert torch.equal(inputs.logits, build(case_of()).logits)
