from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from harness.registry.load import load_source
from harness.registry.sources import parse_reference
from tests.implementations.fused_triton_interpreted import CHECKS, IMPLEMENTATION

ROOT = Path(__file__).parents[2]


def in_python(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, timeout=300, check=False, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip


@pytest.fixture(scope="module")
def interpreted() -> dict[str, str | None]:
    pytest.importorskip("triton")
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
        f"print(load_source(parse_reference({str(IMPLEMENTATION)!r}, Path.cwd()))[0][0].name)"
    )
    done = in_python("-c", code)
    assert done.stdout.strip() == "fused_triton", done.stderr


def test_a_cpu_tensor_without_the_interpreter_is_refused():
    pytest.importorskip("triton")
    if os.environ.get("TRITON_INTERPRET") == "1":
        pytest.skip("this test run is interpreted")
    function = load_source(parse_reference(str(IMPLEMENTATION), ROOT))[0][1]
    with pytest.raises(RuntimeError, match="TRITON_INTERPRET=1"):
        function(torch.randn(2, 3), torch.tensor([0, 1]))


COMPILE = """
import sys
import triton, triton.language as tl
from pathlib import Path
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
sys.path.insert(0, str(Path({folder!r}).parent))
from fused_triton import kernels

def compile(kernel, dtype, **constants):
    accumulator = "fp64" if dtype == "fp64" else "fp32"
    constants["ACC"] = getattr(tl, {{"fp64": "float64", "fp32": "float32"}}[accumulator])
    kinds = {{"target": dtype if constants.get("PROBABILITY", True) else "i64", "loss": dtype, "upstream": "fp64"}}
    kinds |= dict.fromkeys(("logits", "weight", "grad"), dtype)
    kinds |= dict.fromkeys(("row_max", "row_others", "row_mass", "row_weight", "partial"), accumulator)
    signature = {{}}
    for name in kernel.arg_names:
        pointer = "i64" if name.endswith("_offsets") else kinds.get(name)
        signature[name] = "constexpr" if name in constants else f"*{{pointer}}" if pointer else "i32"
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    assert triton.compile(source, target=GPUTarget("cuda", 90, 32), options={{"num_warps": 8}}).asm["cubin"]

plain = dict(SPREAD=0.0, KEEP=1.0, PROBABILITY=False, MASS=False, WEIGHTED=False, LOGITS_GATHERED=False,
             TARGET_GATHERED=False, ROWS=1, BLOCK=4096)
full = dict(SPREAD=0.01, KEEP=0.9, PROBABILITY=True, MASS=True, WEIGHTED=True, LOGITS_GATHERED=True,
            TARGET_GATHERED=True, ROWS=128, BLOCK=16)
ones = dict(inner=1, logits_class=1, target_class=1)
compile(kernels.forward_kernel, "bf16", **plain, **ones)
compile(kernels.forward_kernel, "fp64", C=1, **full)
compile(kernels.logits_gradient_kernel, "bf16", GRAD_GATHERED=False, grad_class=1, **plain, **ones)
compile(kernels.logits_gradient_kernel, "fp64", GRAD_GATHERED=True, **dict(full, PROBABILITY=False))
shape = dict(LOGITS_GATHERED=True, ROWS=8, BLOCK=1024)
compile(kernels.target_gradient_kernel, "fp32", KEEP=0.9, WEIGHTED=True, GRAD_GATHERED=True, **shape)
compile(kernels.weight_gradient_kernel, "fp16", SPREAD=0.01, KEEP=0.9, TARGET_GATHERED=False, **shape)
"""


def test_the_kernels_compile_for_a_gpu_that_is_not_here(tmp_path):
    pytest.importorskip("triton.backends.nvidia.compiler")
    environment = {"TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = in_python("-c", COMPILE.format(folder=str(IMPLEMENTATION)), **environment)
    assert done.returncode == 0, done.stderr


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
