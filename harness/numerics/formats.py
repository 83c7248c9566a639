"""Floating-point formats: unit roundoff, ulp, correct rounding, and which dtype the oracle must use for each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from harness.core.errors import HarnessError

Array = np.ndarray[Any, np.dtype[Any]]

_EXPONENT_BITS = np.int64(0x7FF0000000000000)


class OraclePrecisionError(HarnessError):
    """This platform has no floating-point type precise enough to judge float64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A binary floating-point format with ``precision`` p significant bits and least normal exponent ``emin``."""

    name: str
    precision: int
    emin: int

    @property
    def u(self) -> float:
        """Unit roundoff 2^-p: the largest relative error of one rounding to nearest."""
        return 2.0**-self.precision

    @property
    def smallest_normal(self) -> float:
        """2^emin."""
        return 2.0**self.emin

    @property
    def largest(self) -> float:
        """The largest finite value, (2 - 2^(1-p)) 2^emax with emax = 1 - emin."""
        return (2.0 - 2.0 ** (1 - self.precision)) * 2.0 ** (1 - self.emin)

    @property
    def is_half(self) -> bool:
        """Whether this is a 16-bit format, whose implementations accumulate in float32."""
        return self.precision < 24

    @property
    def accumulation(self) -> Format:
        """The format in which a sound implementation accumulates: float32 for the 16-bit formats, else itself."""
        return FORMATS["float32"] if self.is_half else self


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "float64": Format(name="float64", precision=53, emin=-1022),
        "float32": Format(name="float32", precision=24, emin=-126),
        "float16": Format(name="float16", precision=11, emin=-14),
        "bfloat16": Format(name="bfloat16", precision=8, emin=-126),
    }
)


def ulp(values: Array, fmt: Format, *, ulps: float = 1.0, at_least: float = 0.0) -> Array:
    """``ulps`` · 2^(max(floor(log2 |y|), emin) - p + 1) of each float64 y, from its exponent bits; inf for inf and NaN.

    ``at_least`` is a lower bound of |values| that the caller knows: one pass is saved where no value can be subnormal.
    """
    bits = np.ascontiguousarray(values, dtype=np.float64).view(np.int64) & _EXPONENT_BITS
    power = np.asarray(bits).view(np.float64)
    if at_least < fmt.smallest_normal:
        power = np.maximum(power, fmt.smallest_normal)
    power *= ulps * 2.0 ** (1 - fmt.precision)
    return power.reshape(np.shape(values))


def round_to(values: Array, fmt: Format) -> Array:
    """Each value rounded once, to nearest and ties to even, into ``fmt``; a float64 array of representable values.

    ``values`` are float64, or np.longdouble when ``fmt`` is float64. Values that round beyond the largest become inf.
    """
    if fmt.name == "float64":
        with np.errstate(over="ignore"):
            return np.asarray(values, dtype=np.float64)
    unit = ulp(values, fmt)
    with np.errstate(invalid="ignore"):
        rounded = np.where(np.isfinite(values), np.rint(values / unit) * unit, values)
    return np.where(np.abs(rounded) > fmt.largest, np.copysign(np.inf, rounded), rounded)


def oracle_dtype(dtype: str) -> type[np.floating[Any]]:
    """The numpy type in which inputs of ``dtype`` are judged: float64, and np.longdouble for float64 itself.

    Raises:
        OraclePrecisionError: float64 was asked and this platform's long double is no wider than float64.
    """
    if dtype != "float64":
        return np.float64
    bits = np.finfo(np.longdouble).nmant
    if bits < 63:
        raise OraclePrecisionError(
            f"float64 cells need a long double of at least 64 significant bits, this platform has {bits + 1}\n"
            "  judge float64 on x86-64 Linux, or leave float64 out of the suite's dtype axis"
        )
    return np.longdouble
