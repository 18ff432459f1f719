"""A user whose project runs on the emulated Azure: configuration and login."""

from __future__ import annotations

import json
from typing import Any

from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.policy import least_permissions
from tests.e2e import cloud as any_cloud
from tests.e2e.conftest import User
from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.cloud import LOCATION, AzureCloud
from tests.unit.azure.conftest import write_principal

TYPE = "Standard_D2s_v5"


def configure(user: User, cloud: AzureCloud, container: str, **azure: Any) -> None:
    """`azure` are settings of the backend. The login may do what `dstack config permissions azure` prints, and nothing else."""
    user.home.mkdir(exist_ok=True)
    store = f"az://{container}"
    role = json.loads(least_permissions(AzureConfig(storage_account=ACCOUNT), cloud.subscription, store))
    client = cloud.add_client(*role["Actions"], data=role["DataActions"])
    settings = {
        "endpoint": cloud.endpoint,
        "service_principal": write_principal(user.home / "principal.json", cloud, client),
        "subscription": cloud.subscription,
        "storage_account": ACCOUNT,
        "regions": [LOCATION],
        "instance_types": [TYPE],
        **azure,
    }
    any_cloud.configure(user, "azure", store, settings)
