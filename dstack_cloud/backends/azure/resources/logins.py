"""What `dstack config` finds of Azure on this computer, and what it asks: the subscriptions that the Azure CLI knows.

https://learn.microsoft.com/cli/azure/azure-cli-configuration
"""

from __future__ import annotations

import json
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Any

from dstack_cloud.backends.azure.config import SCHEME, AzureConfig
from dstack_cloud.backends.base.questions import Login, Questionnaire, Setting, Surroundings

FOLDER = Path(".azure")
PROFILE, CONFIG = FOLDER / "azureProfile.json", FOLDER / "config"
SUBSCRIPTION = "AZURE_SUBSCRIPTION_ID"


def logins(around: Surroundings) -> list[Login]:
    """The service principal's file that the configuration names, then each enabled subscription of `az login`, the default first."""
    wanted = around.environment.get(SUBSCRIPTION, "").lower()
    region = _default_location(around.home / CONFIG)
    found: list[Login] = []
    if named := around.settings.get("service_principal"):
        subscription = around.settings.get("subscription", "")
        if Path(named).expanduser().is_file():
            login = {"service_principal": named, "subscription": subscription}
            found.append(Login("service principal", named, login, preferred=True))
    for each in _subscriptions(around.home / PROFILE):
        preferred = each["id"].lower() == wanted if wanted else bool(each.get("isDefault"))
        who = (each.get("user") or {}).get("name", "")
        found.append(
            Login(
                f"subscription {each.get('name') or each['id']}{f' of {who}' if who else ''}",
                f"~/{PROFILE}",
                {"subscription": each["id"], "service_principal": ""},
                {"regions": [region]} if region else {},
                preferred,
            )
        )
    return sorted(found, key=lambda login: (not login.preferred, login.name))


def _subscriptions(path: Path) -> list[dict[str, Any]]:
    """The CLI writes this file with a byte order mark."""
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError):
        return []
    listed = found.get("subscriptions") if isinstance(found, dict) else None
    return [
        each
        for each in listed or []
        if isinstance(each, dict) and isinstance(each.get("id"), str) and each.get("state", "Enabled") == "Enabled"
    ]


def _default_location(path: Path) -> str:
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (Error, OSError, UnicodeDecodeError):
        return ""
    return parser.get("defaults", "location", fallback="")


QUESTIONNAIRE = Questionnaire(
    title="Azure",
    scheme=SCHEME,
    model=AzureConfig,
    settings=(
        Setting("subscription", "Azure subscription", required=True),
        Setting(
            "regions",
            "Azure regions",
            many=True,
            default="eastus",
        ),
        Setting("service_principal"),
        Setting(
            "storage_account",
            "Azure storage account of the store",
            required=True,
            of_store=True,
        ),
        Setting("tenant"),
        Setting("instance_types", many=True),
        Setting("resource_group"),
        Setting("identity"),
        Setting("ssh_from", many=True),
        Setting("endpoint"),
    ),
    find=logins,
    nothing="no login of the Azure CLI: `az login` makes one",
    reads=(SUBSCRIPTION,),
    unused=("AZURE_CLIENT_SECRET", "AZURE_CONFIG_DIR"),
)
