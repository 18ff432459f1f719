"""What a server knows of itself before it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dstack_cloud.server.wiring import Server, wire
from tests.unit.db import rows


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    one = wire(tmp_path)
    yield one
    one.database.close()


@pytest.mark.parametrize(
    ("job", "going"), [({}, False), ({"stop_request": "aborted"}, True), ({"status": rows.FINISHED}, True)]
)
def test_a_machine_goes_whose_job_is_over_or_was_asked_to_stop(
    server: Server, job: dict[str, object], going: bool
) -> None:
    [made] = rows.fill(server.database, "shady-1", instance_id="i-1", **job)  # type: ignore[arg-type]  # a SQL one
    server.database.instances.add(rows.an_instance(made))
    assert server.tearing_down() == going
