"""The largest batch, on fake workers of a known size and once on real ones that run out of memory."""

from __future__ import annotations

import pytest

from harness.core.case import Case
from harness.core.errors import NothingToRunError
from harness.core.implementation import Implementation
from harness.core.status import Status
from harness.runner.fitting import fit_batch
from harness.runner.survey import survey
from harness.worker.process import WorkerLostError

MINE = Implementation(name="mine", loss="cross_entropy", reference="m:mine")
CASE = Case(batch=1, classes=1000)


class Machine:
    """Workers on a machine that holds ``rows`` rows; beyond them a call raises, or the kernel ends the process."""

    def __init__(self, rows, *, ends=False, free=0, raises=""):
        self.rows, self.ends, self.free, self.raises, self.asked, self.limits = rows, ends, free, raises, [], []

    def start(self, *, environment, memory_bytes=None, fresh=False):
        self.limits.append(memory_bytes)
        return self

    def request(self, job, *, timeout_s):
        if job["probe"]:
            yield {"per_row_bytes": 10.0, "own_bytes": 1000, "free_bytes": self.free}
            return
        batch = job["case"]["batch"]
        self.asked.append(batch)
        if self.raises:
            yield {"raised": self.raises}
        elif batch > self.rows and self.ends:
            raise WorkerLostError(Status.CRASHED, "killed", "call")
        else:
            yield {"fits": batch <= self.rows}

    def close(self):
        pass


def fitted(machine, limit=2000, case=CASE):
    return fit_batch(
        MINE, case, limit_bytes=limit, default_bytes=4000, threads=1, seconds=10.0, workers=machine
    )  # fmt: skip


@pytest.mark.parametrize("ends", [False, True])
@pytest.mark.parametrize("rows", [60, 100, 350])
def test_an_estimate_is_mended_by_trials_that_may_end_their_process(rows, ends):
    machine = Machine(rows, ends=ends)
    found = fitted(machine)
    assert found.fit.estimated == 100
    assert machine.asked[0] == 100
    assert rows / 1.06 <= found.fit.batch <= rows


def test_without_a_limit_it_is_what_is_free():
    assert fitted(Machine(10**9), limit=None).limit_bytes == 4000
    on_gpu = Machine(10**9, free=8000)
    assert fitted(on_gpu, limit=None, case=Case(batch=1, classes=1000, device="cuda")).limit_bytes == 8000
    assert set(on_gpu.limits) == {None}


def test_a_call_that_fails_otherwise_is_no_matter_of_memory():
    with pytest.raises(NothingToRunError, match="mine on 100 rows: no"):
        fitted(Machine(5, raises="no"))


@pytest.mark.slow
def test_a_real_call_that_needs_more_fits_fewer_rows(workers, plugins):
    chosen = survey(workers, ("torch", "naive"), plugins.parents[2]).select(("torch", "naive"))
    found = {
        one.name: fit_batch(
            one, Case(batch=1, classes=4000), limit_bytes=1 << 30, default_bytes=0, threads=1, seconds=60.0,
            workers=workers,
        )
        for one in chosen
    }  # fmt: skip
    assert found["naive"].per_row_bytes > 1.2 * found["torch"].per_row_bytes
    assert 0 < found["naive"].fit.batch < found["torch"].fit.batch
    for one in found.values():
        assert 0.8 < one.fit.batch / one.fit.estimated < 1.25
