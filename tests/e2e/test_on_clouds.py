"""What Google Cloud and Azure say each in words of their own, and a user is told alike: what can't be had there, and what becomes of a
run whose machine isn't there yet, or not any more; through the command line alone. Of AWS see test_aws.py."""

from __future__ import annotations

import http.client
import re
import signal
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.e2e import azure, engine
from tests.e2e import google as gcp
from tests.e2e.cloud import await_nothing_held
from tests.e2e.conftest import User, until
from tests.fakes.azure.cloud import AzureCloud
from tests.fakes.azure.fixtures import any_whole_azure, whole_azure
from tests.fakes.clouds import FULL, RUNNING
from tests.fakes.emulated import EmulatedCloud
from tests.fakes.gcp import GoogleCloud
from tests.fakes.gcp.fixtures import any_whole_google, google_bucket, google_cloud

__all__ = ["any_whole_azure", "any_whole_google", "google_bucket", "google_cloud", "whole_azure"]  # fixtures

# https://learn.microsoft.com/entra/identity-platform/reference-error-codes
EXPIRED = "AADSTS7000222: The provided client secret keys for app 'a' are expired."
CLOUDS = [
    pytest.param("gcp", marks=[pytest.mark.google, pytest.mark.sandbox, pytest.mark.seaweed]),
    pytest.param("azure", marks=[pytest.mark.azure, pytest.mark.sandbox, pytest.mark.azurite]),
]
WEB = """
    workflows:
      - name: web
        provider: bash
        ports: [8765]
        commands: [echo served > page, python3 -m http.server 8765 --bind 127.0.0.1]
"""


@dataclass(frozen=True)
class Site:
    """A cloud, with a user who is logged in. `store`: the bucket or container of the project. `configure` names another. `making`: what the
    cloud says of a machine that is still being made; `slowly`: how that is made to last. `expire`: from now on the login is worth
    nothing; `log_in`: it is again, with the command `login`."""

    name: str
    cloud: EmulatedCloud
    store: str
    configure: Callable[[str], None]
    making: str
    slowly: Mapping[str, float]
    expire: Callable[[], None]
    log_in: Callable[[], None]
    login: str

    def running(self) -> set[str]:
        return {each["id"] for each in self.cloud.instances(RUNNING[self.name])}


def on_google(user: User, cloud: GoogleCloud, bucket: str) -> Site:
    gcp.log_in(user, cloud, bucket)
    return Site(
        *("gcp", cloud, bucket, lambda store: gcp.configure(user, cloud, store)),
        making="PROVISIONING",
        slowly={"operation_delay": 2.0},
        expire=lambda: gcp.write_login(user, {**cloud.key_file(), "client_email": "gone@p.iam.gserviceaccount.com"}),
        log_in=lambda: gcp.log_in(user, cloud, bucket),
        login="`gcloud auth application-default login`",
    )


def on_azure(user: User, cloud: AzureCloud, container: str) -> Site:
    return Site(
        *("azure", cloud, container, lambda store: azure.configure(user, cloud, store)),
        making="creating",
        slowly={"operation_seconds": 2.0},
        expire=lambda: cloud.fail("entra.token", "invalid_client", message=EXPIRED),
        log_in=cloud.forgive,
        login="`az login`",
    )


@pytest.fixture(params=CLOUDS)
def site(request: pytest.FixtureRequest, user: User) -> Iterator[Site]:
    engine.ensure_job_image()
    engine.ensure_machine_image()
    if request.param == "gcp":
        made = on_google(user, request.getfixturevalue("google_cloud"), request.getfixturevalue("google_bucket"))
    else:
        cloud: AzureCloud = request.getfixturevalue("whole_azure")
        made = on_azure(user, cloud, cloud.make_container())
    made.configure(made.store)
    yield made
    await_nothing_held(user, made.cloud)


def refusal(user: User) -> str:
    """What is said of a run that can't be, by a server that has just read configuration and login."""
    user("server", "stop", code=None)
    return user("run", "hi", code=None).err


def test_what_can_not_be_is_told_with_the_reason_and_makes_no_machine(user: User, site: Site) -> None:
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi]}")
    operation, full = FULL[site.name]
    site.cloud.fail(operation, full)
    said = refusal(user)
    assert re.search(r"(\d+) offers tried: \1 no capacity", said), said
    site.cloud.forgive()
    site.configure(f"{site.store}-nowhere")
    said = refusal(user)
    assert f"{site.store}-nowhere" in said, said
    site.configure(site.store)
    site.expire()
    said = refusal(user)
    assert "expired" in said and site.login in said, said
    site.log_in()
    assert [each for each in site.cloud.instances() if each["address"]] == []
    user("server", "stop", code=None)
    interrupt_while_a_machine_is_made(user, site)


def interrupt_while_a_machine_is_made(user: User, site: Site) -> None:
    """Ctrl+C while the cloud is still deciding whether it has one."""
    site.cloud.set(**site.slowly)
    process = user.start("run", "hi")
    until(lambda: site.cloud.instances(site.making))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert (process.returncode, user.wait(user.runs()[0]["name"])["status"]) == (130, "stopped")
    until(lambda: site.cloud.held() == [])


def test_a_port_is_served_again_after_a_death_without_notice_until_ctrl_c(user: User, site: Site) -> None:
    user.workflows(WEB)
    process = user.start("run", "web")
    assert process.stderr
    url = until(lambda: re.search(rb"port 8765 at (http://localhost:\d+)", process.stderr.readline())).group(1).decode()
    until(lambda: page(url) == b"served\n")
    [first] = site.running()
    site.cloud.kill(first)
    until(lambda: site.running() - {first}, patience=120)
    until(lambda: page(url) == b"served\n", patience=120)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    [run] = user.runs()
    assert (process.returncode, user.wait(run["name"])["status"]) == (130, "stopped")
    assert [each["ending"] for each in run["jobs"][0]["instances"]] == ["lost", ""]


def page(url: str) -> bytes:
    """b"" where nothing answers now."""
    try:
        with urllib.request.urlopen(f"{url}/page", timeout=10) as found:
            return bytes(found.read())
    except (OSError, http.client.HTTPException):
        return b""
