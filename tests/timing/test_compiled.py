"""The recompile counter, and the limit beyond which torch would silently run eager code."""

from __future__ import annotations

import pytest

from harness.core.case import Case
from harness.core.compiling import compile_key
from harness.timing.compiled import (
    compiled_graphs,
    fresh_compile,
    is_recompile_limit,
    recompile_limit,
    refuse_eager,
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_function_that_is_compiled_for_every_shape_is_counted_and_stopped_at_the_limit():
    import torch._dynamo

    function = torch.compile(lambda x: x * 2 + 1, dynamic=False, backend="eager")
    fresh_compile()
    for size in range(2, 2 + recompile_limit()):
        function(torch.ones(size))
    assert compiled_graphs() == recompile_limit()
    with pytest.raises(Exception, match="recompile_limit") as stopped:
        function(torch.ones(100))
    assert is_recompile_limit(stopped.value)
    fresh_compile()
    assert compiled_graphs() == 0


def test_other_errors_are_no_recompile_limit():
    assert not is_recompile_limit(RuntimeError("expected a tensor"))


def test_cells_that_differ_in_values_share_their_graphs():
    case = Case(batch=4, classes=5, regime="normal")
    assert compile_key(case) == compile_key(Case(batch=4, classes=5, regime="confident", pass_="forward", seed=3))
    assert compile_key(case) != compile_key(Case(batch=5, classes=5))


def test_without_the_compiler_loaded_there_is_nothing_to_do():
    refuse_eager()
    assert compiled_graphs() >= 0
