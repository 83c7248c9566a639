"""Adapters of other packages: what they declare, why they are unavailable, and that they call the real signature."""

from __future__ import annotations

import inspect
from importlib import metadata
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.registry.load import load_source
from harness.registry.sources import Source
from tests.implementations import peers

FOLDER = Path(__file__).resolve().parents[2] / "implementations"
#: Name → (loss, what to install).
PEERS = {
    "liger": ("cross_entropy", "liger-kernel>=0.5"),
    "liger_linear": ("linear_cross_entropy", "liger-kernel>=0.5"),
    "cce": ("linear_cross_entropy", "cut-cross-entropy>=25.1"),
    "cce_exact": ("linear_cross_entropy", "cut-cross-entropy>=25.1"),
    "quack": ("cross_entropy", "quack-kernels>=0.2"),
    "quack_linear": ("linear_cross_entropy", "quack-kernels>=0.2"),
    "flash_attention": ("cross_entropy", "flash-attn>=2.5"),
    "apex": ("cross_entropy", "apex @ git+https://github.com/NVIDIA/apex.git"),
    "transformer_engine": ("cross_entropy", "transformer-engine[pytorch]>=2.2"),
    "unsloth": ("cross_entropy", "unsloth>=2026.10"),
    "torchtune": ("cross_entropy", "torchtune>=0.4"),
    "optax": ("cross_entropy", "optax>=0.2.3"),
}
LIKE_TORCH = ("quack", "flash_attention", "apex", "transformer_engine", "unsloth", "torchtune")
LINEAR = ("quack_linear", "cce", "cce_exact")


def load():
    found = {}
    for path in sorted(FOLDER.glob("peer_*.py")):
        source = Source(kind="file", target=str(path), origin="folder", text=path.name)
        found.update({description.name: (description, target) for description, target in load_source(source)})
    return found


def test_every_peer_is_declared_with_its_loss_and_a_source():
    found = load()
    assert set(found) == set(PEERS)
    for name, (description, target) in found.items():
        assert description.loss == PEERS[name][0]
        assert description.failed is None
        assert inspect.getdoc(target)


@pytest.mark.parametrize("name", PEERS)
def test_a_missing_package_makes_it_unavailable_with_the_line_to_type(name, monkeypatch):
    def nothing(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", nothing)
    wanted = PEERS[name][1]
    assert load()[name][0].unavailable == f"needs {wanted}, which is not installed: pip install '{wanted}'"


def answers(loss, leaf, reduction):
    upstream = torch.tensor([0.5, -2.0, 1.0, 3.0, 0.0, 1.5]) if reduction == "none" else torch.tensor(-2.5)
    loss.backward(upstream.to(loss.dtype))
    return loss.detach(), leaf.grad


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
@pytest.mark.parametrize("ignore_index", [-100, 3])
@pytest.mark.parametrize("name", LIKE_TORCH)
def test_an_adapter_gives_what_torch_gives_through_the_package_s_own_signature(
    name, ignore_index, reduction, monkeypatch
):
    peers.install(monkeypatch)
    description, adapter = load()[name]
    if not description.supports("reduction"):
        if reduction != "mean":
            assert inspect.signature(adapter).parameters.keys() == {"logits", "target", "ignore_index"}
            return
        options = {}
    else:
        options = {"reduction": reduction}
    generator = torch.Generator().manual_seed(5)
    values = torch.randn(6, 7, generator=generator)
    target = torch.tensor([0, 3, 6, 2, 3, 1])
    target[1] = ignore_index
    mine, theirs = (values.clone().requires_grad_() for _ in range(2))
    loss, gradient = answers(adapter(mine, target, ignore_index=ignore_index, **options), mine, reduction)
    expected = F.cross_entropy(theirs, target, ignore_index=ignore_index, reduction=reduction)
    expected_loss, expected_gradient = answers(expected, theirs, reduction)
    assert loss.shape == expected_loss.shape
    torch.testing.assert_close(loss, expected_loss, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ["flash_attention", "apex", "transformer_engine"])
def test_label_smoothing_arrives(name, monkeypatch):
    peers.install(monkeypatch)
    logits, target = torch.randn(4, 5, generator=torch.Generator().manual_seed(1)), torch.tensor([0, -100, 2, 4])
    found = load()[name][1](logits, target, label_smoothing=0.2)
    torch.testing.assert_close(found, F.cross_entropy(logits, target, label_smoothing=0.2), rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", [*LIKE_TORCH, *LINEAR])
def test_the_loss_has_the_dtype_of_the_input(name, dtype, monkeypatch):
    peers.install(monkeypatch)
    target = torch.tensor([1, 0, 2])
    tensors = (torch.ones(3, 4, dtype=dtype),)
    if name in LINEAR:
        tensors = (*tensors, torch.ones(5, 4, dtype=dtype))
    assert load()[name][1](*tensors, target).dtype == dtype


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_adapter_gives_what_torch_gives(name, monkeypatch):
    peers.install(monkeypatch)
    generator = torch.Generator().manual_seed(9)
    hidden, weight = torch.randn(6, 8, generator=generator), torch.randn(5, 8, generator=generator)
    target = torch.tensor([0, 1, -100, 3, 4, 2])
    adapter = load()[name][1]
    for reduction in ("mean", "sum"):
        found = adapter(hidden, weight, target, reduction=reduction)
        expected = F.cross_entropy(F.linear(hidden, weight), target, reduction=reduction)
        torch.testing.assert_close(found, expected, rtol=1e-6, atol=0)
    if name == "quack_linear":
        with pytest.raises(ValueError, match="reduction"):
            adapter(hidden, weight, target, reduction="none")


def test_filtering_is_what_tells_cce_from_cce_exact(monkeypatch):
    peers.install(monkeypatch)
    asked = []

    def spy(e, c, targets, *, filter_eps, **options):
        asked.append(filter_eps)
        return peers.cut_linear_cross_entropy(e, c, targets, filter_eps=filter_eps, **options)

    import sys

    monkeypatch.setattr(sys.modules["cut_cross_entropy"], "linear_cross_entropy", spy)
    found, target = load(), torch.tensor([0, 1])
    for name in ("cce", "cce_exact"):
        found[name][1](torch.ones(2, 4), torch.ones(3, 4), target)
    assert asked == ["high", None]


def test_optax_is_not_asked_where_it_would_take_another_dimension_for_the_classes():
    with pytest.raises(ValueError, match=r"\(N, C\)"):
        load()["optax"][1](torch.ones(2, 3, 4), torch.zeros(2, 4, dtype=torch.int64))


def test_optax_agrees_where_jax_is_installed():
    pytest.importorskip("jax")
    pytest.importorskip("optax")
    adapter = load()["optax"][1]
    values = torch.randn(6, 7, generator=torch.Generator().manual_seed(5))
    target = torch.tensor([0, -100, 6, 2, 3, 1])
    for reduction in ("none", "mean", "sum"):
        mine, theirs = (values.clone().requires_grad_() for _ in range(2))
        loss, gradient = answers(adapter(mine, target, reduction=reduction), mine, reduction)
        expected = answers(F.cross_entropy(theirs, target, reduction=reduction), theirs, reduction)
        torch.testing.assert_close(loss, expected[0], rtol=1e-5, atol=0)
        torch.testing.assert_close(gradient, expected[1], rtol=1e-5, atol=1e-7)
