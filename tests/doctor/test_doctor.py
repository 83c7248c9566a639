"""The doctor on made-up machines: noise tables, complaints, advice, and the whole command on a fake worker."""

from __future__ import annotations

import io
import json
import random

import pytest
from rich.console import Console

from harness.commands.doctor import doctor
from harness.core.errors import NothingToRunError
from harness.doctor.advice import advice
from harness.doctor.analyse import analyse


def times(noise=0.01, drift=0.3, rounds=800, planted=1.05, seed=0):
    draw, level, found = random.Random(seed), 0.0, {"baseline": [], "twin": [], "planted": []}
    for _ in range(rounds):
        level = 0.95 * level + drift * 0.3 * draw.gauss(0, 1)
        for name, factor in (("baseline", 1.0), ("twin", 1.0), ("planted", planted)):
            found[name].append(1e6 * factor * 2.718 ** (level + draw.gauss(0, noise)))
    return found


def test_a_quiet_machine_sees_five_per_cent_and_raises_no_alarm():
    noise = analyse(times(rounds=900), threads=1, round_seconds=0.006)
    assert noise.complaint == ""
    assert noise.planted == pytest.approx(0.05, abs=0.005)
    assert noise.raw_sigma > 5 * noise.sigma
    assert noise.drift > 0.5
    assert [row.seconds for row in noise.spent] == [0.1, 0.25, 0.5, 1.0, 2.0, 5.0]
    assert all(row.false_alarms == 0 for row in noise.spent)
    assert noise.spent[-1].found == 1.0
    assert noise.spent[-1].detectable < noise.spent[0].detectable


def test_a_noisy_machine_is_told_plainly():
    noise = analyse(times(noise=0.5), threads=2, round_seconds=0.006)
    assert "cannot be seen in 1 s" in noise.complaint


def test_a_machine_that_fits_too_few_rounds_says_so():
    assert "too few" in analyse(times(rounds=5), threads=1, round_seconds=1.0).complaint


def test_advice_follows_what_was_found():
    quiet, loud = (analyse(times(noise=n), threads=t, round_seconds=0.006) for n, t in ((0.01, 1), (0.2, 2)))
    facts = {
        "cores": 2, "load_average": [3.0, 1, 1], "steal_share": 0.1, "governor": "powersave", "turbo": True,
        "allocator": {"name": "glibc", "transparent_huge_pages": "madvise"}, "cuda": [{"name": "GPU"}], "clocks": {},
    }  # fmt: skip
    text = "\n".join(advice(facts, [loud, quiet]))
    for wanted in ("other work is running", "taskset", "host took 10%", "cpupower", "turbo", "THP_MEM", "nvidia-ml-py"):
        assert wanted in text


def test_a_machine_with_nothing_to_mend_gets_no_advice():
    one = analyse(times(), threads=1, round_seconds=0.006)
    allocator = {"name": "glibc", "transparent_huge_pages": "always"}
    assert advice({"cores": 64, "load_average": [0.1], "allocator": allocator, "governor": "performance"}, [one]) == []


class FakeWorkers:
    """A machine with one kind of noise."""

    def __init__(self, noise):
        self.noise, self.closed = noise, False

    def start(self, **_):
        return self

    def close(self):
        self.closed = True

    def request(self, job, *, timeout_s):
        rates = {"float32": {"read": 5e10, "write": 3e10, "copy": 4e10}}
        level = {"dtypes": rates, "best": 5e10, "best_read": 5e10}
        if job["job"] == "device":
            yield {"cuda": [], "torch": "2.13"}
        elif "ceilings" in job["tasks"]:
            flops = {"float32": 1e12}
            yield {
                "ceilings": {
                    "threads": 2,
                    "memory": level,
                    "cache": level,
                    "page_fault_ns": 250.0,
                    "flops_per_s": flops,
                }
            }
        else:
            yield {"noise": times(noise=self.noise), "sampled_seconds": 800 * 0.009}


@pytest.mark.parametrize(("noise", "code", "word"), [(0.01, 0, "quiet enough"), (0.5, 4, "too noisy")])
def test_the_command_prints_everything_and_says_whether_the_machine_will_do(tmp_path, noise, code, word):
    stream, workers = io.StringIO(), FakeWorkers(noise)
    console = Console(file=stream, width=100, color_system=None)
    assert doctor(console=console, json_path=tmp_path / "d.json", workers=workers) == code
    text = stream.getvalue()
    for wanted in (
        "processor",
        "clock",
        "versions",
        "ceilings of cpu",
        "false alarms",
        "smallest slowdown",
        "0.25 µs",
        word,
    ):
        assert wanted in text
    assert json.loads((tmp_path / "d.json").read_text()).keys() == {"device", "facts", "ceilings", "noise", "advice"}
    assert workers.closed


def test_a_device_that_is_not_there_is_refused_by_name():
    with pytest.raises(NothingToRunError, match="no cuda here"):
        doctor(device="cuda", console=Console(file=io.StringIO()), workers=FakeWorkers(0.01))


def test_more_seconds_than_rounds_are_taken_make_longer_samples():
    noise = analyse(times(rounds=4000), threads=1, round_seconds=0.001)
    by_seconds = {row.seconds: row for row in noise.spent}
    assert by_seconds[1.0].rounds == 1000
    assert by_seconds[2.0].rounds == 1000
    assert by_seconds[2.0].detectable < by_seconds[1.0].detectable
