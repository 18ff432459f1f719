"""The files of `.dstack`: texts in, workflows and problems out. Nothing here reads a disk."""

from __future__ import annotations

from dstack_cloud.domain.parsing.checking import Checked, check
from dstack_cloud.domain.parsing.dumping import dump, dump_variables
from dstack_cloud.domain.parsing.lookup import find
from dstack_cloud.domain.parsing.model import Workflow
from dstack_cloud.domain.parsing.problems import Problem
from dstack_cloud.domain.parsing.schema import json_schema

__all__ = ["Checked", "Problem", "Workflow", "check", "dump", "dump_variables", "find", "json_schema"]
