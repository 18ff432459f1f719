"""Locations, sizes of machines and images that the emulated Azure has: a small part of the real ones, with their real names,
families, cores, memory and zones. Prices are near the real ones of eastus in 2025.

https://learn.microsoft.com/en-us/azure/virtual-machines/sizes/overview
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Location:
    """`zones` are the logical ones, () where the location has none. `factor` is what everything costs here beside eastus."""

    name: str
    display: str
    zones: tuple[str, ...]
    factor: float


ZONES = ("1", "2", "3")
LOCATIONS: Mapping[str, Location] = {
    each.name: each
    for each in (
        Location("eastus", "East US", ZONES, 1.0),
        Location("westus2", "West US 2", ZONES, 1.0),
        Location("westeurope", "West Europe", ZONES, 1.2),
        Location("northcentralus", "North Central US", (), 1.05),
        Location("southcentralus", "South Central US", ZONES, 1.2),
    )
}


@dataclass(frozen=True)
class Size:
    """`price` is USD an hour with Linux. `spot` is the share of it that a spot machine costs, 0 where there is none. `places` are
    the locations that have it, () for all; `restricted` those where it's listed, but not for this subscription."""

    name: str
    family: str
    cores: int
    memory_gib: float
    price: float
    gpus: int = 0
    spot: float = 0.2
    architecture: str = "x64"
    places: tuple[str, ...] = ()
    restricted: tuple[str, ...] = ()
    zones: tuple[str, ...] = ZONES
    temporary_gib: int = 0

    @property
    def short(self) -> str:
        """As the price list's meters call it: `NC4as T4 v3`."""
        return self.name.removeprefix("Standard_").replace("_", " ")


# family's name in quotas and skus: its name in the price list
FAMILIES: Mapping[str, str] = {
    "standardBSFamily": "BS Series",
    "standardBsv2Family": "Bsv2 Series",
    "standardDSv5Family": "Dsv5 Series",
    "standardDDSv5Family": "Ddsv5 Series",
    "standardDPSv5Family": "Dpsv5 Series",
    "standardESv5Family": "Esv5 Series",
    "standardFSv2Family": "FSv2 Series",
    "Standard NCASv3_T4 Family": "NCasT4 v3 Series",
    "StandardNCADSA100v4Family": "NCads A100 v4 Series",
    "standardNDSH100v5Family": "NDsr H100 v5 Series",
    "StandardNVADSA10v5Family": "NVadsA10v5 Series",
}
_GPU_PLACES = ("eastus", "southcentralus", "westeurope", "westus2")


def _ladder(
    pattern: str, family: str, sizes: tuple[int, ...], per_core: tuple[float, float], **more: object
) -> Iterator[Size]:
    gib, price = per_core
    for cores in sizes:
        yield Size(pattern.format(cores), family, cores, cores * gib, round(cores * price, 4), **more)  # type: ignore[arg-type]


def _all() -> Iterator[Size]:
    yield Size("Standard_B1ls", "standardBSFamily", 1, 0.5, 0.0052, spot=0, temporary_gib=4)
    yield Size("Standard_B1s", "standardBSFamily", 1, 1, 0.0104, spot=0, temporary_gib=4)
    yield Size("Standard_B2s", "standardBSFamily", 2, 4, 0.0416, spot=0, temporary_gib=8)
    yield Size("Standard_B2ms", "standardBSFamily", 2, 8, 0.0832, spot=0, temporary_gib=16)
    yield from _ladder("Standard_B{}s_v2", "standardBsv2Family", (2, 4, 8), (4, 0.0416), spot=0)
    yield from _ladder("Standard_D{}s_v5", "standardDSv5Family", (2, 4, 8, 16, 32, 64), (4, 0.048), spot=0.19)
    yield from _ladder("Standard_D{}ds_v5", "standardDDSv5Family", (2, 4, 8), (4, 0.0565), temporary_gib=75)
    yield from _ladder("Standard_D{}ps_v5", "standardDPSv5Family", (2, 4, 8), (4, 0.0385), architecture="Arm64")
    yield from _ladder("Standard_E{}s_v5", "standardESv5Family", (2, 4, 8, 16, 32), (8, 0.063), spot=0.22)
    yield from _ladder("Standard_F{}s_v2", "standardFSv2Family", (2, 4, 8, 16, 32), (2, 0.0423), temporary_gib=16)
    yield from _t4()
    yield from _a100()
    yield from _a10()
    places = {"places": ("eastus", "southcentralus"), "restricted": ("southcentralus",), "zones": ()}
    yield Size("Standard_ND96isr_H100_v5", "standardNDSH100v5Family", 96, 1900, 98.32, 8, 0.3, **places)  # type: ignore[arg-type]


def _t4() -> Iterator[Size]:
    for cores, gib, price, gpus in ((4, 28, 0.526, 1), (8, 56, 0.752, 1), (16, 110, 1.204, 1), (64, 440, 4.352, 4)):
        name = f"Standard_NC{cores}as_T4_v3"
        yield Size(
            name, "Standard NCASv3_T4 Family", cores, gib, price, gpus, 0.18, places=_GPU_PLACES, temporary_gib=176
        )


def _a100() -> Iterator[Size]:
    for gpus, price in ((1, 3.673), (2, 7.346), (4, 14.692)):
        name, family = f"Standard_NC{24 * gpus}ads_A100_v4", "StandardNCADSA100v4Family"
        yield Size(name, family, 24 * gpus, 220 * gpus, price, gpus, 0.4, places=_GPU_PLACES, zones=("1", "2"))


def _a10() -> Iterator[Size]:
    """The smaller ones have a part of a card: `GPUs` is 1, whatever part."""
    for cores, gib, price, gpus in (
        (6, 55, 0.454, 1),
        (12, 110, 0.908, 1),
        (18, 220, 1.6, 1),
        (36, 440, 3.2, 1),
        (72, 880, 6.52, 2),
    ):
        name = f"Standard_NV{cores}ads_A10_v5"
        yield Size(name, "StandardNVADSA10v5Family", cores, gib, price, gpus, 0.2, places=_GPU_PLACES, zones=())


SIZES: Mapping[str, Size] = {each.name.lower(): each for each in _all()}
VERSIONS = ("24.04.202501010", "24.04.202509100")
# publisher, offer, sku, in lower case
IMAGES = {
    ("canonical", "ubuntu-24_04-lts", "server"),
    ("canonical", "ubuntu-24_04-lts", "server-arm64"),
    ("canonical", "ubuntu-24_04-lts", "server-gen1"),
    ("canonical", "ubuntu-24_04-lts", "minimal"),
    ("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"),
    ("debian", "debian-12", "12-gen2"),
    ("microsoft-dsvm", "ubuntu-hpc", "2204"),
    ("microsoft-dsvm", "ubuntu-hpc", "2404"),
}


def sizes(location: str) -> list[Size]:
    """Those that are listed there."""
    return [size for size in SIZES.values() if not size.places or location in size.places]


def zones(size: Size, location: str) -> tuple[str, ...]:
    """Where in a location it is."""
    return tuple(zone for zone in size.zones if zone in LOCATIONS[location].zones)
