"""Carries what a runner owes into the store, and what it needs to it.

It writes only objects: whoever wants to know how the job is reads the runner's last word from the store. A carrier that dies
loses nothing: the next one goes on where the store ends.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Protocol

from dstack_cloud import errors
from dstack_cloud.courier.errand import ARTIFACTS, Errand
from dstack_cloud.courier.inputs import Inputs
from dstack_cloud.courier.saves import BrokenOff, Saves
from dstack_cloud.courier.setups import Setups
from dstack_cloud.courier.trouble import PATIENCE, Trouble, is_unreachable
from dstack_cloud.runner_bootstrap.link import LinkError, RunnerLink, RunnerState
from dstack_cloud.storage import caches, layout, logs
from dstack_cloud.storage.base import Store

log = logging.getLogger(__name__)

# the log is readable when nobody is attached at most this many seconds later, plus one put
LOG_FLUSH = 2.0
SETTLE = 0.2
FIRST_RETRY, LONGEST_RETRY = 0.1, 5.0
REASONS = {"downloading": "input", "uploading": "output"}


class Road(Protocol):
    """The way to the runner, and whoever waits for what arrives. Any method may raise DstackError or OSError."""

    def open(self) -> RunnerLink:
        """A link that answers; the same one while it does. Raises LinkError too."""
        ...

    def forget(self) -> None:
        """Breaks off what is under way on the link; the next `open` gives another one."""
        ...

    def lost(self) -> None:
        """The runner stopped answering."""
        ...

    def recorded(self) -> None:
        """The store has news."""
        ...


class Carrier:
    """Serves one attempt: `run` returns when its last word is in the store, or after `stop`. `dismissed`: the runner
    was told that it may end. `failures`: how often something else failed than the way to it; `complaint`: the last of them.
    `given_up`: why it returned although the store couldn't even be told the last word."""

    def __init__(self, store: Store, road: Road, errand: Errand, patience: Mapping[str, float] = PATIENCE) -> None:
        """`patience`: seconds by phase."""
        self._store = store
        self._road = road
        self._errand = errand
        self._inputs = Inputs(store, errand)
        self._saves = Saves(store, errand)
        self._setups = Setups(store, errand)
        self._log = logs.LogWriter(store, errand.place)
        self._stored = 0
        self._flushed_at = 0.0
        self._recorded: RunnerState | None = None
        self._stopping = threading.Event()
        # by the monotonic clock, which stands still while the computer sleeps
        self._lost_at: float | None = None
        self._trouble = Trouble(patience)
        self.dismissed = False
        self.failures = 0
        self.complaint = ""
        self.given_up = ""

    @property
    def unreachable_for(self) -> float:
        """Seconds without an answer; 0.0 while the runner answers."""
        lost = self._lost_at
        return 0.0 if lost is None else max(time.monotonic() - lost, 0.001)

    def stop(self) -> None:
        self._stopping.set()
        self._saves.stop()
        self._setups.stop()

    def run(self) -> None:
        pause = FIRST_RETRY
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self._serve()
                return
            except BrokenOff:
                log.info("carrier of %s: its last save was broken off", self._errand.attempt_id)
            except (LinkError, errors.DstackError, OSError) as error:
                if self._stopping.is_set() or self._settle(error):
                    return
            except Exception:
                # whatever it is, the job must not be left without its carrier
                log.exception("carrier of %s", self._errand.attempt_id)
            pause = FIRST_RETRY if time.monotonic() - began > LONGEST_RETRY else min(pause * 2, LONGEST_RETRY)
            self._stopping.wait(pause)

    def _settle(self, error: Exception) -> bool:
        """What an error means for the job; True where it was given up."""
        log.info("carrier of %s: %s", self._errand.attempt_id, error)
        if not is_unreachable(error):
            self.failures += 1
            self.complaint = str(error)
            try:
                return self._give_up(error)
            except (LinkError, errors.DstackError, OSError) as second:
                # a store that fails must not hide that the runner is gone
                log.warning("carrier of %s: %s", self._errand.attempt_id, second)
                error = second
        if is_unreachable(error):
            self._note_loss()
        return False

    def _note_loss(self) -> None:
        if self._lost_at is None:
            self._lost_at = time.monotonic()
        try:
            self._road.forget()
            self._road.lost()
        except (errors.DstackError, OSError) as second:
            log.warning("carrier of %s: %s", self._errand.attempt_id, second)

    def _give_up(self, error: Exception) -> bool:
        """Ends the job where trying again can't help: its machine must not wait for ever, and its user must learn why."""
        # the store may have been told nothing for long
        state = self._road.open().state()
        self._lost_at = None
        if state.phase not in PATIENCE:
            # a running job goes on without us: its log waits on the machine
            return False
        # of an aborted one nothing is wanted, so nothing is waited for
        waits = state.reason != "aborted"
        if not self._trouble.hopeless(state.phase, error) and waits:
            return False
        message = error.summary if isinstance(error, errors.DstackError) else str(error)
        reason = REASONS[state.phase] if waits else state.reason
        last = replace(state, phase="finished", seq=state.seq + 1, reason=reason, message=message)
        try:
            self._record(last)
        except errors.StoreError:
            if waits and not self._trouble.is_overdue(state.phase):
                raise
            self.given_up = message
        return True

    def _serve(self) -> None:
        """Returns when there is nothing left to carry."""
        if self._is_over():
            return
        link = self._road.open()
        self._stored = self._log.resume()
        sequence = -1
        while not self._stopping.is_set():
            state = link.state(after=sequence, wait=LOG_FLUSH)
            self._lost_at = None
            sequence = state.seq
            if state.phase == "idle":
                state = replace(state, phase="finished", reason="runner", message="it has lost the job")
            self._record(state)
            if self._serve_phase(link, state):
                return

    def _serve_phase(self, link: RunnerLink, state: RunnerState) -> bool:
        """What the runner needs now; whether it was the last of all."""
        if state.phase == "downloading" and not self._inputs.sent:
            self._send_inputs(link)
        if state.phase == "running":
            self._saves.save_if_due(link)
        self._setups.serve(link, state)
        self._carry_log(link, state)
        if state.phase == "uploading":
            self._collect(link, state)
        return state.phase in ("uploading", "finished")

    def _send_inputs(self, link: RunnerLink) -> None:
        self._inputs.send(link, lambda: self._still_waits(link), self._road.forget)
        self._saves.start_from(self._inputs.restored)

    def _still_waits(self, link: RunnerLink) -> bool:
        state = link.state()
        self._record(state)
        return state.phase not in ("uploading", "finished")

    def _is_over(self) -> bool:
        """Whether the last word was recorded, by this carrier or one before it: nothing may take it back."""
        if self._recorded is None:
            try:
                raw = json.loads(self._store.get(self._errand.place.status))
            except errors.NotFound:
                return False
            return bool(raw["attempt"] == self._errand.attempt_id and raw["phase"] == "finished")
        return self._recorded.phase == "finished"

    def _record(self, state: RunnerState) -> None:
        """Objects first, then whoever waits for them is told. How long the log is, the log says itself."""
        state = replace(state, log_size=0, attempt=self._errand.attempt_id)
        if state == self._recorded or self._stopping.is_set():
            return
        self._store.put(self._errand.place.status, json.dumps(asdict(state)).encode())
        if self._recorded is None or self._recorded.phase != state.phase:
            self._store.create(layout.status(self._errand.attempt_id, state.seq, state.phase), b"")
        self._recorded = state
        self._road.recorded()

    def _carry_log(self, link: RunnerLink, state: RunnerState) -> None:
        now = time.monotonic()
        ended = state.phase in ("uploading", "finished")
        due = ended or now - self._flushed_at >= LOG_FLUSH - SETTLE
        if state.log_size <= self._stored or not due:
            return
        self._flushed_at = now
        for data in link.log(self._stored):
            self._log.append(self._stored, data, int(time.time() * 1000))
            self._stored += len(data)

    def _collect(self, link: RunnerLink, state: RunnerState) -> None:
        """Artifacts and caches are whole in the store before the last word is; only then may the runner go."""
        for output in sorted(state.outputs, key=lambda output: output["name"] != ARTIFACTS):
            name = str(output["name"])
            if name == ARTIFACTS:
                # what an interrupted attempt leaves is where the next one goes on, and nobody's result yet
                self._saves.finish(link, complete=state.reason != "interrupted")
            elif self._errand.keeps_caches and output.get("changed", True):
                caches.save_cache(self._store, self._errand.workflow, str(output["path"]), link.output(name))
        self._setups.finish(link, state)
        if state.reason == "aborted":
            self._saves.withdraw()
        elif state.reason != "interrupted":
            self._saves.settle()
        self._log.join(link.log_times())
        # what couldn't be read was noticed only while it was collected
        self._record(replace(state, phase="finished", seq=state.seq + 1, warnings=link.state().warnings))
        link.collected()
        self.dismissed = True
