"""Whether kernels can be interpreted, told from the versions of triton and numpy and never from a failing kernel."""

from importlib import metadata

import pytest

from harness.hardware import interpreter


@pytest.fixture(autouse=True)
def _asked_anew():
    interpreter.interpreter_reason.cache_clear()
    yield
    interpreter.interpreter_reason.cache_clear()


def installed(monkeypatch, version, counts):
    monkeypatch.setattr(interpreter.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(metadata, "version", lambda name: version)
    monkeypatch.setattr(interpreter, "_array_of_one_counts", lambda: counts)


@pytest.mark.parametrize(("version", "counts"), [("3.6.0", True), ("3.7.0", False), ("3.9.0", True)])
def test_a_pair_that_works_has_no_reason(monkeypatch, version, counts):
    installed(monkeypatch, version, counts)
    assert interpreter.interpreter_reason() is None


def test_an_old_triton_with_a_new_numpy_is_told_with_the_line_to_type(monkeypatch):
    installed(monkeypatch, "3.6.0", False)
    reason = interpreter.interpreter_reason()
    assert reason is not None
    assert "triton 3.6.0 cannot interpret" in reason
    assert "pip install 'triton>=3.7'" in reason


def test_no_triton_is_told_with_the_line_to_type(monkeypatch):
    monkeypatch.setattr(interpreter.importlib.util, "find_spec", lambda name: None)
    assert "pip install 'loss-harness[gpu]'" in str(interpreter.interpreter_reason())


def test_what_numpy_does_is_asked_of_numpy():
    import numpy as np

    try:
        int(np.ones(1, dtype=np.int32))
        works = True
    except TypeError:
        works = False
    assert interpreter._array_of_one_counts() is works
