"""What a project may set about each backend."""

from __future__ import annotations

from collections.abc import Mapping

from dstack_cloud.backends.aws.config import AwsConfig
from dstack_cloud.backends.aws.resources import logins as aws
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources import logins as azure
from dstack_cloud.backends.base.questions import Questionnaire
from dstack_cloud.backends.gcp.config import GcpConfig
from dstack_cloud.backends.gcp.resources import logins as gcp
from dstack_cloud.backends.local.config import LocalConfig
from dstack_cloud.backends.sandbox.config import GpuSetting, SandboxConfig, TypeSetting
from dstack_cloud.backends.ssh.config import Hop, OwnMachine, SshConfig
from dstack_cloud.domain.resources import Frozen

MODELS: Mapping[str, type[Frozen]] = {
    "aws": AwsConfig,
    "gcp": GcpConfig,
    "azure": AzureConfig,
    "local": LocalConfig,
    "sandbox": SandboxConfig,
    "a sandbox type": TypeSetting,
    "its GPUs": GpuSetting,
    "ssh": SshConfig,
    "a machine": OwnMachine,
    "a jump": Hop,
}
QUESTIONNAIRES: Mapping[str, Questionnaire] = {
    "aws": aws.QUESTIONNAIRE,
    "gcp": gcp.QUESTIONNAIRE,
    "azure": azure.QUESTIONNAIRE,
}
