"""Changes of config.yaml: in its own text, so that what nobody asked to change stays as it was written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dstack_cloud import errors
from dstack_cloud.api import configuration as api
from dstack_cloud.backends.base.questions import Questionnaire
from dstack_cloud.domain.configuration import DEFAULT_PROJECT, check_project_name
from dstack_cloud.domain.spelling import unknown
from dstack_cloud.domain.yaml_document import Document, comments
from dstack_cloud.services.configuration import find_backend, questionnaire
from dstack_cloud.services.configuration_file import HEADER
from dstack_cloud.services.context import Context

BACKENDS = "where a workflow runs that names no backend: the cheapest offer of these wins"
STORE = "where code, logs, artifacts and caches are kept: file:///folder, s3://bucket/folder, gs://… or az://…"
STORE_OPTIONS = "what the URL can't say of it; nothing secret"
DEFAULT = "the project that is meant where none is named"

Edit = Callable[[Document], None]


def configure(context: Context, project: str, request: api.ProjectRequest) -> api.WrittenView:
    """Raises UsageError for what can't be, ConfigurationError where the whole wouldn't work; the file is as before then."""
    try:
        check_project_name(project)
    except ValueError as wrong:
        raise errors.UsageError(str(wrong), None) from None
    for name in request["backends"] or ():
        find_backend(context.world.backends[next(iter(context.settings))], name)
    asked = {name: questionnaire(context, name) for name in request["settings"]}
    for name, values in request["settings"].items():
        _check_settings(name, asked[name], values)

    def edit(document: Document) -> None:
        place = ["projects", project]
        _put(document, [*place, "backends"], request["backends"], BACKENDS)
        _put(document, [*place, "store"], request["store"], STORE)
        _put(document, [*place, "store_options"], request["store_options"], STORE_OPTIONS)
        for name, values in request["settings"].items():
            said = {each.key: asked[name].said_of(each.key) for each in asked[name].settings}
            for key, value in values.items():
                _put(document, [*place, "settings", name, key], value, said[key])
        if document.get(place) is None:
            document.set(place, {})
        _keep_default(document, context.default_project, project)

    return _change(context, edit, project)


def _keep_default(document: Document, before: str, project: str) -> None:
    """The only project was meant without being named; beside another one it must be."""
    names = document.get(["projects"]) or {}
    if len(names) > 1 and DEFAULT_PROJECT not in names and document.get(["default_project"]) is None:
        document.set(["default_project"], before if before in names else project, DEFAULT)


def choose_default(context: Context, project: str) -> api.WrittenView:
    """Raises NotFound."""
    _known_project(context, project)

    def edit(document: Document) -> None:
        if document.get(["projects", project]) is None:
            document.set(["projects", project], {})  # it held without being written down
        document.set(["default_project"], project, DEFAULT)

    return _change(context, edit, project)


def delete_project(context: Context, project: str) -> api.WrittenView:
    """Raises NotFound, and Conflict while something of it is unfinished. Its runs and what they saved stay where they are."""
    _known_project(context, project)
    _refuse_while_used(context, project)

    def edit(document: Document) -> None:
        document.remove(["projects", project])
        if document.get(["default_project"]) == project:
            document.remove(["default_project"])

    notes = ["what its runs saved stays in its store"]
    if project == context.default_project and len(context.settings) > 2:
        notes.append("it was the project in use: `dstack config use PROJECT` chooses another")
    return _change(context, edit, project, notes)


def delete_backend(context: Context, project: str, name: str) -> api.WrittenView:
    """From the project's list, and its settings. Raises NotFound, and Conflict while something runs there."""
    settings = context.project(project)
    known = {*settings.backends, *settings.settings}
    if name not in known:
        raise errors.NotFound(f"project {project}: {unknown('backend', name, known)}")
    _refuse_while_used(context, project, name)
    scheme = settings.store.partition("://")[0]
    is_store = any(scheme == each.scheme for each in _asked(context, name))
    left = [each for each in settings.backends if each != name]

    def edit(document: Document) -> None:
        if list(settings.backends) != left:
            _put(document, ["projects", project, "backends"], left, BACKENDS)
        if not is_store:
            document.remove(["projects", project, "settings", name])
        if document.get(["projects", project]) is None and context.file.source() is not None:
            document.set(["projects", project], {})

    notes = [f"its settings stay: the store {settings.store} is reached with them"] if is_store else []
    return _change(
        context, edit, project, notes + ([] if left else ["workflows that name no backend run on this computer"])
    )


def _asked(context: Context, name: str) -> list[Questionnaire]:
    try:
        return [questionnaire(context, name)]
    except errors.DstackError:
        return []


def _check_settings(backend: str, asked: Questionnaire, values: Mapping[str, Any]) -> None:
    known = {setting.key: setting for setting in asked.settings}
    for key, value in values.items():
        if key not in known:
            raise errors.UsageError(f"{backend}: {unknown('setting', key, known)}")
        allowed = asked.known(key)
        for each in value if known[key].many else [value]:
            if value and allowed and each not in allowed:
                raise errors.UsageError(f"{asked.title}: {unknown(key.removesuffix('s'), each, allowed)}")


def _put(document: Document, path: Sequence[str], value: object, comment: str) -> None:
    if value is None:
        return
    if value in ("", [], {}):
        document.remove(path)
    else:
        document.set(path, value, comment)


def _change(context: Context, edit: Edit, project: str, notes: Sequence[str] = ()) -> api.WrittenView:
    file = context.file
    with file.lock:
        file.read()  # what can't be read isn't changed either
        source = file.source()
        document = Document(source.text if source else HEADER, str(file.path))
        before = document.text
        edit(document)
        changed = document.text != before
        backup = file.replace(document.text) if changed else ""
    return {
        "path": str(file.path),
        "backup": backup,
        "changed": changed,
        "kept": _kept(document, project, before) if source else [],
        "notes": list(notes),
    }


def _kept(document: Document, project: str, before: str) -> list[str]:
    data, now = document.data, comments(document.text)
    others = [name for name in data.get("projects") or {} if name != project]
    keys = [key for key in data if key not in ("projects", "default_project")]
    lines = sum(line in now for line in comments(before))
    return [
        *(f"project {name}" for name in others),
        *keys,
        *([f"{lines} comment line{'' if lines == 1 else 's'}"] if lines else []),
    ]


def _known_project(context: Context, project: str) -> None:
    if project not in context.settings:
        raise errors.NotFound(unknown("project", project, context.settings))


def _refuse_while_used(context: Context, project: str, backend: str = "") -> None:
    """`backend` "": any. A job that waits counts for the backends that it names, else for the project's."""
    database = context.world.database
    machines = [
        each.ref or each.id
        for each in database.instances.alive()
        if each.project == project and backend in ("", each.offer.backend)
    ]
    jobs = [
        job.id
        for job in database.jobs.unfinished()
        if job.project == project and (not backend or backend in job.spec.requirements.backends)
    ]
    if jobs or machines:
        what = f"unfinished: {', '.join(jobs[:5])}" if jobs else f"machines exist: {', '.join(machines[:5])}"
        raise errors.Conflict(
            f"{backend or f'project {project}'} is in use ({what})",
            "`dstack stop` ends them, `dstack ps` and `dstack instances` show them; then try again",
        )
