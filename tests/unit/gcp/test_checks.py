"""`dstack config check` on Google Cloud: a line for each thing that can be wrong, with what to do about it."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from dstack_cloud.backends.base import Finding
from dstack_cloud.backends.gcp.backend import GcpBackend
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources.lending import store_access
from dstack_cloud.backends.gcp.resources.policy import needed_permissions, of_bucket
from tests.fakes.gcp import GoogleCloud
from tests.unit.gcp.conftest import write_key

pytestmark = pytest.mark.google

BUCKET = "checked-bucket"


def findings(config: GcpConfig, folder: Path, **settings: object) -> list[Finding]:
    return GcpBackend(config.model_copy(update=settings), folder, "me", "").validate()


def wrong(found: list[Finding]) -> Finding:
    """The only one that isn't good."""
    (finding,) = [each for each in found if not each.ok]
    return finding


def test_each_permission_region_and_quota_has_a_line(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    google.set(quotas={"CPUS": 24, "NVIDIA_T4_GPUS": 4, "PREEMPTIBLE_CPUS": 8, "GPUS_ALL_REGIONS": 2})
    both = ("us-central1", "europe-west4")
    found = findings(config, tmp_path, regions=both, instance_types=())
    assert all(each.ok for each in found)
    lines = [each.text for each in found]
    assert set(needed_permissions(config)) <= set(lines)
    for region in both:
        assert f"{region}: 24 CPUs (CPUS), 0 in use" in lines
        assert f"{region}: 8 CPUs of spot machines (PREEMPTIBLE_CPUS)" in lines
        assert any(line.startswith(f"{region}: ") and "4 NVIDIA_T4_GPUS" in line for line in lines)
    assert "all regions: 2 GPUs (GPUS_ALL_REGIONS), 0 in use" in lines


@pytest.mark.parametrize("service", ["compute", "cloudresourcemanager", "iam", "cloudbilling"])
def test_an_api_that_is_off_is_told_with_the_command(
    config: GcpConfig, google: GoogleCloud, tmp_path: Path, service: str
) -> None:
    google.set(disabled=[f"{service}.googleapis.com"])
    assert f"gcloud services enable {service}.googleapis.com" in wrong(findings(config, tmp_path)).fix


def test_a_project_without_billing(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    google.set(billing=False)
    assert "gcloud billing projects link" in wrong(findings(config, tmp_path)).fix


def test_a_login_that_is_over(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    gone = {**google.key_file(), "client_email": "gone@p.iam.gserviceaccount.com"}
    found = findings(config, tmp_path, credentials=write_key(tmp_path, gone))
    assert len(found) == 1 and "expired or were taken back" in found[0].text
    assert "gcloud auth application-default login" in found[0].fix


def test_a_region_that_there_is_not_is_told_once(config: GcpConfig, tmp_path: Path) -> None:
    found = findings(config, tmp_path, regions=("us-central1", "mars-north1"))
    assert wrong(found).text == "there is no region mars-north1"
    assert "gcloud compute regions list" in wrong(found).fix
    assert any(each.text.startswith("us-central1: ") for each in found)


def test_types_that_no_region_has(config: GcpConfig, tmp_path: Path) -> None:
    found = findings(config, tmp_path, regions=("us-east4", "us-west4"), instance_types=("e2-*", "a2-highgpu-*"))
    assert wrong(found).text == "no zone of us-east4, us-west4 has a2-highgpu-*"
    assert "gpu-regions-zones" in wrong(found).fix
    one = findings(config, tmp_path / "more", regions=("us-east4", "us-central1"), instance_types=("a2-highgpu-*",))
    assert "a2-highgpu-* is there in us-central1" in [each.text for each in one if each.ok]


def test_no_gpu_anywhere_is_wrong_for_who_asks_for_gpus(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    google.set(quotas={"GPUS_ALL_REGIONS": 0})
    finding = wrong(findings(config, tmp_path, instance_types=("g2-standard-4",)))
    assert "0 GPUs (GPUS_ALL_REGIONS)" in finding.text and "console.cloud.google.com" in finding.fix
    assert all(each.ok for each in findings(config, tmp_path / "cpu", instance_types=("e2-*",)))


def test_a_kind_of_gpu_without_quota_is_wrong_only_where_it_is_asked_for(
    config: GcpConfig, google: GoogleCloud, tmp_path: Path
) -> None:
    google.set(quotas={"NVIDIA_L4_GPUS": 0})
    spot = findings(config, tmp_path, instance_types=("g2-*",))
    assert all(each.ok for each in spot)
    assert any("0 L4 GPUs (NVIDIA_L4_GPUS)" in each.text and "quotas" in each.text for each in spot)
    google.set(quotas={"NVIDIA_L4_GPUS": 0, "PREEMPTIBLE_NVIDIA_L4_GPUS": 0})
    none = [each for each in findings(config, tmp_path, instance_types=("g2-*",)) if not each.ok]
    assert [each.fix for each in none if "in us-central1" in each.fix] == [each.fix for each in none] != []
    assert all(each.ok for each in findings(config, tmp_path / "t4", instance_types=("n1-standard-4",)))


def test_a_region_whose_cpus_are_none(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    google.set(quotas={"CPUS": 0})
    assert "CPUS in us-central1" in wrong(findings(config, tmp_path)).fix


def of_store(config: GcpConfig, google: GoogleCloud, folder: Path, granted: tuple[str, ...]) -> list[Finding]:
    key = write_key(folder, google.restricted(f"storer-{uuid.uuid4().hex[:6]}", granted))
    return store_access(config.model_copy(update={"credentials": key}), f"gs://{BUCKET}/team", {}).findings()


def test_each_permission_of_the_store_has_a_line(config: GcpConfig, google: GoogleCloud, tmp_path: Path) -> None:
    google.make_bucket(BUCKET)
    needed = of_bucket(config)
    assert {"storage.objects.create", "storage.objects.get", "storage.objects.list", "storage.objects.delete"} < {
        *needed
    }
    assert [each.text for each in of_store(config, google, tmp_path, needed) if each.ok] == [
        f"{permission} in {BUCKET}" for permission in needed
    ]
    for lacking in needed:
        finding = wrong(of_store(config, google, tmp_path, tuple(each for each in needed if each != lacking)))
        assert finding.text == f"{lacking} in {BUCKET} is missing" and f"gs://{BUCKET}" in finding.fix


def test_a_bucket_that_is_not_there_and_a_store_elsewhere(config: GcpConfig) -> None:
    missing = wrong(store_access(config, "gs://no-such-bucket", {}).findings())
    assert missing.fix == "`gcloud storage buckets create gs://no-such-bucket`"
    elsewhere = config.model_copy(update={"endpoint": ""})
    assert store_access(elsewhere, "gs://b", {"base_url": "https://storage.example.com"}).findings() == []
