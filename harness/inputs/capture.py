"""Captured logits and targets: finding, checking and reading .npz and .safetensors files; torch-free for .npz."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.core.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

DEFAULT_CAPTURE = "digits.npz"
_KEYS = ("logits", "target")
_FORM = "a capture holds `logits` (rows, C), floating point, and `target` (rows,), integers in [0, C)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capture:
    """Real logits (rows, C), exact in float64, and their targets (rows,), int64 in [0, C)."""

    path: Path
    logits: np.ndarray
    target: np.ndarray


def bundled_data() -> Path:
    """The folder of bundled captures: the checkout's ``suites/data``, or the copy inside an installed wheel."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent
    # an installed package's parent is site-packages, which has no pyproject.toml
    if (checkout / "pyproject.toml").is_file():
        return checkout / "suites" / "data"
    return package / "bundled" / "suites" / "data"


def find_capture(regime: str) -> Path:
    """The file that ``captured`` or ``captured:FILE`` names; a bare file name may also be a bundled one.

    Raises:
        UsageError: there is no such file, or its ending is neither .npz nor .safetensors.
    """
    name = regime.partition(":")[2] or DEFAULT_CAPTURE
    places = [Path(name)] if ":" in regime else []
    if Path(name).name == name:
        places.append(bundled_data() / name)
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        looked = ", ".join(str(place.absolute()) for place in places)
        raise UsageError(f"regime={regime}: no such capture file; looked for {looked}\n  {_FORM}")
    if path.suffix not in (".npz", ".safetensors"):
        raise UsageError(f"regime={regime}: {path} is neither .npz nor .safetensors\n  {_FORM}")
    return path


def capture_classes(regime: str) -> int:
    """Number of classes of the capture that ``regime`` names, from its header alone.

    Raises:
        UsageError: the file cannot be found or read, or has another form.
    """
    path = find_capture(regime)
    shape = _npz_shape(path) if path.suffix == ".npz" else _safetensors_shape(path)
    if len(shape) != 2 or 0 in shape:
        raise UsageError(f"{path}: logits have shape {shape}, not (rows, C)\n  {_FORM}")
    return shape[1]


def load_capture(regime: str) -> Capture:
    """Read and check the capture that ``regime`` names.

    Raises:
        UsageError: the file cannot be found or read, or has another form.
    """
    path = find_capture(regime)
    logits, target = _read_npz(path) if path.suffix == ".npz" else _read_safetensors(path)
    _check_capture(path, logits, target)
    return Capture(path=path, logits=logits.astype("float64"), target=target.astype("int64"))


def _check_capture(path: Path, logits: np.ndarray, target: np.ndarray) -> None:
    import numpy as np

    problem = None
    if logits.ndim != 2 or 0 in logits.shape:
        problem = f"logits have shape {logits.shape}, not (rows, C)"
    elif target.shape != logits.shape[:1]:
        problem = f"target has shape {target.shape}, not ({logits.shape[0]},) as logits {logits.shape} ask"
    elif logits.dtype.kind != "f" or logits.dtype.itemsize > 8:
        problem = f"logits are {logits.dtype}, not float16, float32 or float64"
    elif target.dtype.kind not in "iu":
        problem = f"target is {target.dtype}, not an integer type"
    elif not np.isfinite(logits).all():
        row, column = np.argwhere(~np.isfinite(logits))[0]
        problem = f"logits[{row}, {column}] is {logits[row, column]}, not a finite number"
    elif target.min() < 0 or target.max() >= logits.shape[1]:
        row = int(np.flatnonzero((target < 0) | (target >= logits.shape[1]))[0])
        problem = f"target[{row}] is {target[row]}, outside [0, {logits.shape[1]})"
    if problem:
        raise UsageError(f"{path}: {problem}\n  {_FORM}")


def _missing(path: Path, key: str, found: Any) -> UsageError:
    return UsageError(f"{path} has no {key!r}; it has {', '.join(sorted(found)) or 'nothing'}\n  {_FORM}")


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    try:
        # pickles run code when they are read: a capture is data alone
        with np.load(path, allow_pickle=False) as file:
            for key in _KEYS:
                if key not in file.files:
                    raise _missing(path, key, file.files)
            return file["logits"], file["target"]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read as .npz: {error}\n  {_FORM}") from None


def _npz_shape(path: Path) -> tuple[int, ...]:
    from numpy.lib import format as npy

    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
            if "logits" not in names:
                raise _missing(path, "logits", names)
            with archive.open("logits.npy") as file:
                version = npy.read_magic(file)
                read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
                return read(file)[0]
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise UsageError(f"{path} cannot be read as .npz: {error}\n  {_FORM}") from None


def _open_safetensors(path: Path, framework: str) -> Any:
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        raise UsageError(
            f"{path}: reading .safetensors needs the package safetensors: pip install safetensors\n"
            "  or store the capture as .npz"
        ) from None
    try:
        file = safe_open(path, framework=framework)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} cannot be read as .safetensors: {error}\n  {_FORM}") from None
    for key in _KEYS:
        if key not in file.keys():  # noqa: SIM118 -- the handle is no mapping
            raise _missing(path, key, file.keys())
    return file


def _safetensors_shape(path: Path) -> tuple[int, ...]:
    return tuple(_open_safetensors(path, "np").get_slice("logits").get_shape())


def _read_safetensors(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import torch

    # numpy has no bfloat16, which language-model logits come in; torch widens it exactly
    file = _open_safetensors(path, "pt")
    logits, target = file.get_tensor("logits"), file.get_tensor("target")
    return (logits.float() if logits.dtype == torch.bfloat16 else logits).numpy(), target.numpy()
