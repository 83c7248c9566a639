"""The exceptions of the harness, as one tree.

HarnessError                    a message for a person; never shown as a traceback without --debug
├── UsageError                  exit 2: what was asked cannot be understood, nothing ran
│   ├── SuiteError              the suite file is wrong (file, line, key, found, allowed)
│   └── UnknownReferenceError   no such implementation, loss, check or cell
├── NothingToRunError           exit 3: understood, but nothing of it can run on this machine
├── RunFolderError              exit 2: a results folder cannot be read, or is in use
└── InternalError               exit 1: the harness itself failed inside a worker; its traceback is for --debug
"""

from __future__ import annotations


class HarnessError(Exception):
    """A failure with a message meant for the user: what was asked, found, allowed, and what to type next."""

    exit_code = 2


class UsageError(HarnessError):
    """The command line or a file it names cannot be understood; nothing ran."""


class SuiteError(UsageError):
    """A suite file is wrong; the message names file, line and key, what was found and what is allowed."""


class UnknownReferenceError(UsageError):
    """A reference to an implementation, loss, check, suite or cell names nothing, or more than one thing."""


class NothingToRunError(HarnessError):
    """Everything that was asked is unavailable on this machine."""

    exit_code = 3


class RunFolderError(HarnessError):
    """A results folder cannot be read, written or resumed."""


class InternalError(HarnessError):
    """The harness itself failed inside a worker; ``traceback`` is shown with ``--debug`` only."""

    exit_code = 1

    def __init__(self, message: str, traceback: str) -> None:
        super().__init__(f"the harness itself failed {message}\n  run again with --debug for the traceback")
        self.traceback = traceback
