"""The protocol's requests (docs/dev/runner-protocol.md), each a function of the runner."""

from __future__ import annotations

import sys
from collections.abc import Callable

from dstack_cloud.runner_bootstrap.payload.executor import Failure
from dstack_cloud.runner_bootstrap.payload.http1 import Handler, Refused, Reply, Request
from dstack_cloud.runner_bootstrap.payload.inputs import ARTIFACTS, SETUP
from dstack_cloud.runner_bootstrap.payload.runner import Runner

LONGEST_WAIT = 60.0


def routes(runner: Runner) -> Handler:
    exact: dict[str, tuple[str, Callable[[Runner, Request, Reply], None]]] = {
        "/v1/state": ("GET", _state),
        "/v1/job": ("PUT", _job),
        "/v1/log": ("GET", _log),
        "/v1/log_times": ("GET", _log_times),
        "/v1/changes": ("PUT", _changes),
        "/v1/stop": ("POST", _stop),
        "/v1/collected": ("POST", _collected),
    }
    named = {"/v1/inputs/": ("PUT", _input), "/v1/outputs/": ("GET", _output)}

    def handle(request: Request, reply: Reply) -> None:
        found = exact.get(request.path) or named.get(request.path[: request.path.rfind("/") + 1])
        if found is None:
            raise Refused(404, f"there is no {request.path}")
        method, answer = found
        if request.method != method:
            raise Refused(405, f"{request.path} takes {method}")
        answer(runner, request, reply)

    return handle


def _state(runner: Runner, request: Request, reply: Reply) -> None:
    wait = min(request.number("wait"), LONGEST_WAIT)
    record = runner.state.wait(int(request.number("after", -1)), wait)
    reply.json({**record, "log_size": runner.spool.size})


def _job(runner: Runner, request: Request, reply: Reply) -> None:
    runner.submit(request.json())
    reply.json({})


def _input(runner: Runner, request: Request, reply: Reply) -> None:
    runner.take_input(_name(request), request.body)
    reply.json({})


def _changes(runner: Runner, request: Request, reply: Reply) -> None:
    reply.json({"kept": runner.take_changes(request.body)})


def _log(runner: Runner, request: Request, reply: Reply) -> None:
    offset, size = int(request.number("offset")), runner.spool.size
    if not 0 <= offset <= size:
        raise Refused(416, f"the log has {size} bytes, none at {offset}")
    if request.query.get("follow", "0") != "1":
        reply.sized(size - offset, runner.spool.read(offset, size))
        return
    reply.stream()
    for chunk in runner.spool.follow(offset):
        reply.write(chunk)
        reply.flush()
        if not chunk and reply.reader_gone():
            return
    reply.end()


def _log_times(runner: Runner, request: Request, reply: Reply) -> None:
    times = runner.spool.times
    reply.data(times.read_bytes() if times.exists() else b"")


def _stop(runner: Runner, request: Request, reply: Reply) -> None:
    wanted = request.json()
    runner.stop(isinstance(wanted, dict) and bool(wanted.get("abort")))
    reply.json({})


def _output(runner: Runner, request: Request, reply: Reply) -> None:
    if _name(request) == ARTIFACTS:
        _artifacts(runner, request, reply)
        return
    if _name(request) == SETUP:
        _setup(runner, reply)
        return
    entries = runner.cache(_name(request))
    # imported here: an idle runner has no use for tarfile
    from dstack_cloud.runner_bootstrap.payload.pack import pack

    reply.stream()
    pack(entries, Wanted(runner, reply), runner.state.warn)
    reply.end()


def _artifacts(runner: Runner, request: Request, reply: Reply) -> None:
    base = int(request.number("base")) if "base" in request.query else None
    sending = runner.artifacts(base)
    from dstack_cloud.runner_bootstrap.payload.syncs import Torn

    reply.stream({"X-Sync": str(sending.number)})
    try:
        sending.write(Wanted(runner, reply))
    except Torn as torn:
        # without its end the stream counts for nothing; who asks again gets one without that file
        print(torn, file=sys.stderr)
        return
    reply.end()


def _setup(runner: Runner, reply: Reply) -> None:
    chunks = runner.setup()
    wanted = Wanted(runner, reply)
    reply.stream()
    try:
        for chunk in chunks:
            wanted.write(chunk)
    except Failure as failure:
        # without its end the stream counts for nothing
        runner.state.warn(f"{failure.message}; it is built again on other machines")
        return
    reply.end()


class Wanted:
    """Breaks an output off as soon as the job is aborted: nobody wants the rest, however much that is."""

    def __init__(self, runner: Runner, reply: Reply) -> None:
        self._runner = runner
        self._reply = reply

    def write(self, data: bytes) -> int:
        if self._runner.state["reason"] == "aborted":
            raise ConnectionAbortedError("the job was aborted")
        return self._reply.write(data)


def _collected(runner: Runner, request: Request, reply: Reply) -> None:
    runner.collected()
    reply.json({}, close=True)
    runner.finished.set()


def _name(request: Request) -> str:
    return request.path.rpartition("/")[2]
