"""A run that any of several backends may take."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from dstack_cloud import errors
from dstack_cloud.domain.configuration import ProjectSettings
from dstack_cloud.domain.resources import Offer, Requirements
from dstack_cloud.services.workflows import Plan, plan_run
from tests.fakes.simulation import Chance, SimBackend
from tests.unit.services.office import Office, request


class Refusing(SimBackend):
    """Has no offers, and says why."""

    refusal: errors.BackendError

    def offers(self, requirements: Requirements) -> list[Offer]:
        raise self.refusal


def plan(office: Office, refusal: errors.BackendError, *backends: str) -> Plan:
    """With a second backend, `other`, that refuses so."""
    other = Refusing(Chance(random.Random(1)), name="other")
    other.refusal = refusal
    world = replace(office.world, backends={"main": {**office.world.backends["main"], "other": other}})
    settings = {"main": ProjectSettings(backends=backends)}
    return plan_run(replace(office.context, world=world, settings=settings), "main", request())


EXPIRED = errors.NotAuthorized("the credentials have expired", "log in again")


def test_one_that_could_not_be_asked_is_told_and_the_others_are_used(office: Office) -> None:
    made = plan(office, EXPIRED, "other", "sim")
    assert {offer.backend for offer in made.jobs[0].offers} == {"sim"}
    assert made.warnings == ("other isn't used: the credentials have expired (log in again)",)


def test_that_one_has_nothing_that_fits_is_no_news(office: Office) -> None:
    assert plan(office, errors.InvalidConfiguration("needs a GPU"), "other", "sim").warnings == ()


def test_without_another_one_its_refusal_is_the_answer(office: Office) -> None:
    with pytest.raises(errors.NotAuthorized, match="expired"):
        plan(office, EXPIRED, "other")
