"""An emulated cloud to try `dstack run` on by hand, without an account: it is started, says what to type next, and ends with Ctrl+C."""

from __future__ import annotations

import json
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from tests.fakes.emulated import EmulatedCloud

TEXT = """
{what}
In another terminal, in the folder of a workflow:

    export DSTACK_HOME={home}/dstack HOME={home}
    dstack run NAME --backend {name}

What `dstack` is configured with ({home}/dstack/config.yaml):

{config}
Ctrl+C here ends it, and everything that was made. Before that: `dstack stop --all -y && dstack server stop`."""
# what every config.yaml for emulated machines says: the job image that is built here, so that none is pulled
IMAGE = 'default_image: "dstack-cloud/job:py{python}"\n'

Cloud = TypeVar("Cloud", bound=EmulatedCloud)


def ca_bundle() -> dict[str, str]:
    """Emulated machines are on this computer's network: behind a company's proxy, they must trust it too."""
    path = os.environ.get("SSL_CERT_FILE", "")
    return {"ca_bundle": path} if path else {}


def offer(name: str, kind: type[Cloud], project: Callable[[Path, Cloud], str], what: str) -> None:
    """`project` writes what a user has at home, and gives config.yaml's part about projects. `what` is for people, with the
    cloud's `{endpoint}` and `{store}` in it. With `--json` on the command line these are told to a program."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with (
        tempfile.TemporaryDirectory(prefix=f"emulated-{name}-", ignore_cleanup_errors=True) as folder,
        kind(machines=True, store=True) as cloud,
    ):
        urls = {"endpoint": cloud.endpoint, "store": cloud.store}
        config = write(Path(folder), project(Path(folder), cloud))
        if "--json" in sys.argv:
            print(json.dumps({**urls, "home": folder}), flush=True)
        else:
            shown = {"what": what.format(**urls), "home": shlex.quote(folder), "name": name, "config": config}
            print(TEXT.format(**shown), flush=True)
        until_ctrl_c()


def write(home: Path, projects: str) -> str:
    """The state folder's config.yaml; gives its text."""
    bundle = "".join(f"{key}: {json.dumps(path)}\n" for key, path in ca_bundle().items())
    text = f"{projects}{IMAGE}{bundle}"
    (home / "dstack").mkdir()
    (home / "dstack/config.yaml").write_text(text)
    return text


def until_ctrl_c() -> None:
    try:
        signal.pause()
    except KeyboardInterrupt:
        print("ending it …", file=sys.stderr)
