"""Prints the most frequent words of a text."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--top", type=int, default=3)
parser.add_argument("--text", type=Path, default=Path(__file__))
given = parser.parse_args()
for word, count in Counter(given.text.read_text().lower().split()).most_common(given.top):
    print(count, word)
