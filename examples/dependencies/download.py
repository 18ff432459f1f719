"""Puts a model into models/NAME/: which letter follows which, learnt from the language reference that Python ships."""

import itertools
import json
import math
import pathlib
import sys
from pydoc_data.topics import topics

SIZES = {"small": 50_000, "medium": 200_000, "large": None}

name = sys.argv[1]
if name not in SIZES:
    sys.exit(f"there is no model {name}: choose one of {', '.join(SIZES)}")
text = "".join(topics[key] for key in sorted(topics))[: SIZES[name]]
alphabet = sorted(set(text))
number = {letter: index for index, letter in enumerate(alphabet)}
counts = [[0.1] * len(alphabet) for _ in alphabet]
for letter, following in itertools.pairwise(text):
    counts[number[letter]][number[following]] += 1
folder = pathlib.Path("models", name)
folder.mkdir(parents=True, exist_ok=True)
(folder / "alphabet.json").write_text(json.dumps(alphabet))
(folder / "weights.json").write_text(json.dumps([[math.log(count) for count in row] for row in counts]))
print(f"model {name}: learnt from {len(text)} characters, {len(alphabet)} different ones")
