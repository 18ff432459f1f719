"""Many runs at once: none is lost, none is in another's way."""

from concurrent.futures import ThreadPoolExecutor

from tests.e2e.conftest import User, until

RUNS = 16


def test_runs_submitted_side_by_side_all_end_right(user: User) -> None:
    user.workflows("workflows: {name: hi, provider: bash, commands: ['echo ${{ run.name }}']}")
    user("ps", "-a")
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda _: user.submit("hi"), range(RUNS)))
    assert len(set(names)) == RUNS
    until(lambda: all(run["status"] == "done" for run in user.runs()))
    assert all(user("logs", name).text == f"{name}\n" for name in names)


def test_runs_of_the_same_code_share_one_snapshot(user: User) -> None:
    user.workflows("workflows: {name: hi, provider: bash, commands: [echo hi]}")
    user.submit("hi")
    user.submit("hi")
    assert len(list((user.home / "store").glob("*/code/*"))) == 1
