from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.hardware.interpreter import interpreter_reason
from harness.registry.load import load_source
from harness.registry.sources import parse_reference
from tests.implementations.fused_triton_interpreted import CHECKS, IMPLEMENTATION

ROOT = Path(__file__).parents[2]


def in_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=900, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def interpreted() -> dict[str, str | None]:
    if (reason := interpreter_reason()) is not None:
        pytest.skip(reason)
    # a process of its own: TRITON_INTERPRET is read when the kernels are defined and would bind the whole test run
    done = in_python("-m", "tests.implementations.fused_triton_interpreted", TRITON_INTERPRET="1")
    assert done.returncode == 0, done.stderr
    assert "RuntimeWarning" not in done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", list(CHECKS))
def test_interpreted(name, interpreted):
    assert interpreted[name] is None, interpreted[name]


def test_the_declaration_needs_no_triton():
    code = (
        "import sys; sys.modules['triton'] = None\n"
        "from pathlib import Path\n"
        "from harness.registry.load import load_source\n"
        "from harness.registry.sources import parse_reference\n"
        f"print([found[0].name for found in load_source(parse_reference({str(IMPLEMENTATION)!r}, Path.cwd()))])"
    )
    done = in_python("-c", code)
    assert "'fused_triton', 'fused_triton_recompute'" in done.stdout, done.stderr


def test_a_cpu_tensor_without_the_interpreter_is_refused():
    pytest.importorskip("triton")
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("this test run is interpreted")
    function = load_source(parse_reference(str(IMPLEMENTATION), ROOT))[0][1]
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET=1"):
        function(torch.randn(2, 3), torch.tensor([0, 1]))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> list[dict]:
    pytest.importorskip("triton.backends.nvidia.compiler")
    environment = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path_factory.mktemp("triton"))}
    done = in_python("-m", "tests.implementations.fused_triton_compiled", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_kernel_and_way_of_the_plan_compiles_for_a_gpu_that_is_not_here(compiled):
    kernels = {result["call"] for result in compiled if result["kernel"] == "small"}
    assert kernels == {"divisor_kernel", "sum_kernel", "target_gradient_kernel", "weight_gradient_kernel"}
    ways = {(result["kernel"], result.get("finish")) for result in compiled}
    assert ways >= {("rows", "alone"), ("sweep", "alone"), ("sweep", "last"), ("sweep", "wait"), ("sweep", "saved")}


def test_what_the_plan_chooses_spills_no_register_on_sm_90(compiled):
    chosen = [result for result in compiled if result.get("strategy") == "auto"]
    assert len(chosen) >= 18
    spilling = [result for result in chosen if result["spilled_bytes"]]
    assert not spilling, spilling


def test_programs_that_wait_for_one_another_get_no_more_registers_than_planned(compiled):
    waiting = [result for result in compiled if result.get("finish") == "wait"]
    assert waiting
    for result in waiting:
        assert result["registers"] <= result["max_registers"], result
        together = -(-result["programs"] // 132)
        assert together * result["registers"] * result["threads"] <= 65536, result
        assert together * result["shared_bytes"] <= 227 * 1024, result


def test_long_rows_are_read_and_written_16_bytes_at_a_time_wherever_they_start(compiled):
    long = [result for result in compiled if result["kernel"] == "sweep" and not result["options"]]
    assert any(result["odd"] for result in long)
    for result in long:
        assert result["wide_loads"] > 0, result
        assert (result["wide_stores"] > 0) == (result["step"] != "forward"), result


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
class TestOnCuda:
    @pytest.fixture
    def function(self):
        pytest.importorskip("triton")
        return load_source(parse_reference(str(IMPLEMENTATION), ROOT))[0][1]

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("shape", [(5, 10), (300, 3), (4, 1000, 3), (64, 32000), (3, 50257)])
    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    @pytest.mark.parametrize("probability", [False, True])
    def test_agrees_with_float64(self, function, dtype, shape, smoothing, probability):
        generator = torch.Generator("cuda").manual_seed(0)
        logits = torch.randn(shape, device="cuda", generator=generator).to(dtype).requires_grad_()
        if probability:
            target = torch.randn(shape, device="cuda", generator=generator).softmax(1).to(dtype)
        else:
            target = torch.randint(shape[1], (shape[0], *shape[2:]), device="cuda", generator=generator)
        wide = logits.detach().double().requires_grad_()
        loss = function(logits, target, label_smoothing=smoothing)
        exact = F.cross_entropy(wide, target.double() if probability else target, label_smoothing=smoothing)
        loss.backward()
        exact.backward()
        close = {"rtol": 2 * torch.finfo(dtype).eps + 1e-6 * (dtype != torch.float64), "atol": 1e-7}
        torch.testing.assert_close(loss.double(), exact, **close)
        torch.testing.assert_close(logits.grad.double(), wide.grad, **close)

    def test_makes_no_host_sync(self, function):
        logits = torch.randn(64, 1000, device="cuda", requires_grad=True)
        target = torch.randint(1000, (64,), device="cuda")
        weight = torch.rand(1000, device="cuda")
        function(logits, target, weight=weight).backward()
        torch.cuda.set_sync_debug_mode("error")
        try:
            function(logits, target, weight=weight).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def test_offsets_go_beyond_32_bits(self, function):
        rows, classes = 2**31 // 65536 + 8, 65536
        if torch.cuda.mem_get_info()[0] < 4 * rows * classes * 2:
            pytest.skip("needs 16 GiB of free device memory")
        logits = torch.zeros(rows, classes, device="cuda", dtype=torch.float16)
        logits[-1, -1] = 20.0
        target = torch.full((rows,), classes - 1, device="cuda")
        loss = function(logits, target, reduction="none")
        torch.testing.assert_close(
            loss[-4:-1].double(), torch.full((3,), 11.0904, device="cuda").double(), rtol=1e-3, atol=0
        )
        assert loss[-1].item() < 1e-3
