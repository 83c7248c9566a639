"""Which implementations are asked again after their samples."""

from harness.worker.timer import may_keep_results


def test_one_short_sample_among_long_ones_is_enough_to_be_asked():
    assert may_keep_results([120e6, 150e6, 3e4, 130e6])


def test_who_was_long_throughout_is_not_asked():
    assert not may_keep_results([120e6, 150e6, 130e6])
