"""Names of runs: a word and a number, like `shady-1`; the number counts that word's runs in the project."""

from __future__ import annotations

import random
from collections.abc import Callable

WORDS = [
    "amber",
    "azure",
    "bold",
    "brave",
    "bright",
    "brisk",
    "calm",
    "clever",
    "cosy",
    "crisp",
    "dapper",
    "dusty",
    "eager",
    "early",
    "fair",
    "fancy",
    "fast",
    "fine",
    "fluffy",
    "fond",
    "frosty",
    "gentle",
    "giddy",
    "glad",
    "golden",
    "grand",
    "happy",
    "hardy",
    "hazy",
    "hidden",
    "honest",
    "icy",
    "jolly",
    "keen",
    "kind",
    "lazy",
    "light",
    "lively",
    "lucky",
    "mellow",
    "merry",
    "mighty",
    "misty",
    "modest",
    "neat",
    "nimble",
    "noble",
    "odd",
    "pale",
    "patient",
    "plucky",
    "polite",
    "proud",
    "quick",
    "quiet",
    "rapid",
    "rare",
    "ready",
    "rosy",
    "rough",
    "round",
    "rusty",
    "sandy",
    "shady",
    "sharp",
    "shiny",
    "shy",
    "silent",
    "silky",
    "silver",
    "sleek",
    "slow",
    "smart",
    "snowy",
    "soft",
    "solid",
    "spicy",
    "stable",
    "steady",
    "still",
    "sturdy",
    "sunny",
    "swift",
    "tame",
    "tidy",
    "tiny",
    "tough",
    "vivid",
    "warm",
    "wary",
    "wild",
    "wise",
    "witty",
    "young",
    "zesty",
]


def is_run_name(text: str) -> bool:
    """Whether `new_run_name` could have made it."""
    word, _, number = text.partition("-")
    return word in WORDS and number.isdigit()


def new_run_name(taken: Callable[[str], list[str]], rng: random.Random) -> str:
    """`taken(word)` lists the names that begin with the word."""
    word = rng.choice(WORDS)
    numbers = [name.rpartition("-")[2] for name in taken(f"{word}-")]
    highest = max((int(number) for number in numbers if number.isdigit()), default=0)
    return f"{word}-{highest + 1}"
