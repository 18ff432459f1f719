"""Puts texts into texts/: the source of a few of Python's own modules."""

import argparse
import json
import logging
import pathlib
import subprocess
import unittest

texts = pathlib.Path("texts")
texts.mkdir(exist_ok=True)
for module in (argparse, json, logging, pathlib, subprocess, unittest):
    source = pathlib.Path(module.__file__).read_text(encoding="utf-8")
    (texts / f"{module.__name__}.txt").write_text(source, encoding="utf-8")
    print(f"{module.__name__}: {len(source)} characters")
