"""What a job is given of another one that ran on several nodes, and in which order."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

from dstack_cloud.domain.jobs import SavedPath
from dstack_cloud.domain.runs import Instance, Need
from dstack_cloud.orchestrator.dispatch import runner_job
from dstack_cloud.orchestrator.errands import errand_of
from tests.fakes.simulation import Chance, Simulation, an_offer


def test_the_artifacts_of_all_nodes_are_given_the_first_on_top(tmp_path: Path) -> None:
    world = Simulation(tmp_path, Chance(random.Random(1)))
    need = Need("misty-1", "shard", paths=("out",), nodes=3)
    job = replace(world.submit(), needs=(Need("misty-1", "other"), need))
    instance = Instance("i", "main", job.id, job.run_name, 1, an_offer())
    assert [place.job for place in errand_of(instance, job).deps] == ["shard.2", "shard.1", "shard"]
    told = runner_job(world.world, instance, job, world.backend.capabilities)
    assert told["deps"] == [["out"]] * 3
    assert told["inputs"] == ["deps-0", "deps-1", "deps-2"]


def test_only_node_0_saves_the_cache(tmp_path: Path) -> None:
    job = Simulation(tmp_path, Chance(random.Random(1))).submit(nodes=2, cache=(SavedPath(path="kept"),))
    instance = Instance("i", "main", job.id, job.run_name, 1, an_offer())
    errands = [errand_of(instance, replace(job, node=node)) for node in range(2)]
    assert [errand.keeps_caches for errand in errands] == [True, False]
    assert [errand.inputs for errand in errands] == [["cache-0"]] * 2
