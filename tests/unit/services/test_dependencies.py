"""What a dependency stands for: a workflow's last run, a tag, and what is used again of it or why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.manifests import Manifest
from dstack_cloud.domain.states import JobStatus
from dstack_cloud.services import runs, workflows
from dstack_cloud.storage import artifacts, layout
from tests.unit.services.office import Office, request

FILE = """
workflows:
  - {name: data, commands: ["make ${{ run.args }} $size"], artifacts: [out]}
  - {name: more, commands: [make], artifacts: [out]}
  - {name: last, commands: [ls], deps: [{workflow: data}]}
  - {name: tagged, commands: [ls], deps: [":v1"]}
  - {name: named, commands: [ls], deps: ["data:v1"]}
  - {name: train, commands: [ls], deps: [data]}
  - {name: of_a_run, commands: [ls], deps: ["data:v9"]}
"""
VARIABLES = "variables: {global: {size: 1, unused: 1}}"
CODE = {"sha256": "ab" * 32, "size": 1, "files": 1}


def files(text: str = FILE, variables: str = VARIABLES) -> list[dict[str, str]]:
    return [{"path": ".dstack/workflows.yaml", "text": text}, {"path": ".dstack/variables.yaml", "text": variables}]


def asked(workflow: str, **changes: Any) -> dict[str, Any]:
    return {"files": files(), "workflow": workflow, "code": CODE, "contents": {".": "c"}, **changes}


def ran(office: Office, workflow: str, tag: str = "", status: JobStatus = JobStatus.DONE, **changes: Any) -> str:
    """A run of it that has ended, with what it saved; its name."""
    office.store.put(layout.code(str(CODE["sha256"])), b"x")
    name = office.submit(**asked(workflow, tag=tag, **changes))["name"]
    run = office.database.runs.get("main", name)
    assert run is not None
    for job in office.database.jobs.of_runs([run.id]):
        office.database.jobs.save(replace(job, status=status, finished_at=1.0))
        artifacts.publish(office.store, layout.JobPlace(name, job.name), Manifest(name, job.name, 1))
    return name


def planned(office: Office, workflow: str, **changes: Any) -> workflows.Plan:
    return workflows.plan_run(office.context, "main", request(**asked(workflow, **changes)))


def refusal(office: Office, workflow: str, **changes: Any) -> errors.DstackError:
    with pytest.raises(errors.DstackError) as caught:
        planned(office, workflow, **changes)
    return caught.value


def why(office: Office, **changes: Any) -> str:
    """Of `data` as what `train` depends on: the run whose outputs are used, or why it runs."""
    job = planned(office, "train", **changes).jobs[0]
    assert job.spec.workflow == "data"
    return job.reused.run_name if job.reused else job.why


def test_the_last_run_of_a_workflow_is_the_last_that_is_done(office: Office) -> None:
    ran(office, "data")
    second = ran(office, "data")
    ran(office, "data", status=JobStatus.FAILED)
    [need] = planned(office, "last").jobs[-1].needs
    assert (need.run, need.job, need.paths) == (second, "data", ("out",))


def test_where_only_a_failed_run_exists_it_is_named(office: Office) -> None:
    name = ran(office, "data", status=JobStatus.FAILED)
    told = refusal(office, "last")
    assert (
        told.summary
        == f"`last` depends on the last run of 'data', and none is done yet: {name} (failed) (.dstack/workflows.yaml:5)"
    )
    assert told.hint == "`dstack run data` first"


@pytest.mark.parametrize("workflow", ["tagged", "named"])
def test_a_tag_of_a_failed_run_is_no_outputs(office: Office, workflow: str) -> None:
    name = ran(office, "data", "v1", JobStatus.FAILED)
    told = refusal(office, workflow)
    assert f"is done: {name} (failed)" in told.summary
    assert told.hint == "wait for it, or tag another run"


def test_a_run_is_no_dependency_by_its_name(office: Office) -> None:
    name = ran(office, "data")
    told = refusal(office, "of_a_run", files=files(FILE.replace("data:v9", name)))
    assert told.summary.startswith(f"`of_a_run` depends on `{name}`, and there is no such workflow")
    assert told.hint is not None and f"`dstack tag {name} TAG`" in told.hint


def test_a_tag_of_several_workflows_lists_them(office: Office) -> None:
    first, second = ran(office, "data", "v1"), ran(office, "more", "v1")
    told = refusal(office, "tagged")
    text = "`tagged` depends on `:v1`, and `:v1` is a tag of several workflows"
    assert told.summary == f"{text} (.dstack/workflows.yaml:6)"
    assert told.hint == f"say which one: data:v1 ({first}), more:v1 ({second})"
    [need] = planned(office, "named").jobs[-1].needs
    assert (need.run, need.job) == (first, "data")


@pytest.mark.parametrize(
    ("workflow", "given", "hint"),
    [
        ("last", "the last data", "run `data` again"),
        ("tagged", ":v1", "run `data` again with -t v1"),
        ("named", "data:v1", "run `data` again with -t v1"),
    ],
)
def test_one_whose_artifacts_were_removed(office: Office, workflow: str, given: str, hint: str) -> None:
    name = ran(office, "data", "v1")
    artifacts.discard(office.store, layout.JobPlace(name, "data"))
    told = refusal(office, workflow)
    gone = f"which is {name}.data, and its artifacts are gone from the store"
    assert told.hint == hint
    assert told.summary.startswith(f"`{workflow}` depends on {given}, {gone} (")


def test_what_was_removed_is_run_again_where_it_can_be(office: Office) -> None:
    name = ran(office, "data")
    assert why(office) == name
    artifacts.discard(office.store, layout.JobPlace(name, "data"))
    assert why(office) == "its artifacts are gone"


def test_a_failed_run_is_not_used_again(office: Office) -> None:
    ran(office, "data", status=JobStatus.FAILED)
    assert why(office) == "no finished run"


def test_a_removed_run_is_not_used_again(office: Office) -> None:
    runs.remove(office.context, "main", ran(office, "data"))
    assert why(office) == "no finished run"


def test_a_variable_that_changed_counts(office: Office) -> None:
    name = ran(office, "data")
    assert why(office) == name
    assert why(office, variables={"size": "2"}) == "variable size changed"
    assert why(office, files=files(variables=VARIABLES.replace("unused: 1", "unused: 2"))) == "variable unused changed"
    ran(office, "data", variables={"size": "2"})
    assert why(office) == name


def test_an_argument_that_changed_counts(office: Office) -> None:
    ran(office, "data", args=["big"])
    assert why(office) == "its arguments changed"
    name = ran(office, "data")
    assert why(office) == name
    assert planned(office, "data", reuse="all", args=["big"]).jobs[0].reused is not None


@pytest.mark.parametrize("spelled", ["variables: [size]", "variables: size", "config: {include: [size]}"])
def test_only_the_variables_that_it_says_count(office: Office, spelled: str) -> None:
    text = FILE.replace("artifacts: [out]}", f"artifacts: [out], deps: {{{spelled}, workflows: []}}}}", 1)
    name = ran(office, "data", files=files(text))
    other = VARIABLES.replace("unused: 1", "unused: 2")
    assert why(office, files=files(text, other)) == name
    assert why(office, files=files(text), variables={"size": "2"}) == "variable size changed"
