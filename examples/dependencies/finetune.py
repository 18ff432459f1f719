"""Goes on learning from the dataset, measures itself on a part that it doesn't learn from, and writes a sample."""

import argparse
import itertools
import json
import math
import pathlib
import random

parser = argparse.ArgumentParser()
parser.add_argument("--run_name", required=True)
parser.add_argument("--model_name", required=True)
parser.add_argument("--epochs", type=int, required=True)
parser.add_argument("--learning_rate", type=float, required=True)
parser.add_argument("--sample_length", type=int, required=True)
options = parser.parse_args()

model = pathlib.Path("models", options.model_name)
alphabet = json.loads((model / "alphabet.json").read_text())
weights = json.loads((model / "weights.json").read_text())
tokens = json.loads(pathlib.Path("dataset/tokens.json").read_text())
learnt, unseen = tokens[:10_000], tokens[10_000:15_000]


def chances(letter: int) -> list[float]:
    powers = [math.exp(weight) for weight in weights[letter]]
    total = sum(powers)
    return [power / total for power in powers]


def loss() -> float:
    known = {letter: chances(letter) for letter in set(unseen)}
    return -sum(math.log(known[a][b]) for a, b in itertools.pairwise(unseen)) / (len(unseen) - 1)


print(f"{options.run_name}: loss {loss():.3f} before", flush=True)
for epoch in range(options.epochs):
    for letter, following in itertools.pairwise(learnt):
        row = weights[letter]
        for other, chance in enumerate(chances(letter)):
            row[other] -= options.learning_rate * chance
        row[following] += options.learning_rate
    print(f"epoch {epoch + 1}: loss {loss():.3f} on {len(unseen)} unseen characters", flush=True)

random.seed(1)
written = [random.choice(learnt)]
while len(written) < options.sample_length:
    written += random.choices(range(len(alphabet)), chances(written[-1]))
for folder in ("checkpoint", "samples"):
    pathlib.Path(folder).mkdir(exist_ok=True)
pathlib.Path("checkpoint/weights.json").write_text(json.dumps(weights))
pathlib.Path("samples/sample.txt").write_text("".join(alphabet[token] for token in written))
