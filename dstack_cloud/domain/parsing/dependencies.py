"""`deps` / `depends-on`, which may be written in every way that the field's history knows."""

from __future__ import annotations

from dstack_cloud.domain.parsing import values
from dstack_cloud.domain.parsing.problems import Path, nearest_hint, shown
from dstack_cloud.domain.parsing.shapes import Collected
from dstack_cloud.domain.parsing.source import Fields, Items, Scalar
from dstack_cloud.domain.parsing.values import expected, found

_SECTIONS = ("repo", "variables", "config", "workflows")
_ENTRY = ("workflow", "tag", "mount")

Read = dict[str, object]


def dependencies(value: object) -> Read:
    """What `Dependencies` takes. Raises what Pydantic expects of a validator, with every finding."""
    collected = Collected()
    if isinstance(value, Fields) and not any(key in value for key in _ENTRY):
        read = _sections(collected, value)
    else:
        read = {"on": _entries(collected, (), value)}
    collected.done()
    return read


def _sections(collected: Collected, value: Fields) -> Read:
    read: Read = {}
    for key, part in value.items():
        if key == "repo":
            read["include"] = _repo(collected, part)
        elif key == "workflows":
            read["on"] = _entries(collected, ("workflows",), part)
        elif key in ("variables", "config"):
            read["variables"] = _names(collected, (key,), part)
        else:
            collected.add((key,), "isn't a part of it", nearest_hint(key, _SECTIONS, "parts"), on_key=True)
    return read


def _repo(collected: Collected, value: object) -> tuple[str, ...] | None:
    if not isinstance(value, Fields):
        collected.add(("repo",), f"must be a mapping with `include`, found {found(value)}")
        return None
    for key in value:
        if key != "include":
            collected.add(("repo", key), "isn't a part of it", "`repo` has `include` only", on_key=True)
    given = value.get("include")
    items = given if isinstance(given, Items) else [given] if given is not None else []
    read = (
        collected.read(("repo", "include", index), values.path(values.inside), item) for index, item in enumerate(items)
    )
    return tuple(read)


def _names(collected: Collected, at: Path, value: object) -> tuple[str, ...]:
    """A list of names, one name, or a mapping with `include`."""
    if isinstance(value, Fields) and set(value) == {"include"}:
        return _names(collected, (*at, "include"), value["include"])
    if isinstance(value, Fields):
        collected.add(at, "must be a list of names, found a mapping")
        return ()
    items = value if isinstance(value, Items) else [value]
    return tuple(collected.read((*at, index), values.word, item) for index, item in enumerate(items))


def _entries(collected: Collected, at: Path, value: object) -> tuple[Read, ...]:
    if isinstance(value, Items):
        return tuple(collected.read((*at, index), _entry, item) for index, item in enumerate(value))
    return (collected.read(at, _entry, value),)


def _entry(value: object) -> Read:
    if isinstance(value, Fields):
        return _mapping(value)
    if not isinstance(value, Scalar) or value.kind == "null":
        raise expected("the name of a workflow, `NAME:TAG`, `:TAG`, or a mapping", value)
    workflow, colon, tag = value.partition(":")
    for part in (workflow, tag):
        if part:
            _check_name(part)
    if colon and not tag:
        raise values.refuse(
            f"{shown(value)} ends in `:`", "write the tag behind it, or leave the colon away to run the workflow first"
        )
    if not workflow and not tag:
        raise values.refuse("is empty", "name a workflow")
    return {"how": "tag" if colon else "run", "workflow": workflow or None, "tag": tag or None}


def _mapping(value: Fields) -> Read:
    collected = Collected()
    for key in value:
        if key not in _ENTRY:
            collected.add((key,), "isn't a part of it", nearest_hint(key, _ENTRY, "parts"), on_key=True)
    named = [key for key in ("workflow", "tag") if key in value]
    if len(named) != 1:
        collected.add(
            (),
            "must have either `workflow` or `tag`",
            "`- workflow: NAME` is its last finished run, `- tag: TAG` a tagged one",
        )
    mount = collected.read(("mount",), values.flag, value["mount"]) if "mount" in value else False
    read: Read = {"how": "tag", "mount": mount}
    for key in named:
        given = collected.read((key,), values.word, value[key])
        read |= _named(collected, key, given) if given is not None else {}
    collected.done()
    return read


def _named(collected: Collected, key: str, given: str) -> Read:
    """`workflow: x`, `workflow: x:tag`, `tag: y` or `tag: x:y`."""
    workflow, colon, tag = given.partition(":") if key == "workflow" or ":" in given else ("", ":", given)
    if (colon and not tag) or not (workflow or tag):
        collected.add((key,), f"has no name in {shown(given)}", "write `NAME` or `NAME:TAG`")
    for part in filter(None, (workflow, tag)):
        collected.read((key,), _check_name, part)
    return {"how": "tag" if tag else "last", "workflow": workflow or None, "tag": tag or None}


def _check_name(part: object) -> None:
    if not values.is_name(str(part)):
        raise values.refuse(f"has {shown(str(part))}, which can't be a name", "letters, digits, `_`, `.` and `-`")
