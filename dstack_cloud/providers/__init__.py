"""Providers: small classes that turn their options into the program of a job. What users import for one of their own.

Only the standard library is used here: a class of the user's is loaded in a process that has nothing else of the product.
"""

from __future__ import annotations

from dstack_cloud.providers.base import Given, Program, Provider
from dstack_cloud.providers.options import Option, path, text, words

__all__ = ["Given", "Option", "Program", "Provider", "path", "text", "words"]
