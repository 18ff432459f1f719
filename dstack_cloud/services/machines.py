"""What machines could be had, which there are, and whether the configuration can work."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from dstack_cloud import errors
from dstack_cloud.api import schemas
from dstack_cloud.backends.base import Backend, DatedPrices, Finding, Pool, offers_of_all
from dstack_cloud.backends.base.access import CheckedAccess, StoreAccess
from dstack_cloud.domain.parsing.model import Resources
from dstack_cloud.domain.providers.requirements import requirements
from dstack_cloud.domain.resources import CURRENCY, Requirements, SpotPolicy, describe
from dstack_cloud.domain.runs import Instance
from dstack_cloud.domain.sizes import parse_size
from dstack_cloud.orchestrator.reap import find_orphans
from dstack_cloud.services import views
from dstack_cloud.services.context import Context
from dstack_cloud.storage.base import Store
from dstack_cloud.storage.checks import check_store


def find_offers(context: Context, project: str, request: schemas.OffersRequest) -> schemas.OffersView:
    """Offers of the backends named, or of all configured ones, asked side by side. Raises UsageError, ConfigurationError."""
    wanted = _requirements(request)
    known = context.backends(project)
    names = wanted.backends or context.project(project).backends
    for name in names:
        if name not in known:
            raise errors.UsageError(f"there is no backend {name!r}", f"this version has: {', '.join(sorted(known))}")
    asked = [known[name] for name in dict.fromkeys(names)]
    offers, refusals = offers_of_all(asked, wanted)
    return {
        "offers": [views.offer_view(offer) for offer in offers],
        "refusals": [
            {"backend": name, "summary": refusal.summary, "hint": refusal.hint} for name, refusal in refusals.items()
        ],
        "priced_at": _ages(asked),
        "price_lists": {each.name: each.capabilities.prices for each in asked if each.capabilities.prices},
    }


def _requirements(request: schemas.OffersRequest) -> Requirements:
    wanted = requirements(Resources(), request["overrides"], image=None, python=None)
    policy = wanted.spot_policy if "spot_policy" in request["overrides"] else SpotPolicy.AUTO
    sizes = {key: parse_size(request[key]) for key in ("memory", "disk") if request[key]}
    more = {"cpu": request["cpu"], "regions": tuple(request["regions"]), "spot_policy": policy, **sizes}
    return wanted.model_copy(update=more)


def _ages(backends: Sequence[Backend]) -> dict[str, float]:
    dated = {backend.name: backend.priced_at() for backend in backends if isinstance(backend, DatedPrices)}
    return {name: when for name, when in dated.items() if when is not None}


def list_machines(context: Context, project: str) -> list[schemas.MachineView]:
    """Those that may cost money, oldest first."""
    context.project(project)
    now = context.world.clock()
    alive = [instance for instance in context.world.database.instances.alive() if instance.project == project]
    return [_machine(instance, now) for instance in sorted(alive, key=lambda instance: instance.created_at)]


def _machine(instance: Instance, now: float) -> schemas.MachineView:
    offer = instance.offer
    return {
        "id": instance.id,
        "ref": instance.ref,
        "backend": offer.backend,
        "region": offer.region,
        "zone": offer.zone,
        "instance_type": offer.instance_type,
        "spot": offer.spot,
        "price": offer.price,
        "status": str(instance.status),
        "run": instance.run_name,
        "job": instance.job_id,
        "created_at": instance.created_at,
        "cost": views.cost(instance, now),
        "currency": CURRENCY,
    }


def list_orphans(context: Context, project: str) -> list[schemas.MachineView]:
    """What carries this installation's tag on any backend of the project and belongs to no living row."""
    context.project(project)
    return [
        {
            "id": orphan.machine.key,
            "ref": orphan.machine.ref,
            "backend": orphan.backend,
            "region": "",
            "zone": "",
            "instance_type": "",
            "spot": False,
            "price": None,
            "status": "orphan",
            "run": "",
            "job": "",
            "created_at": None,
            "cost": None,
            "currency": CURRENCY,
        }
        for orphan in find_orphans(context.world)
        if orphan.project == project
    ]


def list_runners(context: Context, project: str) -> list[schemas.RunnerView]:
    """The user's own machines, and what each of them does now."""
    busy: dict[tuple[str, str], list[str]] = {}
    for instance in context.world.database.instances.alive():
        if instance.project == project:
            busy.setdefault((instance.offer.backend, instance.offer.instance_type), []).append(instance.job_id)
    return [
        {
            "backend": name,
            "name": machine.name,
            "resources": "" if machine.machine is None else describe(machine.machine),
            "slots": machine.slots,
            "busy": busy.get((name, machine.name), []),
            "problem": machine.problem,
        }
        for name, backend in context.backends(project).items()
        if isinstance(backend, Pool)
        for machine in backend.pool()
    ]


def check(context: Context, project: str) -> list[schemas.FindingView]:
    """Every configured backend and the store, side by side."""
    known = context.backends(project)
    subjects = list(context.project(project).backends)
    with ThreadPoolExecutor(len(subjects) + 2) as pool:
        store = pool.submit(_check_store, context.probes.get(project) or context.store(project))
        access = pool.submit(_check_access, context.world.access.get(project))
        found = list(pool.map(lambda name: _check_backend(known[name]), subjects))
    return [finding for findings in found for finding in findings] + [*access.result(), store.result()]


def _check_backend(backend: Backend) -> list[schemas.FindingView]:
    try:
        findings = backend.validate()
    except errors.BackendError as error:
        findings = [Finding(False, error.summary, error.hint or "")]
    return _views(backend.name, findings)


def _check_access(access: StoreAccess | None) -> list[schemas.FindingView]:
    """What may be done in the store, by the name of each permission, where its cloud tells."""
    return _views("store", access.findings() if isinstance(access, CheckedAccess) else [])


def _views(subject: str, findings: Sequence[Finding]) -> list[schemas.FindingView]:
    return [{"subject": subject, "ok": f.ok, "text": f.text, "fix": f.fix} for f in findings]


def _check_store(store: Store) -> schemas.FindingView:
    try:
        check_store(store)
    except errors.DstackError as error:
        return {"subject": "store", "ok": False, "text": error.summary, "fix": error.hint or ""}
    return {"subject": "store", "ok": True, "text": "objects can be written, read, listed and removed", "fix": ""}
