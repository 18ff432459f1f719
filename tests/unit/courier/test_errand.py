from __future__ import annotations

import json

from dstack_cloud.courier.errand import Errand, MachineStore

ERRAND = Errand(
    "a-1", "shady-1", "train", 2, "train", code="ab" * 32, caches=("~/.cache", "c"), restore=True, sync=60.0
)


def test_an_errand_survives_json() -> None:
    assert Errand.from_json(ERRAND.to_json()) == ERRAND
    plain = Errand("a-1", "shady-1", "train", 1, "train")
    assert Errand.from_json(plain.to_json()) == plain


def test_the_inputs_end_with_what_goes_over_the_others() -> None:
    assert ERRAND.inputs == ["code", "cache-0", "cache-1", "artifacts"]
    assert Errand("a-1", "shady-1", "train", 1, "train").inputs == []


def test_credentials_are_neither_shown_nor_in_the_part_that_lies_on_a_disk() -> None:
    store = MachineStore("s3://b", {"region": "r"}, {"secret_access_key": "hush"})
    assert "hush" not in repr(store)
    assert json.loads(store.place_json()) == {"url": "s3://b", "options": {"region": "r"}, "lent": True}
    assert json.loads(store.credentials_json()) == {"secret_access_key": "hush"}
