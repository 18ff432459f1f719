"""Writes data/points.csv unless a cache brought it, and counts its runs in the home folder's cache."""

from pathlib import Path

from points import noisy_line

DATA = Path("data/points.csv")
COUNTER = Path.home() / ".cache/points/runs"


def main() -> None:
    if DATA.exists():
        print(f"{DATA} came from the cache")
    else:
        DATA.parent.mkdir(exist_ok=True)
        DATA.write_text("".join(f"{x},{y}\n" for x, y in noisy_line(1000)))
        print(f"{DATA} is new")

    runs = int(COUNTER.read_text()) + 1 if COUNTER.exists() else 1
    COUNTER.parent.mkdir(parents=True, exist_ok=True)
    COUNTER.write_text(f"{runs}\n")
    print(f"run {runs} with this cache")


if __name__ == "__main__":
    main()
