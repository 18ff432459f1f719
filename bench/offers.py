"""`dstack offers --gpu` over three clouds: `.venv/bin/python -m bench.offers`.

Whole commands, the server up, against emulators that let each call wait as long as the way to a real cloud takes. They are asked once
before: what an emulator needs to find out what it has is no cloud's time.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from bench.harness import Figure, Place, median, place, show, timed
from tests.fakes.clouds import NAMES, Clouds

LATENCY = 0.1
ROUNDS = 9
ASKED = ("offers", "--gpu", "T4")


def main() -> None:
    with Clouds() as clouds, tempfile.TemporaryDirectory(prefix="dstack-bench-") as person:
        settings = clouds.settings(Path(person))
        with place(HOME=person) as before:
            configure(before, settings)
            before.call(*ASKED)
        clouds.slow_down(LATENCY)
        with place(HOME=person) as here:
            configure(here, settings)
            here.call("ps")
            cold = timed(lambda: here.call(*ASKED))
            answered = clouds_that_answered(here)
            warm = median(lambda: here.call(*ASKED), ROUNDS)
    show(
        [
            Figure("`dstack offers --gpu` over three clouds, nothing known", cold, 6.0, "s", "100 ms a call"),
            Figure("the same from what is known", warm, 1.0, "s", f"{answered} clouds have it"),
        ]
    )


def configure(here: Place, settings: dict[str, Any]) -> None:
    here.home.mkdir()
    document = {"projects": {"main": {"backends": list(NAMES), "settings": settings}}}
    (here.home / "config.yaml").write_text(json.dumps(document))


def clouds_that_answered(here: Place) -> int:
    found = json.loads(here.call(*ASKED, "--json"))
    assert found["refusals"] == [], found["refusals"]
    return len({offer["backend"] for offer in found["offers"]})


if __name__ == "__main__":
    main()
