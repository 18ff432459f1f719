"""The fields of a workflow that are options of `dstack run PROVIDER`. Written by `make docs` from domain/parsing/model.py: change it there."""

from __future__ import annotations

# field → what it is; those of `resources` are named with it
FIELDS = {
    "image": "The container image",
    "commands": "What to run: a list, or one string of any number of lines",
    "setup": "Commands that run once before the others, and whose result is kept and used again",
    "entrypoint": "Replaces the image's own entrypoint",
    "working_dir": "Where the commands start, inside the working folder",
    "home_dir": "The job's home folder, which `~` in paths means",
    "python": "The version of Python, 3.8 … 3.13",
    "ports": 'Ports of the job to reach on localhost, as PORT or "APP:LOCAL"',
    "artifacts": "Paths saved when the job ends",
    "cache": "Paths kept between runs of the workflow",
    "deps": "Workflows and tags (`:TAG`) whose outputs it needs",
    "resources.cpu": "CPU cores, at least",
    "resources.memory": "Memory, at least, such as `16GB` or `16GiB`",
    "resources.shm_size": "Shared memory (`/dev/shm`) of the job, at least, such as `8GB`",
    "resources.disk": "Disk space, at least, such as `100GB`",
    "resources.regions": "Regions to look in",
    "resources.instance_types": "Instance types to choose from",
    "max_duration": "The job is stopped after this long, such as `30m`, `1h30m`, `3d`, or a number of seconds",
    "retry": "For how long to go on looking for a machine while all offers are refused for capacity or quota",
    "nodes": "How many machines run it together, 1 to 1000",
}
# an option may be given again for another value
LISTS = ("ports", "artifacts", "cache", "deps", "resources.regions", "resources.instance_types")
# read as such where they are whole numbers or flags; every other value is a text
PLAIN = ("resources.cpu", "max_duration", "retry", "nodes")
