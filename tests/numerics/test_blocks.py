import numpy as np
import pytest
import torch

from harness.numerics.blocks import blocks, class_rows, flat_rows, full_index, row_index


@pytest.mark.parametrize("limit", [1, 7, 24, 10**6])
@pytest.mark.parametrize("shape", [(5, 3), (1, 40), (4, 3, 5), (2, 3, 4, 5), (3, 2, 1, 6)])
def test_blocks_cover_every_row_once_in_order(shape, limit):
    tensor = torch.arange(int(np.prod(shape))).reshape(shape).double()
    expected = tensor.movedim(1, -1).reshape(-1, shape[1]).numpy()
    found, stop = [], 0
    for block in blocks(shape, limit):
        assert block.start == stop
        stop = block.stop
        found.append(class_rows(tensor, block, np.float64))
        assert len(found[-1]) == block.stop - block.start
    assert np.array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("shape", [(0, 3), (2, 3, 0)])
def test_no_rows_no_blocks(shape):
    assert list(blocks(shape)) == []


def test_strided_tensors_and_bfloat16_convert_exactly():
    tensor = torch.randn(7, 12, dtype=torch.float32).to(torch.bfloat16).T[:, 1:6:2]
    (block,) = blocks(tensor.shape)
    assert np.array_equal(class_rows(tensor, block, np.longdouble).astype(np.float64), tensor.double().numpy())


def test_indices_point_into_the_tensors_own_shape():
    logits, rows = torch.randn(2, 3, 4, 5), torch.randn(2, 4, 5)
    (block,) = blocks(logits.shape)
    assert class_rows(logits, block, np.float64)[33, 2] == logits[full_index(logits.shape, 33, 2)].item()
    assert flat_rows(rows, np.float64)[33] == rows[row_index(logits.shape, 33)].item()
