"""Stolen time and the allocator, from files that a test writes."""

from __future__ import annotations

from pathlib import Path

from harness.hardware.gpu import gpu_clocks, throttle_reader
from harness.hardware.host import allocator_mode
from harness.hardware.noise import steal_share, steal_ticks


def test_stolen_time_is_a_share_of_all_time(tmp_path: Path):
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 0 10 70 0 0 0 10 5 5\ncpu0 1\n")
    before = steal_ticks(stat)
    stat.write_text("cpu  10 0 10 140 0 0 0 40 5 5\n")
    assert before == (10, 100)
    assert steal_share(before, steal_ticks(stat)) == 0.3


def test_a_system_that_does_not_tell_steals_nothing(tmp_path: Path):
    assert steal_share((0, 0), steal_ticks(tmp_path / "missing")) == 0.0


def test_the_allocator_is_named(tmp_path: Path):
    pages = tmp_path / "enabled"
    pages.write_text("always [madvise] never\n")
    assert allocator_mode({}, pages) == {"name": "glibc", "transparent_huge_pages": "madvise", "variables": {}}
    assert allocator_mode({"MALLOC_TOP_PAD_": "1"}, pages)["name"] == "glibc tuned"
    assert allocator_mode({"LD_PRELOAD": "libjemalloc.so"}, pages)["name"] == "preloaded"


def test_the_cpu_never_throttles_and_has_no_gpu_clocks():
    assert throttle_reader("cpu")()
    assert isinstance(gpu_clocks(), dict)
