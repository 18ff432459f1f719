"""A curve in characters: its shape comes from arguments, its width from the environment."""

from __future__ import annotations

import argparse
import math
import os
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--shape", choices=["logistic", "linear"], required=True)
parser.add_argument("--rate", type=float, required=True)
parser.add_argument("--steps", type=int, required=True)
given = parser.parse_args()
width = int(os.environ["WIDTH"])

lines = []
for step in range(given.steps):
    share = (step + 1) / given.steps
    if given.shape == "logistic":
        share = 1 / (1 + math.exp(-given.rate * (step - given.steps / 2)))
    lines.append("*" * max(1, round(share * width)))
target = Path("curves") / f"{given.shape}.txt"
target.parent.mkdir(exist_ok=True)
target.write_text("\n".join(lines) + "\n")
print(target.read_text(), end="")
