"""A store's errors in ours: one sentence for the user, with the store's own code in it, and what to do."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from dstack_cloud import errors

_ANSWER_SECONDS = 5
# S3's codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html#ErrorCodeList
_ELSEWHERE = ("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException")
_OTHER_KEYS = "look at the credentials in ~/.aws, and at `profile` in the project's `aws` settings"
_HINTS = {
    "NoSuchBucket": "make it, or correct the store's URL",
    "ExpiredToken": "the short-lived credentials have run out: renew them (`aws sso login`, for example)",
    "InvalidBucketName": "correct the store's URL",
    "InvalidAccessKeyId": _OTHER_KEYS,
    "InvalidToken": _OTHER_KEYS,
    "SignatureDoesNotMatch": "the secret key isn't the one of this access key: look at the store's credentials",
    "RequestTimeTooSkewed": "this computer's clock is wrong by more than 15 minutes: set it",
    "AccessDenied": "the credentials need s3:GetObject, PutObject, DeleteObject, AbortMultipartUpload and ListBucket there",
    "SlowDown": "it asks for fewer requests; they are sent again",
    # https://learn.microsoft.com/rest/api/storageservices/blob-service-error-codes and …/common-rest-api-error-codes
    "ContainerNotFound": "make it, or correct the store's URL",
    "AuthorizationPermissionMismatch": 'the login needs the role "Storage Blob Data Contributor" for the container',
    "AuthorizationFailure": "the storage account's firewall doesn't let this computer in, or keys are switched off",
    "AuthenticationFailed": "log in again (`az login`), or look at `service_principal` and this computer's clock",
    "InvalidAuthenticationInfo": "log in again (`az login`), or look at `service_principal` and this computer's clock",
    "NoAuthenticationInformation": "the account isn't open to everybody: look at the store's credentials",
    "AccountIsDisabled": "the storage account is disabled: look at it in the portal",
    "ServerBusy": "it asks for fewer requests; they are sent again",
}
# a bucket, as S3 and Google call it, and a container, as Azure does
_MISSING = {"NoSuchBucket": "bucket", "ContainerNotFound": "container"}
# Cloud Storage's: https://cloud.google.com/storage/docs/xml-api/reference-status
_GOOGLE_LOGIN = (
    "log in again (`gcloud auth application-default login`), or look at `credentials` in the project's `gcp` settings"
)
_GOOGLE_HINTS = {
    "AccessDenied": "the credentials need the role roles/storage.objectUser on the bucket",
    "AuthenticationRequired": _GOOGLE_LOGIN,
    "InvalidSecurity": _GOOGLE_LOGIN,
    "UserProjectAccountProblem": "the project's billing is disabled, or it is closed: look at https://console.cloud.google.com/billing",
}
_LATER = "these are the store's own words; where it is its own trouble, it may work later"


class Login:
    """A credential provider. Remembers what it raised last: obstore tells only the text of it."""

    def __init__(self, provide: Callable[[], Mapping[str, Any]]) -> None:
        self._provide = provide
        self.error: errors.DstackError | None = None

    def __call__(self) -> Mapping[str, Any]:
        try:
            found = self._provide()
        except errors.DstackError as error:
            self.error = error
            raise
        self.error = None
        return found


@dataclass(frozen=True)
class Target:
    """Where a store's requests go. `endpoint` and `region` are "" where obstore's own defaults hold."""

    url: str = ""
    endpoint: str = ""
    region: str = ""
    login: Login | None = None

    @property
    def bucket(self) -> str:
        return urlsplit(self.url).netloc


class Source(Iterator[bytes]):
    """The caller's chunks. Remembers what they raised: that is the caller's error, not the store's."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.error: BaseException | None = None

    def __next__(self) -> bytes:
        try:
            return next(self._chunks)
        except StopIteration:
            raise
        except BaseException as error:
            self.error = error
            raise


@contextmanager
def translated(target: Target, key: str, source: Source | None = None) -> Iterator[None]:
    """obstore's errors in ours. Raises NotFound, StoreError."""
    try:
        yield
    except (BaseError, OSError) as error:
        if source is not None and error is source.error:
            raise
        code = _found("Code", error)
        if isinstance(error, FileNotFoundError) and code not in _MISSING:
            raise errors.NotFound(f"the store has no {key}") from error
        raise explain(target, key, error, code) from error


def explain(target: Target, key: str, error: Exception, code: str) -> errors.StoreError:
    refusal = target.login.error if target.login and isinstance(error, UnauthenticatedError) else None
    if refusal is not None:
        return errors.StoreError(f"no way into the object store {target.url}: {refusal.summary}", refusal.hint)
    if code in _ELSEWHERE or "redirect without LOCATION" in str(error):
        return _elsewhere(target, _found("Region", error) or _ask_region(target))
    if code in _MISSING:
        return errors.StoreError(f"the {_MISSING[code]} {target.bucket} doesn't exist", _HINTS[code])
    if code:
        words = f"{code}: {_found('Message', error)}".removesuffix(": ")
        refused = isinstance(error, PermissionDeniedError)
        verb = "refused access" if refused else f"failed at {key}"
        hints = {**_HINTS, **_GOOGLE_HINTS} if target.url.startswith("gs:") else _HINTS
        hint = hints.get(code, hints["AccessDenied"] if refused else _LATER)
        return errors.StoreError(f"the object store {target.url} {verb}: {words}", hint)
    if isinstance(error, (PermissionDeniedError, UnauthenticatedError)):
        hint = "look at the permissions of the folder, or at the credentials and their rights to the bucket"
        return errors.StoreError(f"the object store refused access: {first_line(error)}", hint)
    if "error sending request" in str(error) or "HTTP error" in str(error):
        place = target.endpoint or target.url
        return errors.StoreError(
            f"the object store {place} can't be reached", "look at the network and the store's URL"
        )
    hint = "look at free disk space, or at the network and the store's URL"
    return errors.StoreError(f"the object store failed at {key}: {first_line(error)}", hint)


def _elsewhere(target: Target, region: str) -> errors.StoreError:
    here = f", not in {target.region}" if target.region else ""
    if not region:
        return errors.StoreError(
            f"the bucket {target.bucket} is in another region{here}", "set `region` in the project's store_options"
        )
    return errors.StoreError(
        f"the bucket {target.bucket} is in {region}{here}", f"set `region: {region}` in the project's store_options"
    )


def _ask_region(target: Target) -> str:
    """S3 tells anyone where a bucket is, in a header of any answer; "" where it doesn't."""
    parts = urlsplit(target.endpoint or "https://s3.amazonaws.com")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request("HEAD", f"/{target.bucket}")
        return connection.getresponse().getheader("x-amz-bucket-region") or ""
    except (OSError, http.client.HTTPException):
        # the error is told without it
        return ""
    finally:
        connection.close()


def _found(name: str, error: Exception) -> str:
    """What an element of the store's XML answer says, which obstore puts into its message."""
    match = re.search(f"<{name}>([^<]*)</{name}>", str(error))
    return match[1] if match else ""


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
