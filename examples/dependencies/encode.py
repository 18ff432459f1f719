"""Turns texts/ into dataset/: an alphabet, and every text as numbers."""

import json
import pathlib

text = "".join(path.read_text(encoding="utf-8") for path in sorted(pathlib.Path("texts").glob("*.txt")))
alphabet = sorted(set(text))
number = {letter: index for index, letter in enumerate(alphabet)}
dataset = pathlib.Path("dataset")
dataset.mkdir(exist_ok=True)
(dataset / "alphabet.json").write_text(json.dumps(alphabet))
(dataset / "tokens.json").write_text(json.dumps([number[letter] for letter in text]))
print(f"{len(text)} characters, {len(alphabet)} different ones")
