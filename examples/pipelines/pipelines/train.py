"""Fits y = ax + b to noisy points by stochastic gradient descent, with the standard library alone."""

import argparse
import csv
import json
import random
import time
from pathlib import Path

from points import noisy_line

Point = tuple[float, float]


def read_points(path: Path) -> list[Point]:
    with path.open() as file:
        return [(float(x), float(y)) for x, y in csv.reader(file)]


def step(slope: float, offset: float, batch: list[Point], rate: float) -> tuple[float, float]:
    errors = [(slope * x + offset - y, x) for x, y in batch]
    slope -= rate * sum(error * x for error, x in errors) / len(batch)
    offset -= rate * sum(error for error, _ in errors) / len(batch)
    return slope, offset


def loss(slope: float, offset: float, points: list[Point]) -> float:
    return sum((slope * x + offset - y) ** 2 for x, y in points) / len(points)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--rate", type=float, default=0.1)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--seconds", type=float, default=0, help="how long the whole training takes at least")
    return parser.parse_args()


def main() -> None:
    args = arguments()
    points = read_points(args.data) if args.data else noisy_line(1000)
    print(f"{len(points)} points, batches of {args.batch_size}", flush=True)

    logs = Path("lightning_logs")
    logs.mkdir(exist_ok=True)
    slope = offset = 0.0
    for epoch in range(1, args.epochs + 1):
        random.Random(epoch).shuffle(points)
        for start in range(0, len(points), args.batch_size):
            slope, offset = step(slope, offset, points[start : start + args.batch_size], args.rate)
        line = {"epoch": epoch, "loss": round(loss(slope, offset, points), 4)}
        print(f"Epoch {epoch}: loss {line['loss']}", flush=True)
        with (logs / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        time.sleep(args.seconds / args.epochs)
    (logs / "model.json").write_text(json.dumps({"slope": slope, "offset": offset}) + "\n")


if __name__ == "__main__":
    main()
