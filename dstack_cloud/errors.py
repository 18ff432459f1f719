"""Every error a user can meet, in one tree.

    DstackError                     exit code 1
    ├── UsageError                  2   the command or its input is wrong; nothing was started
    │   ├── ConfigurationError      2   a configuration or workflow file has problems
    │   └── NotAvailableYet         2   understood, but this version can't do it
    ├── NotFound                    2   no run, job, workflow … of that name
    ├── Conflict                    2   it exists already, or its state forbids it
    ├── ServerError                 3   the dstack server can't be reached or failed
    ├── RunnerError                 1   the runner on an instance refused or broke off
    │   └── RunnerUnreachable       1   no connection (retryable)
    ├── StoreError                  1   the object store refused, failed, or gave other bytes than were put in (retryable)
    │   └── StoreDamaged            1   what it holds isn't what was saved: asking again gives the same
    ├── SshError                    1   see `ssh`
    │   └── HostKeyMismatch         1   the machine showed another key than the one made for it
    └── BackendError                1   a cloud or machine refused; carries its own code and message
        ├── NoCapacity              try the next zone
        ├── QuotaExceeded           try another region or type
        ├── NotAuthorized           stop; the user must fix it
        ├── InvalidConfiguration    stop; the user must fix it
        ├── Throttled               back off, retry
        └── Unavailable             back off, retry (the effect may have happened)

`summary` says what is wrong, `hint` what to do about it, `retryable` whether the same call may succeed later.
"""

from __future__ import annotations


class DstackError(Exception):
    """An error with a sentence for the user; anything else that escapes is a bug."""

    exit_code = 1
    retryable = False

    def __init__(self, summary: str, hint: str | None = None) -> None:
        super().__init__(summary)
        self.summary = summary
        self.hint = hint

    @property
    def code(self) -> str:
        """The name that travels in API answers."""
        return type(self).__name__


class UsageError(DstackError):
    exit_code = 2


class ConfigurationError(UsageError):
    pass


class NotAvailableYet(UsageError):
    pass


class NotFound(DstackError):
    exit_code = 2


class Conflict(DstackError):
    exit_code = 2


class ServerError(DstackError):
    exit_code = 3


class RunnerError(DstackError):
    pass


class RunnerUnreachable(RunnerError):
    retryable = True


class StoreError(DstackError):
    retryable = True


class StoreDamaged(StoreError):
    retryable = False


class SshError(DstackError):
    retryable = True


class HostKeyMismatch(SshError):
    retryable = False


class BackendError(DstackError):
    """`cloud_code` and `cloud_message` are the cloud's own words, kept for `dstack ps -v`. `scope` is "region" where the
    backend knows that only this region refuses, so that the others are worth a try; "type" where a quota is one of the
    instance type's family, and other types have their own."""

    def __init__(
        self, summary: str, hint: str | None = None, *, cloud_code: str = "", cloud_message: str = "", scope: str = ""
    ) -> None:
        super().__init__(summary, hint)
        self.cloud_code = cloud_code
        self.cloud_message = cloud_message
        self.scope = scope

    @property
    def said(self) -> dict[str, str]:
        """The cloud's own words, for an error that tells of the same in another way."""
        return {"cloud_code": self.cloud_code, "cloud_message": self.cloud_message}


class NoCapacity(BackendError):
    retryable = True


class QuotaExceeded(BackendError):
    pass


class NotAuthorized(BackendError):
    pass


class InvalidConfiguration(BackendError):
    exit_code = 2


class Throttled(BackendError):
    retryable = True


class Unavailable(BackendError):
    retryable = True


def by_code(code: str) -> type[DstackError]:
    """The class whose name is `code`; DstackError where there is none."""
    pending: list[type[DstackError]] = [DstackError]
    while pending:
        cls = pending.pop()
        if cls.__name__ == code:
            return cls
        pending.extend(cls.__subclasses__())
    return DstackError
