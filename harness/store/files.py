"""Files of a results folder: opened without following links, replaced whole, appended without tearing, locked."""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from harness.core.errors import RunFolderError

LATEST = "latest"


def open_regular(path: Path, flags: int) -> int:
    """A file descriptor of the plain file at ``path``; links, pipes and devices are refused.

    A results folder may come from a stranger: a link would have us read or write outside it, a pipe would hang us.

    Raises:
        RunFolderError: the file is missing, no plain file, or cannot be opened.
    """
    try:
        descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o644)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RunFolderError(f"{path} is a symbolic link; a results folder holds plain files only") from None
        raise RunFolderError(f"cannot open {path}: {error.strerror}") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise RunFolderError(f"{path} is no plain file")
    return descriptor


def write_atomically(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` as one step: a reader or a kill sees the old file or the new one, whole.

    Raises:
        RunFolderError: the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise RunFolderError(f"cannot write {path}: {error.strerror}") from None


def append_whole(descriptor: int, content: bytes, path: Path) -> None:
    """Append ``content``; where the disk refuses part of it, take back what was written so that no torn record stays.

    Raises:
        RunFolderError: the disk refused.
    """
    size = os.fstat(descriptor).st_size
    try:
        write_all(descriptor, content)
    except OSError as error:
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise RunFolderError(f"cannot append to {path}: {error.strerror}; what was written before is kept") from None


def write_all(descriptor: int, content: bytes) -> None:
    """Write every byte of ``content``; then they are the system's and survive a kill of this process."""
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def lock(descriptor: int, folder: Path) -> str | None:
    """Take the exclusive lock that marks a run as live; it falls with the process, however that ends.

    Returns a notice where the file system has no locks, else None.

    Raises:
        RunFolderError: another live run holds the folder.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunFolderError(
            f"{folder} is in use by a run that is still going; wait until it ends, or stop it, and resume then"
        ) from None
    except OSError as error:
        return f"this file system has no locks ({error.strerror}): nothing keeps a second run out of {folder}"
    return None


def point_latest(out: Path, run_id: str) -> str | None:
    """Let ``out/latest`` name ``run_id``: a relative link, or a text file holding the name where links are refused.

    Returns a notice where neither can be made, else None.
    """
    latest = out / LATEST
    temporary = out / f".{LATEST}.{secrets.token_hex(4)}"
    try:
        temporary.symlink_to(run_id, target_is_directory=True)
        temporary.replace(latest)
    except (OSError, NotImplementedError):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        try:
            write_atomically(latest, f"{run_id}\n".encode())
        except RunFolderError as error:
            return f"{latest} was left as it is: {error}"
    return None
