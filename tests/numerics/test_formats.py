import math

import numpy as np
import pytest
import torch

from harness.numerics import formats
from harness.numerics.formats import FORMATS, OraclePrecisionError, oracle_dtype, round_to, ulp


@pytest.mark.parametrize("name", FORMATS)
def test_constants_are_those_of_torch(name):
    info, fmt = torch.finfo(getattr(torch, name)), FORMATS[name]
    assert (fmt.largest, fmt.smallest_normal, 2 * fmt.u) == (info.max, info.tiny, info.eps)


@pytest.mark.parametrize("name", ["float64", "float32"])
def test_ulp_is_the_spacing_of_the_format(name):
    values = np.array([1.0, 1.5, 2.0, 3e-39, 1e-45, 0.0, 1e30, 7.1e-12], dtype=name)
    assert np.array_equal(ulp(values.astype(np.float64), FORMATS[name]), np.spacing(values).astype(np.float64))


def test_ulp_of_half_formats_below_and_above_the_least_normal():
    assert ulp(np.array([65504.0, 1.0, 2.0**-14, 2.0**-20]), FORMATS["float16"]).tolist() == [
        32,
        2**-10,
        2**-24,
        2**-24,
    ]
    assert ulp(np.array([-1.0, 1e-40]), FORMATS["bfloat16"]).tolist() == [2**-7, 2**-133]


def test_ulp_of_what_is_not_finite_is_inf():
    assert np.isinf(ulp(np.array([np.inf, -np.inf]), FORMATS["float32"])).all()


@pytest.mark.parametrize("name", ["float32", "float16", "bfloat16"])
def test_rounding_is_to_nearest_even_once(name):
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.standard_normal(4000) * 10.0 ** rng.integers(-42, 5, 4000), [0.0, math.inf, math.nan]])
    single = values.astype(np.float32)  # exact in float32 first: torch rounds float64 to bfloat16 twice
    expected = torch.from_numpy(single).to(getattr(torch, name)).double().numpy()
    assert np.array_equal(round_to(single.astype(np.float64), FORMATS[name]), expected, equal_nan=True)


def test_rounding_to_bfloat16_is_not_done_twice():
    just_above_a_tie = 1.0 + 2.0**-8 + 2.0**-40
    assert round_to(np.array([just_above_a_tie]), FORMATS["bfloat16"])[0] == 1.0 + 2.0**-7


def test_rounding_beyond_the_largest_is_inf():
    assert round_to(np.array([65519.0, 65520.0, -1e6]), FORMATS["float16"]).tolist() == [65504.0, math.inf, -math.inf]


def test_float64_needs_a_wide_long_double(monkeypatch):
    assert oracle_dtype("bfloat16") is np.float64
    assert oracle_dtype("float64") is np.longdouble
    monkeypatch.setattr(formats.np, "longdouble", np.float64)
    with pytest.raises(OraclePrecisionError, match="at least 64 significant bits, this platform has 53"):
        oracle_dtype("float64")
