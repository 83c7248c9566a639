"""The columns of the frame that ``harness.load`` gives: the one source of ``docs/columns.md``.

``python -m harness.report.columns`` prints that page.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

from harness.core.status import SEVERITY

#: Statuses best first, as the frame orders them; ``not_run`` where no such outcome was written.
STATUS_ORDER = (*(status.value for status in reversed(SEVERITY)), "not_run")
#: Standard checks always have their column; another check that a run holds adds its own.
CHECKS = ("agreement", "gradient", "stability")


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, dtype (text, category, int, float or bool), unit, and what it means.

    ``metric`` names the figure of the outcome that it is read from, where there is one.
    """

    name: str
    dtype: str
    meaning: str
    unit: str = ""
    metric: str = ""


def _c(name: str, dtype: str, meaning: str, unit: str = "", metric: str = "") -> Column:
    return Column(name=name, dtype=dtype, meaning=meaning, unit=unit, metric=metric)


IDENTITY = (
    _c("run_id", "text", "name of the run and of its folder: UTC time, suite, random digits"),
    _c("cell", "text", "stable id of the cell (without #variant)"),
    _c("implementation", "category", "name of the implementation"),
)

AXES = (
    _c("loss", "category", "loss family"),
    _c("batch", "int", "N, rows of logits before any trailing dimension", "rows"),
    _c("classes", "int", "C", "classes"),
    _c("features", "int", "H of a linear loss; 0 elsewhere", "features"),
    _c("dims", "text", "trailing sizes d1xd2…; empty for (N, C)"),
    _c("shape", "text", "sizes as in the cell id, e.g. 1024x32000"),
    _c("dtype", "category", "dtype of the logits, narrowest last"),
    _c("device", "category", "cpu, cuda, cuda:1, triton-interpreter"),
    _c("regime", "category", "distribution of the logits"),
    _c("pass", "category", "forward_no_grad, forward, backward or forward_backward"),
    _c("reduction", "category", "none, mean or sum"),
    _c("target", "category", "how the target is drawn"),
    _c("ignored", "float", "share of rows whose target is ignore_index", "share"),
    _c("weight", "category", "class weights"),
    _c("ignore_index", "int", "the class index that is ignored"),
    _c("label_smoothing", "float", "label smoothing", "share"),
    _c("layout", "category", "strides of the logits"),
    _c("grad_output", "category", "upstream gradient"),
    _c("seed", "int", "seed that the inputs come from"),
    _c("options", "text", "axes that only this loss family has, as JSON; empty where there are none"),
)

JUDGEMENT = (
    _c("status", "category", "worst over the checks, and over a fault while timed; ordered, best first"),
    _c("reason", "text", "why the status is what it is; empty where passed"),
    *(_c(f"check_{name}", "category", f"worst status of the variants of check {name}, or not_run") for name in CHECKS),
    _c("grade", "category", "strictest accuracy grade that every judged value earned: relative, tight, standard; none"),
    _c("loss_visible", "float", "smallest power of 2, ε, so that the loss times 1 + ε is caught here; missing where a "
       "zeroed loss passes", "share"),
    _c("gradient_visible", "float", "the same of the gradient region that is seen worst", "share"),
    _c("value_only", "bool", "whether a zeroed region of the gradient passes here: the gradient proves nothing then"),
)  # fmt: skip


def _accuracy(value: str) -> tuple[Column, ...]:
    head = f"of the entry of the {value} with the largest error ÷ budget"
    unit = f"unit of the {value}"
    return (
        _c(f"{value}_error", "float", f"absolute error against the oracle {head}", unit, "error"),
        _c(f"{value}_budget", "float", f"largest error allowed {head}", unit, "budget"),
        _c(f"{value}_ratio", "float", f"error ÷ budget {head}; above 1 fails", "", "ratio"),
        _c(f"{value}_ulp_error", "float", f"error {head}, in units in the last place of the dtype", "ulp", "ulp_error"),
        _c(f"{value}_region", "text", "loss, target, other, ignored, probability; empty if not judged", "", "region"),
        _c(f"{value}_grade", "category", f"strictest grade the {value} earned, or none", "", "grade"),
        _c(f"{value}_expected", "float", f"what the oracle says {head}", unit, "expected"),
        _c(f"{value}_found", "float", f"what the implementation gave {head}", unit, "found"),
    )  # fmt: skip


TIMING = (
    _c("timing_status", "category", "what became of the timing; not_run where the run has no word of it"),
    _c("timing_reason", "text", "why there is no timing; empty where there is one"),
    _c("baseline", "text", "implementation that speedup compares with; empty where not timed", "", "baseline"),
    _c("median_ns", "float", "median time of one call", "ns", "median_ns"),
    _c("speedup", "float", "baseline's time ÷ this one's, from interleaved rounds; 1 for the baseline", "", "speedup"),
    _c("speedup_low", "float", "lower end of the interval of speedup", "", "speedup_low"),
    _c("speedup_high", "float", "upper end of the interval of speedup", "", "speedup_high"),
    _c("verdict", "text", "baseline, faster, slower, same, ambiguous, not compared; or empty", "", "verdict"),
    _c("sigma", "float", "spread of the ratio to the baseline from round to round", "share", "sigma"),
    _c("detectable_slowdown", "float", "smallest slowdown told from noise here", "share", "detectable_slowdown"),
    _c("rounds", "int", "rounds measured", "rounds", "rounds"),
    _c("calls_per_sample", "int", "calls in one sample", "calls", "calls_per_sample"),
    _c("converged", "bool", "whether the interval got as narrow as asked before the time was up", "", "converged"),
    _c("cache", "text", "cold (inputs not in the last-level cache) or warm; empty where not timed", "", "cache"),
    _c("cache_reason", "text", "why the cache is not as the suite asked; empty where it is", "", "cache_reason"),
    _c("cuda_graph", "bool", "whether recorded calls were replayed, without the host's share", "", "cuda_graph"),
    _c("threads", "int", "threads that torch was given", "threads", "threads"),
    _c("first_call_ns", "float", "first call in a fresh process, compilation included", "ns", "first_call_ns"),
    _c("import_ns", "float", "import of the implementation, with the packages it brings", "ns", "import_ns"),
    _c("first_timed_call_ns", "float", "first call in the process that times", "ns", "first_timed_call_ns"),
    _c("compiled_graphs", "int", "graphs that torch.compile made for this cell", "graphs", "compiled_graphs"),
    _c("gradient_in_forward", "bool", "whether the forward makes the gradient already", "", "gradient_in_forward"),
    _c("writes_inputs", "bool", "whether it writes into its inputs, which each call got back", "", "writes_inputs"),
    _c("peak_bytes", "int", "peak memory above the inputs, measured alone", "bytes", "peak_bytes"),
    _c("result_bytes", "int", "what the loss and the gradients of this pass take themselves", "bytes", "result_bytes"),
    _c("scratch_bytes", "int", "peak_bytes − result_bytes: working memory beside them", "bytes", "scratch_bytes"),
    _c("saved_bytes", "int", "memory kept for the backward pass", "bytes", "saved_bytes"),
    _c("least_bytes", "int", "bytes that this pass must read and write at least", "bytes", "least_bytes"),
    _c("bandwidth_bytes_per_s", "float", "least_bytes ÷ median time", "bytes/s", "bandwidth_bytes_per_s"),
    _c("least_ns", "float", "least possible time at the bandwidth measured in this run", "ns", "least_ns"),
    _c("roofline_fraction", "float", "least possible time ÷ median time", "share", "roofline_fraction"),
    _c("copy_ns", "float", "median time of a copy of the logits through autograd, in the same rounds; only where loss "
       "and gradient are one pass without products of matrices", "ns", "copy_ns"),
    _c("copies", "float", "this one's time ÷ the copy's, within rounds", "", "copies"),
    _c("copy_reason", "text", "why no copy could be timed where one was to be; else empty", "", "copy_reason"),
    _c("page_faults_per_call", "float", "pages touched for the first time in a call", "pages", "page_faults_per_call"),
    _c("page_fault_share", "float", "share of the median that those pages cost", "share", "page_fault_share"),
    _c("cpu_wall_ratio", "float", "processor time of the calling thread ÷ wall time", "share", "cpu_wall_ratio"),
    _c("starved_share", "float", "samples with less than 0.9 of that: interrupted", "share", "starved_share"),
    _c("steal_share", "float", "time that the host took from this machine meanwhile", "share", "steal_share"),
    _c("discarded_rounds", "int", "rounds left out, as disturbed or throttled", "rounds", "discarded_rounds"),
    _c("host_ns", "float", "CUDA: time of the host to issue one call", "ns", "host_ns"),
    _c("noise", "text", "what disturbed the samples; empty where nothing did", "", "noise"),
    _c("sampled_seconds", "float", "time inside the sampled calls of the cell", "s", "sampled_seconds"),
    _c("preparing_seconds", "float", "time to make inputs and call everyone first", "s", "preparing_seconds"),
    _c("judged_seconds", "float", "time spent judging this row", "s", "seconds"),
    _c("timed_seconds", "float", "time spent timing this row", "s", "seconds"),
)  # fmt: skip

TRAINING = (
    _c("training_steps", "int", "steps trained", "steps", "training_steps"),
    _c("training_ratio", "float", "largest departure ÷ what rounding explains; above 1 fails", "", "training_ratio"),
    _c("training_sees", "float", "least relative error of the gradient that is caught there", "share", "training_sees"),
    _c("training_losses_ratio", "float", "the same of the loss curve", "", "training_losses_ratio"),
    _c("training_norms_ratio", "float", "the same of the gradient norms", "", "training_norms_ratio"),
    _c("training_weights_ratio", "float", "the same of the final weights", "", "training_weights_ratio"),
    _c("training_logits_ratio", "float", "the same of the logits of held-out examples", "", "training_logits_ratio"),
    _c("training_accuracy_ratio", "float", "the same of the accuracy", "", "training_accuracy_ratio"),
    _c("training_final_loss", "float", "mean loss of the last step", "unit of the loss", "training_final_loss"),
    _c("training_baseline_final_loss", "float", "that of the oracle-backed baseline", "unit of the loss",
       "training_baseline_final_loss"),
    _c("training_accuracy", "float", "held-out examples right ÷ all", "share", "training_accuracy"),
    _c("training_baseline_accuracy", "float", "that of the oracle-backed baseline", "share",
       "training_baseline_accuracy"),
    _c("training_step_ns", "float", "median time of a step, the first left out", "ns", "training_step_ns"),
    _c("training_first_step_ns", "float", "first step, compilation included", "ns", "training_first_step_ns"),
    _c("training_examples_per_s", "float", "examples of a step ÷ its median time; not interleaved with others",
       "examples/s", "training_examples_per_s"),
    _c("training_peak_bytes", "int", "peak memory of one step above network and inputs", "bytes",
       "training_peak_bytes"),
)  # fmt: skip

PROVENANCE = (
    _c(
        "reproduce",
        "text",
        "command that shows the worst judged outcome again; empty where none was kept",
        "",
        "reproduce",
    ),
    _c("suite", "text", "name of the suite"),
    _c("started", "text", "when the run began, UTC, ISO 8601"),
    _c("git_revision", "text", "revision of the harness's checkout; empty outside one"),
    _c("torch_version", "text", "version of torch; empty where the run does not say"),
    _c("run_path", "text", "folder that the row was read from"),
)

COLUMNS = (*IDENTITY, *AXES, *JUDGEMENT, *_accuracy("loss"), *_accuracy("gradient"), *TIMING, *TRAINING, *PROVENANCE)


def columns_page() -> str:
    """The text of ``docs/columns.md``."""
    sections = {
        "Which row": IDENTITY,
        "Axes of the cell": AXES,
        "Judgement": JUDGEMENT,
        "Accuracy of the loss": _accuracy("loss"),
        "Accuracy of the gradient": _accuracy("gradient"),
        "Speed and memory": TIMING,
        "Training": TRAINING,
        "Where it comes from": PROVENANCE,
    }
    parts: list[str] = []
    for title, columns in sections.items():
        parts += [f"## {title}", "", "| column | dtype | unit | read from | meaning |", "|---|---|---|---|---|"]
        for column in columns:
            metric = f"`{column.metric}`" if column.metric else ""
            parts.append(f"| `{column.name}` | {column.dtype} | {column.unit} | {metric} | {column.meaning} |")
        parts.append("")
    template = files("harness.report").joinpath("assets", "columns.md").read_text(encoding="utf-8")
    return template.replace("<!-- tables -->\n", "\n".join(parts))


if __name__ == "__main__":
    import sys

    sys.stdout.write(columns_page())
