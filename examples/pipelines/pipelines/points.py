"""Points on a noisy line, y = 3x + 2: data that needs no download."""

import random

SLOPE = 3.0
OFFSET = 2.0


def noisy_line(count: int, seed: int = 0) -> list[tuple[float, float]]:
    source = random.Random(seed)
    xs = [source.uniform(-1, 1) for _ in range(count)]
    return [(x, SLOPE * x + OFFSET + source.gauss(0, 0.1)) for x in xs]
