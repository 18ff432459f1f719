"""What a model says of its fields, for people: whole in the documentation and the schema, its first sentence where there is less room."""

from __future__ import annotations


def first_sentence(description: str) -> str:
    """Without the full stop."""
    return description.partition(". ")[0].rstrip(".")
