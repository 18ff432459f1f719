"""Fits a line to noisy points, an epoch every half second; with a checkpoint it goes on where it was interrupted."""

import argparse
import json
import os
import random
import time
from pathlib import Path

# of a machine that dies without a notice there is only what was quiet for a moment when it was saved: older ones help then
KEPT = 10


def load(folder: Path | None) -> dict[str, float]:
    found = sorted(folder.glob("epoch-*.json")) if folder is not None else []
    if not found:
        return {"epoch": 0, "slope": 0.0, "offset": 0.0}
    state = json.loads(found[-1].read_text())
    print(f"going on after epoch {state['epoch']}")
    return state


def save(folder: Path, state: dict[str, float]) -> None:
    """Whole or not at all: an interruption may come between any two lines."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "partial"
    partial.write_text(json.dumps(state))
    os.replace(partial, folder / f"epoch-{state['epoch']:04}.json")
    for old in sorted(folder.glob("epoch-*.json"))[:-KEPT]:
        old.unlink()


def train(state: dict[str, float], points: list[tuple[float, float]]) -> float:
    """One pass over the points; returns the mean squared error."""
    errors = []
    for x, y in points:
        error = state["slope"] * x + state["offset"] - y
        state["slope"] -= 0.01 * error * x
        state["offset"] -= 0.01 * error
        errors.append(error * error)
    return sum(errors) / len(errors)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--checkpoints", type=Path)
    parser.add_argument("--epochs", type=int, default=60)
    args = parser.parse_args()

    noise = random.Random(0)
    points = [(x / 10, 3 * x / 10 + 1 + noise.gauss(0, 0.1)) for x in range(-20, 21)]
    state = load(args.checkpoints)
    while state["epoch"] < args.epochs:
        time.sleep(0.5)
        loss = train(state, points)
        state["epoch"] += 1
        print(f"epoch {state['epoch']} of {args.epochs}: loss {loss:.4f}")
        if args.checkpoints is not None:
            save(args.checkpoints, state)
    print(f"y = {state['slope']:.2f} x + {state['offset']:.2f}")


if __name__ == "__main__":
    main()
