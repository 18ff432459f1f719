"""Runs machine-learning jobs on machines that exist only while they are needed."""

from dstack_cloud.version import __version__

__all__ = ["__version__"]
