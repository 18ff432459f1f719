from __future__ import annotations

from dstack_cloud.backends.gcp.kinds import attached, disk_type, split


def test_types_with_gpus_have_names_that_are_read_back() -> None:
    name = attached("n1-standard-8", "nvidia-tesla-t4", 2)
    assert split(name) == ("n1-standard-8", "nvidia-tesla-t4", 2)
    assert split("g2-standard-4") == ("g2-standard-4", "", 0)
    assert (disk_type(name), disk_type("c4-standard-2")) == ("pd-balanced", "hyperdisk-balanced")
