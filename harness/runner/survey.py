"""Ask workers what there is: implementations and devices; a plugin that breaks at import costs only itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.core.errors import UnknownReferenceError
from harness.core.implementation import Implementation, implementation_from_dict
from harness.registry.own import own_from_dict, own_losses
from harness.registry.select import by_name, distinct_names, select
from harness.registry.sources import Source, discover, is_reference, parse_reference
from harness.worker.process import Worker, WorkerLostError, Workers

#: An import that takes longer than this has hung.
IMPORT_TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What there is: registered implementations by name, what each reference describes, and the CUDA devices."""

    named: Mapping[str, Implementation]
    asked: Mapping[str, tuple[Implementation, ...]]
    cuda: tuple[Mapping[str, Any], ...]
    facts: Mapping[str, Any]

    def select(self, patterns: Sequence[str]) -> tuple[Implementation, ...]:
        """The implementations that ``patterns`` name; an unknown one is an UnknownReferenceError."""
        return select(patterns, self.named, self.asked)


def survey(workers: Workers, references: Sequence[str], cwd: Path) -> Survey:
    """Describe every registered implementation and every reference of ``references``.

    Raises:
        UnknownReferenceError: a reference names nothing, or two implementations of one name differ.
    """
    asked_sources = {text: parse_reference(text, cwd) for text in references if is_reference(text)}
    registered = discover(cwd)
    sources = [*registered, *asked_sources.values()]
    worker = workers.start(environment={})
    try:
        facts = _devices(worker)
        described, worker = _describe(workers, worker, sources)
    finally:
        worker.close()
    named = by_name(i for index in range(len(registered)) for i in described[index])
    asked = {text: tuple(described[len(registered) + n]) for n, text in enumerate(asked_sources)}
    return Survey(named=named, asked=_shown_apart(asked, named), cuda=tuple(facts.get("cuda", ())), facts=facts)


def _devices(worker: Worker) -> Mapping[str, Any]:
    # every message up to "done" must be taken, or the next job would find it
    messages = list(worker.request({"job": "device"}, timeout_s=IMPORT_TIMEOUT_S))
    return messages[0] if messages else {}


def _describe(workers: Workers, worker: Worker, sources: Sequence[Source]) -> tuple[list[list[Implementation]], Worker]:
    """Descriptions for each source; a worker lost at one is replaced and goes on with the next."""
    found: list[list[Implementation]] = [[] for _ in sources]
    begin = 0
    while begin < len(sources):
        job = {"job": "describe", "sources": [asdict(source) for source in sources[begin:]]}
        try:
            for message in worker.request(job, timeout_s=IMPORT_TIMEOUT_S):
                index = begin + message["source"]
                found[index] = _described(message, sources[index])
            return found, worker
        except WorkerLostError as lost:
            if not lost.culprit:
                raise
            broken = begin + int(lost.culprit)
            found[broken] = [_broken(sources[broken], f"at import: {lost.reason}", lost.status.value, None)]
            worker.close()
            worker = workers.start(environment={})
            begin = broken + 1
    return found, worker


def _described(message: Mapping[str, Any], source: Source) -> list[Implementation]:
    if "usage" in message:
        if source.origin == "reference":
            raise UnknownReferenceError(message["usage"])
        return [_broken(source, message["usage"], "raised", None)]
    if "error" in message:
        return [_broken(source, message["error"], "raised", message.get("traceback"))]
    own_losses().update({values["name"]: own_from_dict(values) for values in message["losses"]})
    return [implementation_from_dict(values) for values in message["implementations"]]


def _broken(source: Source, reason: str, status: str, traceback: str | None) -> Implementation:
    """A description for a source that could not be imported, so that it is listed and its cells are accounted for."""
    return Implementation(
        name=source.callable or Path(source.target).stem,
        loss="cross_entropy",
        reference=source.reference,
        origin=source.origin,
        source=source.target,
        failed=reason,
        failed_status=status,
        traceback=traceback,
    )


def _shown_apart(
    asked: Mapping[str, tuple[Implementation, ...]], named: Mapping[str, Implementation]
) -> dict[str, tuple[Implementation, ...]]:
    """References whose callable has another's name go by their reference text instead."""
    from dataclasses import replace

    clashes = set(distinct_names(asked, named))
    return {
        text: tuple(
            replace(i, name=text if len(found) == 1 else f"{text}:{i.name}") if (text, i.name) in clashes else i
            for i in found
        )
        for text, found in asked.items()
    }
