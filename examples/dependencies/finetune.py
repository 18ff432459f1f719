"""Learns which letter follows three others, measures itself on text that it hasn't seen, and writes a sample."""

import collections
import json
import math
import pathlib
import random

alphabet = json.loads(pathlib.Path("dataset/alphabet.json").read_text())
tokens = json.loads(pathlib.Path("dataset/tokens.json").read_text())
split = len(tokens) * 9 // 10
counts = collections.defaultdict(collections.Counter)
for at in range(3, split):
    counts[tuple(tokens[at - 3 : at])][tokens[at]] += 1
loss = 0.0
for at in range(split + 3, len(tokens)):
    seen = counts[tuple(tokens[at - 3 : at])]
    loss -= math.log((seen[tokens[at]] + 0.1) / (seen.total() + 0.1 * len(alphabet)))
print(f"loss {loss / (len(tokens) - split - 3):.3f} on {len(tokens) - split} unseen characters")
random.seed(1)
written = tokens[:3]
while len(written) < 200:
    seen = counts[tuple(written[-3:])] or collections.Counter(tokens[:100])
    written.append(random.choices(list(seen), list(seen.values()))[0])
for folder in ("checkpoint", "samples"):
    pathlib.Path(folder).mkdir(exist_ok=True)
pathlib.Path("checkpoint/model.json").write_text(json.dumps([[*key, dict(seen)] for key, seen in counts.items()]))
pathlib.Path("samples/sample.txt").write_text("".join(alphabet[token] for token in written))
