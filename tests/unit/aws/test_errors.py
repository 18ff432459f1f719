from __future__ import annotations

import socket

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from dstack_cloud import errors
from dstack_cloud.backends.aws.errors import refusal, translated

HERE = "eu-west-3b g5.xlarge spot"


def answer(code: str, message: str = "its own words", status: int = 400) -> ClientError:
    response = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(response, "RunInstances")  # type: ignore[arg-type] # no more is looked at


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("InsufficientInstanceCapacity", errors.NoCapacity),
        ("SpotMaxPriceTooLow", errors.NoCapacity),
        ("Unsupported", errors.NoCapacity),
        ("InsufficientFreeAddressesInSubnet", errors.NoCapacity),
        ("VcpuLimitExceeded", errors.QuotaExceeded),
        ("MaxSpotInstanceCountExceeded", errors.QuotaExceeded),
        ("UnauthorizedOperation", errors.NotAuthorized),
        ("AuthFailure", errors.NotAuthorized),
        ("OptInRequired", errors.NotAuthorized),
        ("ExpiredToken", errors.NotAuthorized),
        ("RequestLimitExceeded", errors.Throttled),
        ("InternalError", errors.Unavailable),
        ("InvalidParameterValue", errors.InvalidConfiguration),
    ],
)
def test_each_code_becomes_its_kind_and_keeps_its_words(code: str, kind: type[errors.BackendError]) -> None:
    told = refusal(answer(code), HERE)
    assert type(told) is kind
    assert (told.cloud_code, told.cloud_message) == (code, "its own words")
    assert HERE in told.summary


@pytest.mark.parametrize(("status", "kind"), [(503, errors.Unavailable), (400, errors.InvalidConfiguration)])
def test_an_unknown_code_is_judged_by_its_status(status: int, kind: type[errors.BackendError]) -> None:
    assert type(refusal(answer("BrandNew", status=status), HERE)) is kind


def test_a_missing_permission_is_named() -> None:
    words = "User: arn:aws:iam::1:user/me is not authorized to perform: ec2:CreateTags on resource: arn:aws:ec2:…"
    told = refusal(answer("UnauthorizedOperation", words, 403), HERE)
    assert "the permission ec2:CreateTags is missing" in told.summary
    assert told.hint and "dstack config permissions aws" in told.hint


@pytest.mark.parametrize(
    ("code", "hint"),
    [("ExpiredToken", "log in again"), ("RequestExpired", "clock"), ("InvalidSignatureException", "clock"), ("OptInRequired", "enable the region")],
)  # fmt: skip
def test_what_the_user_can_do_is_said(code: str, hint: str) -> None:
    assert hint in str(refusal(answer(code), HERE).hint)


def test_a_page_of_a_proxy_does_not_fill_the_screen() -> None:
    told = refusal(answer("418", "<html>\n" + "x" * 10_000), HERE)
    assert len(told.summary) < 200


def test_nobody_answers() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        once = Config(retries={"total_max_attempts": 1})
        ec2 = boto3.Session("id", "secret").client(
            "ec2", "eu-west-1", endpoint_url=f"http://127.0.0.1:{closed.getsockname()[1]}", config=once
        )
        with pytest.raises(errors.Unavailable, match="no answer from AWS") as caught, translated("eu-west-1"):
            ec2.describe_regions()
    assert caught.value.cloud_code == "EndpointConnectionError"


def test_our_own_errors_pass_as_they_are() -> None:
    with pytest.raises(errors.Throttled), translated("eu-west-1"):
        raise errors.Throttled("wait")
