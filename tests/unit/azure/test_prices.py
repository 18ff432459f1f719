from __future__ import annotations

from dstack_cloud.backends.azure.offers.prices import read


def test_windows_and_low_priority_and_reservations_are_no_prices() -> None:
    rows = [
        {"meterName": "D2s v5", "productName": "Virtual Machines Dsv5 Series", "retailPrice": 0.096},
        {"meterName": "D2s v5", "productName": "Virtual Machines Dsv5 Series Windows", "retailPrice": 0.01},
        {"meterName": "D2s v5 Spot", "productName": "Virtual Machines Dsv5 Series", "retailPrice": 0.02},
        {"meterName": "D2s v5 Low Priority", "productName": "Virtual Machines Dsv5 Series", "retailPrice": 0.001},
        {"meterName": "D2s v5", "productName": "Virtual Machines Dsv5 Series", "retailPrice": 0.0},
        {"meterName": "D2s v5", "productName": "x", "retailPrice": 0.01, "type": "Reservation"},
        {"meterName": "D2s v5", "productName": "x", "retailPrice": 0.01, "currencyCode": "EUR"},
    ]
    common = {"armSkuName": "Standard_D2s_v5", "unitOfMeasure": "1 Hour", "type": "Consumption", "currencyCode": "USD"}
    assert read({**common, **row} for row in rows) == {"Standard_D2s_v5": {"on_demand": 0.096, "spot": 0.02}}
