"""The fields of a workflow, as the model that reads them has them."""

from __future__ import annotations

from dstack_cloud.domain.parsing.known import SYNONYMS
from dstack_cloud.domain.parsing.model import Body
from dstack_cloud.domain.providers.unbuilt import UNBUILT
from dstack_cloud.reference.tables import rows_of, table

HEAD = ("field", "value", "default", "")


def ready() -> str:
    return table(HEAD, [row for name, row in _rows() if name not in UNBUILT])


def later() -> str:
    """Those that this version reads, and refuses to run."""
    return table(HEAD, [row for name, row in _rows() if name in UNBUILT])


def _rows() -> list[tuple[str, tuple[str, ...]]]:
    rows = rows_of(Body, older=SYNONYMS)
    return [(name, tuple(row)) for name, row in zip(Body.model_fields, rows, strict=True)]
