import pytest
import torch

from harness.core.case import DTYPES, Case
from harness.inputs.build import build_inputs
from harness.inputs.catalogue import LAYOUTS

SHAPES = [(6, 10, ()), (4, 64, ()), (6, 10, (3,)), (2, 5, (3, 4))]


def built(shape, layout, **axes):
    batch, classes, dims = shape
    return build_inputs(Case(batch=batch, classes=classes, dims=dims, layout=layout, **axes))


def storage(tensor):
    """Everything in the memory that ``tensor`` is a view of."""
    return torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "contiguous"])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("target", ["uniform", "probability", "one_hot"])
def test_every_layout_holds_the_values_of_the_contiguous_one(shape, layout, target):
    plain, other = built(shape, "contiguous", target=target), built(shape, layout, target=target)
    assert plain.logits.is_contiguous()
    assert not other.logits.is_contiguous()
    assert torch.equal(plain.logits, other.logits)
    assert torch.equal(plain.target, other.target)


@pytest.mark.parametrize(
    ("shape", "layout", "strides"),
    [
        (SHAPES[0], "padded", (64, 1)),
        (SHAPES[1], "padded", (128, 1)),
        (SHAPES[2], "padded", (64 * 3, 3, 1)),
        (SHAPES[0], "transposed", (1, 6)),
        (SHAPES[2], "transposed", (30, 1, 10)),
        (SHAPES[3], "transposed", (60, 1, 20, 5)),
        (SHAPES[0], "sliced", (20, 1)),
        (SHAPES[2], "sliced", (60, 3, 1)),
    ],
)
def test_layouts_have_the_strides_they_claim(shape, layout, strides):
    assert built(shape, layout).logits.stride() == strides


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["padded", "sliced"])
@pytest.mark.parametrize("shape", SHAPES)
def test_gaps_hold_nan(shape, layout, dtype):
    logits = built(shape, layout, dtype=dtype).logits
    memory = storage(logits)
    assert memory.numel() > logits.numel()
    assert memory.isnan().sum() == memory.numel() - logits.numel()


def test_sliced_index_targets_are_strided_over_other_classes_in_range():
    target = built((6, 10, (3,)), "sliced", ignored=0.5).target
    assert target.stride() == (6, 1)
    between = storage(target).view(12, 3)[1::2]
    assert ((between >= 0) & (between < 10)).all()
    assert (between != target).all()
