"""The services' context, as a dependency of every endpoint."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from dstack_cloud.services.context import Context


def _context(request: Request) -> Context:
    context = request.app.state.context
    assert isinstance(context, Context)  # noqa: S101 - the app is made with one
    return context


ServerContext = Annotated[Context, Depends(_context)]
