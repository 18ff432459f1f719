"""A service with one page."""

from __future__ import annotations

import os

from fastapi import FastAPI

app = FastAPI()


@app.get("/")
def hello() -> dict[str, str]:
    return {"run": os.environ.get("DSTACK_RUN_NAME", "none")}
