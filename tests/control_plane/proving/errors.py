"""What can go wrong, said to a person."""

from __future__ import annotations


class ProveError(Exception):
    """What failed, and what to do about it. Exit codes are those of docs/exit-codes.md."""

    exit_code = 8

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class HostError(ProveError):
    """This host lacks something, so that nothing was learned about the image."""

    exit_code = 7


class UsageError(ProveError):
    """The command line or the image asks for what there is not."""

    exit_code = 2


class Interrupted(BaseException):
    """A signal asks for an end. Not an `Exception`, so that no retry swallows it."""

    def __init__(self, number: int) -> None:
        super().__init__(f"signal {number}")
        self.number = number
