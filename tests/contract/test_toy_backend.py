"""docs/dev/adding-a-backend.md, followed for a cloud that there is not: a folder with the page's files, one line in the registry."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

from dstack_cloud.backends import registry
from dstack_cloud.backends.base import Backend
from dstack_cloud.domain.resources import Requirements, SpotPolicy
from dstack_cloud.errors import ConfigurationError, NotAuthorized
from tests.contract.test_backend import BackendContract
from tests.fakes import toy
from tests.fakes.toy.backend import ToyBackend
from tests.fakes.toy.config import ToyConfig

PAGE = Path(__file__).parents[2] / "docs/dev/adding-a-backend.md"
# a row of the page's table of files, and those that only some clouds need
ROW = re.compile(r"^\| `([a-z]+)(?:\.py)?` \|", re.MULTILINE)
OPTIONAL = {"kinds"}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line."""
    line = registry.Entry(ToyConfig, lambda config, site: ToyBackend(config, site.home, site.installation, site.image))
    monkeypatch.setitem(registry.BACKENDS, "toy", line)


def made(home: Path, **settings: object) -> Backend:
    """As the server makes it, of what config.yaml says."""
    asked = {"toy": {"folder": str(home / "land"), **settings}}
    return registry.make_backends(home, uuid.uuid4().hex, asked, "")["toy"]


class TestToy(BackendContract):
    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return made(tmp_path)


def test_the_page_names_the_files_of_a_backend() -> None:
    files = {path.stem for path in Path(str(toy.__file__)).parent.glob("*.py")} - {"__init__"}
    assert files == set(ROW.findall(PAGE.read_text())) - OPTIONAL


def test_a_wrong_setting_is_told_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"`settings.toy.disk`"):
        made(tmp_path, disk="much")


def test_what_it_refuses_is_told_as_others_tell_it(tmp_path: Path) -> None:
    toy = made(tmp_path, key="wrong")
    (finding,) = toy.validate()
    assert (finding.ok, finding.fix) == (False, "set `key`")
    with pytest.raises(NotAuthorized, match="BadKey"):
        toy.offers(Requirements())


def test_its_unknown_price_is_unknown_and_last(tmp_path: Path) -> None:
    offers = made(tmp_path).offers(Requirements(spot_policy=SpotPolicy.AUTO))
    assert [(offer.instance_type, offer.price) for offer in offers] == [("toy.small", 0.01), ("toy.large", None)]
