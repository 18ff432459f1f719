"""`python -m dstack_cloud.reference`: writes what is made from the code, in a checkout of the repository."""

from __future__ import annotations

from pathlib import Path

from dstack_cloud.reference import field_options
from dstack_cloud.reference.pages import filled, parts

ROOT = Path(__file__).resolve().parents[2]


def made() -> dict[Path, str]:
    """Each file that has something of it → what it should say."""
    made_of = parts()
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    return {
        ROOT / field_options.FILE: field_options.module(),
        **{page: filled(page.read_text(encoding="utf-8"), made_of) for page in pages},
    }


def main() -> None:
    for path, text in made().items():
        if path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
            print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
