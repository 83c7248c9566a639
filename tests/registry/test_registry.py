"""References, signatures, requirements, conflicts, and which options a call gets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.core.case import Case
from harness.core.errors import UnknownReferenceError, UsageError
from harness.core.implementation import Implementation
from harness.losses.catalogue import families
from harness.registry.call import call_options
from harness.registry.declare import collect, implementation
from harness.registry.load import load_source, missing_requirement, signature_options
from harness.registry.select import by_name, select
from harness.registry.sources import Source, discover, is_reference, parse_reference
from harness.registry.support import unsupported_reason

FAMILY = families()["cross_entropy"]
CASE = Case(batch=4, classes=5)


def described(name: str, **values: object) -> Implementation:
    return Implementation(name=name, loss="cross_entropy", reference=f"m:{name}", **values)


@pytest.mark.parametrize("text", ["a.py", "a.py:f", "m:f", "folder/a.py:f", "torch.nn:CrossEntropyLoss"])
def test_references_are_told_from_names(text):
    assert is_reference(text)


@pytest.mark.parametrize("text", ["torch", "fused_*", "*"])
def test_names_and_globs_are_no_references(text):
    assert not is_reference(text)


def test_a_reference_to_a_file_is_relative_to_its_base(tmp_path):
    (tmp_path / "a.py").write_text("")
    assert parse_reference("a.py:f", tmp_path) == Source(
        kind="file", target=str(tmp_path / "a.py"), callable="f", text="a.py:f"
    )


def test_a_file_that_is_not_there_is_told_with_what_is_allowed(tmp_path):
    with pytest.raises(UnknownReferenceError, match=r"no such file.*\n.*path\.py:callable"):
        parse_reference("a.py:f", tmp_path)


def test_the_bundled_folder_is_found_from_anywhere_and_gives_way_to_this_projects(tmp_path):
    names = {Path(source.target).stem for source in discover(tmp_path)}
    assert {"naive", "torch_eager", "fused_triton"} <= names
    root = Path(__file__).resolve().parents[2]
    assert {source.origin for source in discover(root)} == {"folder"}


def test_a_missing_callable_names_those_there(plugins):
    with pytest.raises(UnknownReferenceError, match="drops_weights_from_mean"):
        load_source(parse_reference("losses.py:nothing", plugins))


def test_a_file_that_registers_nothing_names_its_callables(plugins):
    with pytest.raises(UnknownReferenceError, match="registers no implementation"):
        load_source(parse_reference("losses.py", plugins))


@pytest.mark.parametrize("name", ["right", "AsModule", "instance"])
def test_functions_modules_and_instances_are_described_by_their_signature(plugins, name):
    ((description, _),) = load_source(parse_reference(f"losses.py:{name}", plugins))
    assert description.name == name
    assert description.supports("weight") is (name != "instance")


def test_options_of_a_signature():
    def loss(logits, target, reduction="mean", *, weight=None, z=1):
        """A loss."""

    assert signature_options(loss) == (("reduction", "weight", "z"), {"reduction": "mean", "weight": None, "z": 1})
    assert signature_options(lambda logits, target, **options: None) == (None, {})
    assert signature_options(torch.nn.CrossEntropyLoss)[0][0] == "weight"


@pytest.mark.parametrize(
    ("requires", "reason"),
    [
        (("torch",), None),
        (("torch>=1",), None),
        (("torch>=99",), "pip install 'torch>=99'"),
        (("package-that-nobody-has>=2",), "pip install 'package-that-nobody-has>=2'"),
        (("not a requirement!",), "cannot read"),
    ],
)
def test_requirements(requires, reason):
    found = missing_requirement(requires)
    assert (found is None) if reason is None else (reason in found)


def test_two_of_one_name_with_different_content_are_refused(tmp_path):
    for folder, text in (("a", "x = 1\n"), ("b", "x = 2\n")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "f.py").write_text(text)
    one, other = (
        replace(described("same"), reference=str(tmp_path / folder / "f.py"), source=f"{folder}/f.py")
        for folder in "ab"
    )
    with pytest.raises(UnknownReferenceError, match=r"a/f\.py\n.*b/f\.py"):
        by_name([one, other])
    (tmp_path / "b" / "f.py").write_text("x = 1\n")
    assert by_name([one, other]) == {"same": one}


def test_selection_keeps_the_order_asked_and_takes_each_once():
    named = by_name([described("naive"), described("torch"), described("torch_compile")])
    assert [i.name for i in select(["torch*", "naive", "torch"], named, {})] == ["torch", "torch_compile", "naive"]


def test_an_unknown_name_gets_the_closest():
    with pytest.raises(UnknownReferenceError, match="did you mean torch"):
        select(["tourch"], by_name([described("torch")]), {})


@pytest.mark.parametrize(
    ("changes", "case", "reason"),
    [
        ({}, CASE, None),
        ({"options": ()}, CASE, None),
        ({"options": ()}, replace(CASE, reduction="sum"), "reduction"),
        ({"options": ("reduction",)}, replace(CASE, ignored=0.5), "ignore_index"),
        ({"options": ("reduction",)}, replace(CASE, weight="skewed"), "weight"),
        ({"devices": ("cuda",)}, CASE, "no device cpu"),
        ({"devices": ("cuda",)}, replace(CASE, device="cuda:1"), None),
        ({"dtypes": ("float32",)}, replace(CASE, dtype="float64"), "no dtype float64"),
        ({"targets": ("index",)}, replace(CASE, target="one_hot"), "no target probability"),
        ({}, replace(CASE, loss="mse_loss"), "not mse_loss"),
    ],
)
def test_what_an_implementation_cannot_be_asked(changes, case, reason):
    found = unsupported_reason(described("x", **changes), case, FAMILY)
    assert (found is None) if reason is None else (reason in found)


def test_an_option_at_its_default_is_left_out_so_that_the_own_default_is_judged():
    assert call_options(described("x"), CASE, FAMILY, {}) == {}


def test_an_option_whose_own_default_differs_is_passed():
    odd = described("x", options=("reduction", "ignore_index"), defaults={"reduction": "none", "ignore_index": -1})
    assert call_options(odd, CASE, FAMILY, {}) == {"reduction": "mean", "ignore_index": -100}


def test_options_that_the_case_sets_are_passed():
    case = replace(CASE, reduction="sum", weight="skewed", label_smoothing=0.1)
    assert call_options(described("x"), case, FAMILY, {"weight": "W"}) == {
        "reduction": "sum",
        "weight": "W",
        "label_smoothing": 0.1,
    }


@pytest.mark.parametrize(
    "arguments",
    [{"devices": "cpu"}, {"devices": ("tpu",)}, {"dtypes": ("fp32",)}, {"targets": ("soft",)}, {"expect": {"a[": "b"}}],
)
def test_a_declaration_with_unknown_words_is_refused(arguments):
    with pytest.raises(UsageError):
        implementation("x", **arguments)


def test_declarations_are_collected_while_a_plugin_loads_and_only_then():
    def load():
        @implementation("inside")
        def loss(logits, target):
            """A loss."""

    _, found = collect(load)
    assert [d.name for d in found] == ["inside"]
    _, none = collect(lambda: None)
    assert none == []
