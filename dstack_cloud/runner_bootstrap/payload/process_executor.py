"""Runs a job as processes of this machine, in a private copy of the source and a private home folder."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dstack_cloud.runner_bootstrap.payload import git, interpreter, script
from dstack_cloud.runner_bootstrap.payload.executor import Commit, Ending, Failure, Say
from dstack_cloud.runner_bootstrap.payload.folder import Folder
from dstack_cloud.runner_bootstrap.payload.job import Job
from dstack_cloud.runner_bootstrap.payload.processes import Family, become_subreaper, look
from dstack_cloud.runner_bootstrap.payload.pump import Pump
from dstack_cloud.runner_bootstrap.payload.spool import Spool

LAST_BYTES_SECONDS = 10.0
BASE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CA_VARIABLES = ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS")
# what a job may know of the machine's environment: how to find programs, write text, and reach the network
INHERITED = (
    *("PATH", "LANG", "LANGUAGE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", *CA_VARIABLES, "SSL_CERT_DIR"),
    *("http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "NO_PROXY"),
    *(
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_CONFIG_FILE",
        "PIP_FIND_LINKS",
        "PIP_TRUSTED_HOST",
        "PIP_DEFAULT_TIMEOUT",
    ),
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "NPM_CONFIG_REGISTRY"),
)


class ProcessExecutor:
    def __init__(self, folder: Folder, job: Job, spool: Spool) -> None:
        self._folder = folder
        self._job = job
        self._spool = spool
        self._programs: Path | None = None
        self._leader: subprocess.Popen[bytes] | None = None
        self._pump: Pump | None = None
        self._family: Family | None = None
        self._started = 0

    def prepare(self, say: Say) -> None:
        version = self._job.python
        path = self._job.env.get("PATH") or os.environ.get("PATH", BASE_PATH)
        if version is None and not self._job.installs and shutil.which("python", path=path):
            return
        say(f"looking for Python {version}" if version else "looking for Python")
        found = interpreter.find_interpreter(version)
        if found is None:
            looked = interpreter.where_looked(str(version))
            raise Failure(
                "start", f"Python {version} isn't on this machine (looked for {looked}); install it or ask for another"
            )
        version = version or interpreter.version_of(found)
        active = interpreter.active_packages(version, path)
        self._programs = interpreter.make_environment(found, version, self._folder.python, active)

    def start(self, commit: Commit) -> None:
        become_subreaper()
        self._folder.exit_code.unlink(missing_ok=True)
        arguments = ["/bin/sh", "-c", script.KEEPER, "dstack-job", str(self._folder.exit_code)]
        arguments += self._job.entrypoint or ("bash", "-c")
        arguments.append(script.joined(self._job.commands))
        reader, writer = os.pipe()
        try:
            self._start_pump(reader)
            self._start_leader(arguments, writer)
        finally:
            os.close(reader)
            os.close(writer)
        leader = self._running_leader()
        commit({"pid": leader.pid, "started": self._started, "pump": self._pump.pid if self._pump else 0})
        try:
            with leader.stdin as go:  # type: ignore[union-attr]
                go.write(b"go\n")
        except BrokenPipeError:
            pass  # killed already: `wait` tells

    def adopt(self, found: dict[str, Any]) -> None:
        """Takes over the processes that an earlier runner started."""
        become_subreaper()
        self._started = int(found["started"])
        self._pump = Pump(int(found["pump"])) if found["pump"] else None
        self._family = Family(int(found["pid"]), self._spared(), mark=f"DSTACK_ATTEMPT={self._job.attempt}".encode())
        if not self._leader_lives() and not self._folder.exit_code.exists():
            raise Failure("runner", "the runner was restarted, and the job was lost with the one before")

    def wait(self) -> Ending:
        if self._leader is not None:
            code = self._leader.wait()
            return Ending(code if code >= 0 else 128 - code)
        while self._leader_lives():
            time.sleep(0.05)
        if not self._folder.exit_code.exists():
            return Ending(128 + signal.SIGKILL, "", "killed")
        return Ending(int(self._folder.exit_code.read_text()))

    def terminate(self) -> None:
        if self._family is not None:
            self._family.signal(signal.SIGTERM)

    def wait_gone(self, seconds: float) -> bool:
        return self._family is None or self._family.wait_gone(seconds)

    def kill(self) -> None:
        if self._family is not None:
            self._family.kill()

    def clean(self) -> list[str]:
        """Waits for the log's last bytes."""
        warnings = []
        if self._family is not None and self._family.members():
            warnings.append("some processes of the job couldn't be killed")
        if self._pump is not None and not self._pump.ended(LAST_BYTES_SECONDS):
            warnings.append("a process that escaped still writes to the log: what it writes from now on is lost")
            self._pump.kill()
        elif self._pump is not None and self._pump.failed:
            warnings.append("the log couldn't be written to its end: is the disk full?")
        self._pump = None
        return warnings

    # -- starting ----------------------------------------------------------------------------------------------------

    def _start_pump(self, reader: int) -> None:
        """The job doesn't get the file itself, because `echo x >/dev/stderr` would truncate it."""
        log = self._spool.open_for_append()
        try:
            self._pump = Pump.start("plain", reader, log, secrets=self._job.masked())
        finally:
            os.close(log)

    def _start_leader(self, arguments: list[str], output: int) -> None:
        folder = self._folder.work / self._job.working_dir
        if not folder.is_dir():
            raise Failure("start", f"working_dir {self._job.working_dir} isn't in the source")
        try:
            self._leader = subprocess.Popen(
                arguments, cwd=folder, env=self._environment(os.environ), umask=0o022, start_new_session=True,
                stdin=subprocess.PIPE, stdout=output, stderr=output,
            )  # fmt: skip
        except (OSError, ValueError) as error:
            raise Failure("start", _why(error)) from error
        self._family = Family(self._leader.pid, self._spared())
        _be_killable(self._leader.pid)
        seen = look(self._leader.pid)
        self._started = seen.started if seen else 0

    def _environment(self, machine: Mapping[str, str]) -> dict[str, str]:
        base = {name: machine[name] for name in INHERITED if machine.get(name)}
        base |= {name: value for name, value in machine.items() if name.startswith("LC_")}
        base.setdefault("PATH", BASE_PATH)
        base["HOME"] = str(self._folder.home)
        if self._job.ca_bundle:
            self._folder.ca_bundle.write_text(self._job.ca_bundle)
            base |= dict.fromkeys(CA_VARIABLES, str(self._folder.ca_bundle))
        git.write(self._job.git, self._folder.git, str(self._folder.git), shared=False)
        env = {**base, **git.environment(self._job.git, str(self._folder.git)), **self._job.environment()}
        devices = self._folder.gpu_devices()
        if devices is not None:
            env["CUDA_VISIBLE_DEVICES"] = ",".join(devices)
        if self._programs is not None:
            env["PATH"] = f"{self._programs}{os.pathsep}{env['PATH']}"
            env["VIRTUAL_ENV"] = str(self._programs.parent)
        return env

    # -- watching ----------------------------------------------------------------------------------------------------

    def _running_leader(self) -> subprocess.Popen[bytes]:
        if self._leader is None:
            raise Failure("start", "the job has not been started")
        return self._leader

    def _spared(self) -> set[int]:
        return {self._pump.pid} if self._pump is not None else set()

    def _leader_lives(self) -> bool:
        if self._family is None:
            return False
        seen = look(self._family.leader)
        return seen is not None and seen.started == self._started and not seen.zombie


def _be_killable(pid: int) -> None:
    """Where memory runs out, the job is to be killed, not what else runs here: it doesn't inherit the runner's protection."""
    score = Path(f"/proc/{pid}/oom_score_adj")
    try:
        if int(score.read_text()) < 0:
            score.write_text("0")
    except (OSError, ValueError):
        return  # no Linux, or it has ended already


def _why(error: OSError | ValueError) -> str:
    if isinstance(error, OSError) and error.errno == errno.E2BIG:
        return "the commands and the environment are too long for one program call; put the commands into a script file"
    return f"the job couldn't be started: {error}"
