from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tests.fakes.toy.config import ToyConfig

if TYPE_CHECKING:
    from tests.fakes.toyland import Toyland


class ToyClient:
    def __init__(self, config: ToyConfig) -> None:
        self.config = config

    @property
    def regions(self) -> tuple[str, ...]:
        return self.config.regions or ("nursery",)

    def land(self) -> Toyland:
        from tests.fakes.toyland import Toyland

        return Toyland(Path(self.config.folder), self.config.key)
