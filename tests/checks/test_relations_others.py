"""Relations of the losses beside cross-entropy: torch obeys them all, and each has a mutant that breaks it."""

from __future__ import annotations

import importlib

import pytest
import torch
import torch.nn.functional as F

from harness.core.case import Case
from harness.core.status import Status
from harness.losses.catalogue import families
from harness.mutants.catalogue import mutants
from tests.checks.judging import faults, judge

BCE, LOGITS = "binary_cross_entropy", "binary_cross_entropy_with_logits"
LOSSES = ("softmax", "log_softmax", "sigmoid", "nll_loss", "mse_loss", "kl_div", BCE, LOGITS)


#: Mutant → the relations that it breaks, each of a loss once.
BROKEN = {
    "softmax_kept_by_a_checksum": ("permuted", "permuted_lines"),
    "softmax_of_logits_up_to_8": ("shifted", "shifted_up", "at_most_one", "at_least_zero"),
    "softmax_from_a_maximum_of_zero": ("shifted_down",),
    "softmax_of_one_maximum": ("one_line",),
    "log_softmax_kept_by_a_checksum": ("permuted", "permuted_lines"),
    "log_softmax_of_logits_up_to_8": ("shifted", "shifted_up", "one_line"),
    "log_softmax_of_a_held_maximum": ("shifted_down",),
    "log_softmax_kept_above": ("at_most_one",),
    "sigmoid_kept_by_its_spread": ("mirrored", "raised", "lowered", "raised_far", "permuted"),
    "sigmoid_clipped": ("lowered_far", "at_most_one", "at_least_zero"),
    "sigmoid_of_zeros_is_padding": ("centre",),
    "nll_kept_by_its_shape": ("scaled", "scaled_down", "reversed_rows"),
    "nll_kept_below": ("scaled_far",),
    "nll_never_negative": ("negated", "shifted"),
    "nll_by_a_minimum": ("other_classes",),
    "nll_rows_beyond_a_tile": ("mean", "sum"),
    "nll_weight_normalised": ("weights",),
    "nll_gradient_in_ignored_rows": ("ignored",),
    "nll_mean_over_all": ("ignored_mean",),
    "nll_weighted_mean_over_count": ("weighted_mean",),
    "mse_gradient_kept_by_its_spread": ("swapped", "negated", "permuted"),
    "mse_within_1000": ("shifted",),
    "mse_by_the_largest": ("same",),
    "mse_kept_below": ("scaled",),
    "mse_of_small_is_padding": ("scaled_down",),
    "mse_entries_beyond_a_tile": ("mean", "sum"),
    "kl_div_kept_by_its_target": ("of_itself", "lowered", "permuted"),
    "kl_div_of_a_normalised_target": ("halved",),
    "kl_div_entries_beyond_a_tile": ("sum",),
    "log_target_ignored": ("log_target", "log_of_itself"),
    "batchmean_over_entries": ("batchmean",),
    "mean_is_batchmean": ("mean",),
    "bce_gradient_kept_by_a_checksum": ("mirrored", "permuted_rows"),
    "bce_of_certainty_is_nan": ("sure_and_right",),
    "log_without_a_clamp": ("sure_and_wrong",),
    "bce_weight_normalised": ("weights",),
    "bce_entries_beyond_a_tile": ("mean", "sum"),
    "bce_logits_kept_by_a_checksum": ("mirrored", "other_label", "permuted_rows"),
    "bce_logits_kept_within": ("at_least_linear",),
    "bce_logits_weight_normalised": ("weights",),
    "pos_weight_one_too_many": ("pos_weight_ones",),
    "bce_logits_entries_beyond_a_tile": ("mean", "sum"),
}
#: What no answer can break alone: both are sums or formulas of an answer whose every entry has been judged already.
IMPLIED = {"sums_to_one", "of_probabilities"}
MUTANTS = {mutant.name: mutant for mutant in mutants()}


# torch says of its own default for kl_div that it is no divergence
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("name", BROKEN)
def test_a_mutant_breaks_the_relations_it_is_meant_for(name):
    mutant = MUTANTS[name]
    function = getattr(importlib.import_module(mutant.reference.partition(":")[0]), name)
    assert set(BROKEN[name]) <= set(faults(judge(function, "relations", loss=mutant.loss)))


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("loss", LOSSES)
def test_every_relation_has_a_mutant_that_breaks_it(loss):
    asked = {verdict.variant for _, verdict in judge(TORCH[loss], "relations", loss=loss)} - {"", "start"}
    broken = {variant for name, variants in BROKEN.items() if MUTANTS[name].loss == loss for variant in variants}
    assert asked - broken <= IMPLIED
    assert broken <= asked


TORCH = {
    "softmax": lambda input, *, dim=1: F.softmax(input, dim),
    "log_softmax": lambda input, *, dim=1: F.log_softmax(input, dim),
    "sigmoid": torch.special.expit,
    "nll_loss": F.nll_loss,
    "mse_loss": F.mse_loss,
    "kl_div": F.kl_div,
    BCE: F.binary_cross_entropy,
    LOGITS: F.binary_cross_entropy_with_logits,
}


# torch says of its own default for kl_div that it is no divergence
@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
@pytest.mark.parametrize("loss", LOSSES)
def test_torch_obeys_every_relation(loss, dtype):
    found = judge(TORCH[loss], "relations", dtype=dtype, loss=loss)
    # bce's own floor of 1e-12 is 0 in float16, which is declared of it
    excused = {"sure_and_right", "sure_and_wrong"} if (loss, dtype) == (BCE, "float16") else set()
    assert set(faults(found)) <= excused
    assert Status.PASSED in {verdict.status for _, verdict in found}
    assert {case.loss for case, _ in found} == {loss}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_family_has_relations_of_its_own(loss):
    family = families()[loss]
    assert "relations" in family.checks
    assert list(family.cells("relations", Case(loss=loss, batch=2, classes=3), False))


def test_no_relation_compares_nothing():
    found = judge(TORCH["log_softmax"], "relations", loss="log_softmax")
    ratios = {verdict.variant: verdict.ratio for case, verdict in found if not case.options}
    assert 0.0 < (ratios["sums_to_one"] or 0.0) <= 1.0
