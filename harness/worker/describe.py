"""Describe jobs: import plugins and say what they offer; say what devices there are."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Any

from harness.core.errors import HarnessError
from harness.core.implementation import implementation_to_dict
from harness.losses.catalogue import families
from harness.registry.load import load_source
from harness.registry.own import own_losses, own_to_dict
from harness.registry.sources import Source
from harness.worker.child import Say


def describe(job: Mapping[str, Any], say: Say) -> None:
    """Import each source in turn and send its descriptions; a source that fails is told and passed over."""
    positional = {name: len(family.arguments) for name, family in families().items()}
    for index, values in enumerate(job["sources"]):
        source = Source(**values)
        say({"stage": f"import of {source.text or source.target}", "culprit": str(index)})
        try:
            found = [implementation_to_dict(description) for description, _ in load_source(source, positional)]
        except HarnessError as error:
            say({"source": index, "usage": str(error)})
        except BaseException as error:  # strangers' code: SystemExit and KeyboardInterrupt are its own as well
            message = f"{type(error).__name__} at import: {error}"
            say({"source": index, "error": message, "traceback": traceback.format_exc()})
        else:
            say({"source": index, "implementations": found, "losses": [own_to_dict(o) for o in own_losses().values()]})


def describe_devices(job: Mapping[str, Any], say: Say) -> None:
    """Send which devices torch sees here, with the facts that figures depend on."""
    import torch

    devices: list[dict[str, Any]] = []
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(index)
            devices.append(
                {
                    "name": properties.name,
                    "memory_bytes": properties.total_memory,
                    "capability": list(torch.cuda.get_device_capability(index)),
                    "last_level_cache_bytes": getattr(properties, "L2_cache_size", 0),
                }
            )
    say(
        {
            "cuda": devices,
            "torch": torch.__version__,
            "cuda_version": torch.version.cuda,
            "threads": torch.get_num_threads(),
        }
    )
