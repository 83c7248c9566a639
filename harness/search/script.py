"""A standalone script, torch only, that makes one call which a check found wrong and says so (torch-free itself)."""

from __future__ import annotations

import pprint
from collections.abc import Mapping
from typing import Any

from harness.core.case import case_from_dict
from harness.search.bundle import Bundle

#: A script larger than this is no longer something to paste; its inputs go into a file beside it then.
MAX_INLINE_BYTES = 4 << 20

_TEMPLATE = '''"""{title}

{reason}

Written by `python -m harness repro`; needs torch{and_more} alone. Exits 1 where the failure shows, else 0.
"""

import base64
import importlib
import inspect
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import zlib

{environment}import torch

nan, inf = math.nan, math.inf  # as they stand in the literals below

#: The candidate's source, and a stand-in for what it imports.
FILES = {files}
MODULE, ATTRIBUTE, NAME = {module!r}, {attribute!r}, {name!r}
OPTIONS = {options}
INPUTS = {inputs}
FAULT = {fault}
PASS, LOSS, DEVICE = {pass_!r}, {loss!r}, {device!r}
#: The tensors of a call in their order, and the options that are tensors.
ARGUMENTS, TENSOR_OPTIONS = {arguments!r}, {tensor_options!r}


def candidate():
    folder = pathlib.Path(tempfile.mkdtemp())
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    module = importlib.import_module(MODULE)
    if not ATTRIBUTE:
        return importlib.import_module("harness").DECLARED[NAME]
    target = module
    for part in ATTRIBUTE.split("."):
        target = getattr(target, part)
    return target


def tensor(name):
    packed = INPUTS[name]
    dtype = getattr(torch, packed["dtype"])
    if packed["values"] is not None:
        return torch.tensor(packed["values"], dtype=dtype).reshape(packed["size"]).to(DEVICE)
    raw = bytearray(zlib.decompress(base64.b85decode(packed["data"])))
    flat = torch.frombuffer(raw, dtype=dtype) if raw else torch.empty(0, dtype=dtype)
    storage = torch.zeros(packed["offset"] + flat.numel(), dtype=dtype)
    storage[packed["offset"]:] = flat
    return storage.to(DEVICE).as_strided(packed["size"], packed["stride"], packed["offset"])


def call(function, given, options):
    """The loss and its gradients by name, as the harness asks for them."""
    options = {{name: given.get(name) if name in TENSOR_OPTIONS else value for name, value in options.items()}}
    bound = function(**options) if inspect.isclass(function) else lambda *tensors: function(*tensors, **options)
    if PASS == "forward_no_grad":
        mode = FAULT.get("mode", "no_grad")
        if mode != "nothing_required":
            given["logits"].requires_grad_()
        with {{"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}}.get(mode, torch.enable_grad)():
            return bound(*(given[name] for name in ARGUMENTS)), {{}}
    wanted = {{name: given[name].requires_grad_() for name in FAULT.get("gradients", ["logits"])}}
    loss = bound(*(given[name] for name in ARGUMENTS))
    if PASS == "forward" or not isinstance(loss, torch.Tensor) or not loss.requires_grad:
        return loss, {{}}
    upstream = given["grad_output"].to(loss.dtype)
    if upstream.shape != loss.shape:
        return loss, {{}}
    found = torch.autograd.grad(loss, tuple(wanted.values()), upstream, allow_unused=True)
    return loss, dict(zip(wanted, found))


def pick(loss, gradients):
    value = loss if FAULT["value"] == "loss" else gradients[FAULT["value"].removeprefix("grad_")]
    return float(value.detach()[tuple(FAULT["index"])] if FAULT["index"] else value.detach().reshape(-1)[0])


def same(found, expected, budget):
    if math.isnan(found) or math.isnan(expected) or math.isinf(found) or math.isinf(expected):
        return found == expected or (math.isnan(found) and math.isnan(expected))
    return abs(found - expected) <= (budget or 0.0)


def formed(loss, gradients, given):
    """What is wrong with the form of an answer; empty where nothing is."""
    if not isinstance(loss, torch.Tensor):
        return f"the loss is a {{type(loss).__name__}}"
    if loss.dtype != given["logits"].dtype:
        return f"the loss is {{loss.dtype}} for {{given['logits'].dtype}} logits"
    if loss.shape != given["grad_output"].shape:
        return f"the loss has shape {{tuple(loss.shape)}}, not {{tuple(given['grad_output'].shape)}}"
    for name in FAULT.get("gradients", ["logits"]) if PASS in ("backward", "forward_backward") else ():
        if gradients.get(name) is None:
            return f"the loss has no gradient with respect to the {{name}}"
        if gradients[name].shape != given[name].shape:
            return f"the gradient has shape {{tuple(gradients[name].shape)}}, the {{name}} {{tuple(given[name].shape)}}"
    return ""


def reference():
    """What torch's own function says in float64, for comparison; None where it says nothing."""
    given = {{name: tensor(name) for name in INPUTS}}
    wide = {{name: each.double() if each.is_floating_point() else each for name, each in given.items()}}
    try:
        options = {specified}
        return pick(*call(getattr(torch.nn.functional, LOSS), wide, options))
    except Exception as error:
        return f"nothing ({{type(error).__name__}})"


def torch_raises():
    try:
        call(getattr(torch.nn.functional, LOSS), {{name: tensor(name) for name in INPUTS}}, {specified})
    except Exception as error:
        return f"torch raises {{type(error).__name__}}: {{error}}"
    return "torch answers too"


def apart():
    """Make the call in a process of its own, which it may end."""
    try:
        done = subprocess.run([sys.executable, "-I", __file__, "--call"], capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        print("FAIL: the call had not returned after 60 s")
        return 1
    if done.returncode == 0:
        print("the call returns here")
        return 0
    _, failed, why = done.stdout.partition("FAIL: ")
    ended = f"the process that made the call ended with status {{done.returncode}}"
    print("FAIL: " + (why.strip() if failed else ended))
    return 1


def main():
    print("{title}")
    if FAULT["kind"] == "lost" and "--call" not in sys.argv:
        return apart()
    given = {{name: tensor(name) for name in INPUTS}}
    try:
        loss, gradients = call(candidate(), given, OPTIONS)
    except Exception as error:
        if FAULT["kind"] == "accepted":
            print(f"the call raises {{type(error).__name__}}: {{error}}, as it should")
            return 0
        print(f"FAIL: the call raises {{type(error).__name__}}: {{error}}")
        return 1
    if FAULT["kind"] in ("raised", "lost"):
        print("the call does not raise here")
        return 0
    if FAULT["kind"] == "accepted":
        print(f"FAIL: loss {{loss!r}}; {{torch_raises()}}")
        return 1
    wrong = formed(loss, gradients, given)
    if wrong or FAULT["kind"] == "form":
        print(f"FAIL: {{wrong}}" if wrong else "the form of the answer is right here")
        return 1 if wrong else 0
    found, expected, budget = pick(loss, gradients), FAULT["expected"], FAULT["budget"]
    print(f"{{FAULT['value']}} at {{tuple(FAULT['index'])}} ({{FAULT['region']}})")
    print(f"  found    {{found!r}}")
    print(f"  truth    {{expected!r}}   (torch in float64: {{reference()!r}})")
    print(f"  error    {{abs(found - expected)!r}}   budget {{budget!r}}")
    right = same(found, expected, budget)
    print("the failure does not show here" if right else "FAIL: off by more than any rounding explains")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
'''


def script(captured: Mapping[str, Any], candidate: Bundle, name: str) -> str:
    """The text of a script that makes the call of ``captured`` (see :mod:`harness.worker.capture`) to ``name``."""
    case = case_from_dict(captured["case"])
    interpreted = case.device == "triton-interpreter"
    return _TEMPLATE.format(
        title=_one_line(f"{name} on {case.cell}"), reason=_one_line(captured["fault"]["reason"], 400),
        and_more=" and triton" if interpreted else "",
        environment='os.environ["TRITON_INTERPRET"] = "1"\n' if interpreted else "",
        files=_files(candidate.files), module=candidate.module, attribute=candidate.attribute, name=name,
        options=repr(captured["options"]), inputs=_plain(captured["inputs"]),
        fault=_plain({"value": "loss", **captured["fault"]}), pass_=case.pass_, loss=case.loss,
        device="cpu" if interpreted else case.device, specified=_specified(captured, case.loss),
        arguments=tuple(captured["arguments"]), tensor_options=tuple(captured["tensor_options"]),
    )  # fmt: skip


def _specified(captured: Mapping[str, Any], loss: str) -> str:
    """The options of torch's own function that go with the case, whatever the candidate's defaults are."""
    case = case_from_dict(captured["case"])
    if loss != "cross_entropy":
        return repr(captured["options"])
    options: dict[str, Any] = {"reduction": case.reduction, "label_smoothing": case.label_smoothing}
    if case.target_kind == "index":
        options["ignore_index"] = case.ignore_index
    if "weight" in captured["inputs"]:
        options["weight"] = "weight"
    return repr(options)


def _one_line(text: str, limit: int = 200) -> str:
    """``text`` that can stand in a string literal of the script, whatever a stranger called his function."""
    clean = "".join(char if char.isprintable() else " " for char in text)
    return clean.replace("\\", "/").replace('"', "'").replace("{", "(").replace("}", ")")[:limit]


def _files(files: Mapping[str, str]) -> str:
    parts = []
    for name, text in files.items():
        lines = "".join(f"        {line!r}\n" for line in text.splitlines(keepends=True)) or "        ''\n"
        parts.append(f"    {name!r}: (\n{lines}    ),\n")
    return "{\n" + "".join(parts) + "}"


def _plain(value: Any) -> str:
    """A literal of plain values: nan and inf are names that the script defines."""
    return pprint.pformat(value, width=116, compact=True, sort_dicts=False)
