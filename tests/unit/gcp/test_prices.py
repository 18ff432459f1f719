from __future__ import annotations

from typing import Any

import pytest

from dstack_cloud.backends.gcp.offers.prices import GIB, price, read

PLACE = "running in Americas"


def sku(description: str, dollars: float, usage: str = "OnDemand", unit: str = "h", **more: Any) -> dict[str, Any]:
    money = {"currencyCode": "USD", "units": str(int(dollars)), "nanos": round(dollars % 1 * 1e9)}
    rates = [{"startUsageAmount": 0, "unitPrice": money}]
    return {
        "description": description,
        "category": {"usageType": usage},
        "serviceRegions": ["us-central1"],
        "pricingInfo": [{"pricingExpression": {"usageUnit": unit, "tieredRates": rates}}],
        **more,
    }


SKUS = [
    sku(f"N1 Predefined Instance Core {PLACE}", 0.03),
    sku(f"N1 Predefined Instance Ram {PLACE}", 0.004, unit="GiBy.h"),
    sku(f"N1 Custom Instance Core {PLACE}", 9.0),
    sku(f"Spot Preemptible N1 Predefined Instance Core {PLACE}", 0.01, "Preemptible"),
    sku(f"Spot Preemptible N1 Predefined Instance Ram {PLACE}", 0.001, "Preemptible", "GiBy.h"),
    sku(f"Nvidia Tesla T4 GPU {PLACE}", 0.35),
    sku(f"Nvidia Tesla T4 GPU attached to Spot Preemptible VMs {PLACE}", 0.11, "Preemptible"),
    sku("Commitment v1: N1 Predefined Instance Core in Americas for 1 Year", 0.02, "Commit1Yr"),
    sku(f"A3 Instance Core {PLACE}", 0.03),
    sku(f"E2 Instance Core {PLACE}", 0.02),
    sku(f"E2 Instance Ram {PLACE}", 0.003, unit="GiBy.h"),
]
KNOWN = read(SKUS)["us-central1"]
SIZE = {"cpu": 4, "memory": 15 * GIB, "gpus": None}
WITH_GPUS = {**SIZE, "gpus": ["nvidia-tesla-t4", 2]}


@pytest.mark.parametrize(
    ("name", "size", "spot", "dollars"),
    [
        ("n1-standard-4", SIZE, False, 4 * 0.03 + 15 * 0.004),
        ("n1-standard-4", SIZE, True, 4 * 0.01 + 15 * 0.001),
        ("n1-standard-4+2xnvidia-tesla-t4", WITH_GPUS, False, 4 * 0.03 + 15 * 0.004 + 0.7),
        ("n1-standard-4+2xnvidia-tesla-t4", WITH_GPUS, True, 4 * 0.01 + 15 * 0.001 + 0.22),
        # half a processor is what it is billed for, though two are seen
        ("e2-small", {"cpu": 2, "memory": 2 * GIB, "gpus": None}, False, 0.5 * 0.02 + 2 * 0.003),
    ],
)
def test_a_price_is_the_sum_of_the_parts(name: str, size: dict[str, Any], spot: bool, dollars: float) -> None:
    assert price(KNOWN, name, size, spot=spot) == pytest.approx(dollars)


@pytest.mark.parametrize(
    ("name", "size", "spot"),
    [
        ("a3-highgpu-1g", {"cpu": 26, "memory": GIB, "gpus": None}, False),
        ("e2-standard-4", SIZE, True),
        ("brand-new-4", SIZE, False),
        ("n1-standard-4+1xnvidia-tesla-v100", {**SIZE, "gpus": ["nvidia-tesla-v100", 1]}, False),
    ],
)
def test_where_a_part_is_unknown_the_price_is(name: str, size: dict[str, Any], spot: bool) -> None:
    assert price(KNOWN, name, size, spot=spot) is None


@pytest.mark.parametrize("words", ["Compute optimized", "Compute optimized Instance"])
def test_a_family_that_the_list_calls_by_more_than_one_name(words: str) -> None:
    known = read([sku(f"{words} Core {PLACE}", 0.03), sku(f"{words} Ram {PLACE}", 0.004, unit="GiBy.h")])
    assert price(known["us-central1"], "c2-standard-4", SIZE, spot=False) == pytest.approx(4 * 0.03 + 15 * 0.004)


def test_types_of_one_family_that_have_prices_of_their_own() -> None:
    size = {"cpu": 208, "memory": GIB, "gpus": ["nvidia-h100-mega-80gb", 8]}
    assert price(KNOWN, "a3-megagpu-8g", size, spot=False) is None
    plus = [sku(f"A3Plus Instance Core {PLACE}", 0.04), sku(f"A3Plus Instance Ram {PLACE}", 0.01, unit="GiBy.h")]
    known = read([*SKUS, *plus, sku(f"Nvidia H100 80GB Plus GPU {PLACE}", 9.0)])["us-central1"]
    assert price(known, "a3-megagpu-8g", size, spot=False) == pytest.approx(208 * 0.04 + 0.01 + 72.0)


SSDS = [
    sku("SSD backed Local Storage in Americas", 0.08, unit="GiBy.mo"),
    sku("SSD backed Local Storage attached to Spot Preemptible VMs in Americas", 0.05, unit="GiBy.mo"),
    sku(f"C4 Instance Local SSD {PLACE}", 0.16, unit="GiBy.mo"),
    sku(f"E2 Instance Core {PLACE}", 0.01, "Preemptible"),
    sku(f"E2 Instance Ram {PLACE}", 0.001, "Preemptible", "GiBy.h"),
    *(sku(f"C4 Instance {part} {PLACE}", 0.03, unit=unit) for part, unit in (("Core", "h"), ("Ram", "GiBy.h"))),
]


@pytest.mark.parametrize(
    ("name", "spot", "dollars"),
    [
        ("e2-standard-4", False, 4 * 0.02 + 15 * 0.003 + 750 * 0.08 / 730),
        # listed as on demand, it is the spot machines' all the same
        ("e2-standard-4", True, 4 * 0.01 + 15 * 0.001 + 750 * 0.05 / 730),
        ("c4-standard-4-lssd", False, 19 * 0.03 + 750 * 0.16 / 730),
    ],
)
def test_local_ssds_that_are_built_in_are_paid_for(name: str, spot: bool, dollars: float) -> None:
    known = read([*SKUS, *SSDS])["us-central1"]
    size = {**SIZE, "ssd": 750 * GIB}
    assert price(known, name, size, spot=spot) == pytest.approx(dollars, abs=1e-6)
    # where their price isn't known, nobody knows the whole
    assert price(read([*SKUS, *SSDS[2:]])["us-central1"], "e2-standard-4", size, spot=spot) is None


def test_another_currency_and_what_is_free_are_no_prices() -> None:
    free = sku(f"N1 Predefined Instance Core {PLACE}", 0.0)
    euro = sku(f"N1 Predefined Instance Ram {PLACE}", 0.004, unit="GiBy.h")
    euro["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["currencyCode"] = "EUR"
    assert read([free, euro]) == {}
    assert price({}, "n1-standard-4", SIZE, spot=False) is None
