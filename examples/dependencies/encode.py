"""Turns a text that the model hasn't seen, the source of Python's own argparse, into the model's numbers: dataset/tokens.json."""

import argparse
import json
import pathlib

parser = argparse.ArgumentParser()
parser.add_argument("--model_name", required=True)
options = parser.parse_args()
alphabet = json.loads(pathlib.Path("models", options.model_name, "alphabet.json").read_text())
number = {letter: index for index, letter in enumerate(alphabet)}
text = pathlib.Path(argparse.__file__).read_text(encoding="utf-8")
tokens = [number[letter] for letter in text if letter in number]
dataset = pathlib.Path("dataset")
dataset.mkdir(exist_ok=True)
(dataset / "tokens.json").write_text(json.dumps(tokens))
print(f"{len(tokens)} of {len(text)} characters")
