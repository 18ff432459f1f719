"""What `dstack config` finds of Google Cloud on this computer, and what it asks.

Application-default credentials: https://cloud.google.com/docs/authentication/application-default-credentials
gcloud's own files: https://cloud.google.com/sdk/docs/configurations
"""

from __future__ import annotations

import json
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Any

from dstack_cloud.backends.base.questions import Login, Questionnaire, Setting, Surroundings
from dstack_cloud.backends.gcp.config import SCHEME, GcpConfig

GCLOUD = Path(".config/gcloud")
APPLICATION_DEFAULT = GCLOUD / "application_default_credentials.json"
KEY_FILE = "GOOGLE_APPLICATION_CREDENTIALS"
PROJECT = "GOOGLE_CLOUD_PROJECT"


def logins(around: Surroundings) -> list[Login]:
    """The key files that the configuration and the shell name, then the application-default login."""
    active = _active(around.home / GCLOUD)
    region = active.get("compute.region") or active.get("compute.zone", "").rpartition("-")[0]
    project = around.environment.get(PROJECT) or active.get("core.project", "")
    found: list[Login] = []

    def add(name: str, place: str, path: str, own_project: str) -> None:
        near = {"project": project or own_project, "regions": [region] if region else []}
        suggests = {key: value for key, value in near.items() if value}
        found.append(Login(name, place, {"credentials": path}, suggests, preferred=not found))

    for named in dict.fromkeys((around.settings.get("credentials", ""), around.environment.get(KEY_FILE, ""))):
        content = _object(Path(named).expanduser()) if named else {}
        if content.get("type"):
            own_project = content.get("project_id") or content.get("quota_project_id", "")
            add(f"key of {content.get('client_email') or content['type']}", named, named, own_project)
    content = _object(around.home / APPLICATION_DEFAULT)
    if content.get("type"):
        add("application-default login", f"~/{APPLICATION_DEFAULT}", "", content.get("quota_project_id", ""))
    return found


def _active(folder: Path) -> dict[str, str]:
    """gcloud's active configuration, as `section.key`."""
    try:
        name = (folder / "active_config").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        name = "default"
    parser = ConfigParser(interpolation=None, strict=False)
    try:
        parser.read(folder / "configurations" / f"config_{name}", encoding="utf-8")
    except (Error, OSError, UnicodeDecodeError):
        return {}
    return {f"{section}.{key}": value for section in parser.sections() for key, value in parser[section].items()}


def _object(path: Path) -> dict[str, Any]:
    """{} where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


QUESTIONNAIRE = Questionnaire(
    title="Google Cloud",
    scheme=SCHEME,
    model=GcpConfig,
    settings=(
        Setting("credentials"),
        Setting("project", "Google Cloud project", required=True, option="project-id"),
        Setting(
            "regions",
            "Google Cloud regions",
            many=True,
            default="us-central1",
        ),
        Setting("instance_types", many=True),
        Setting("network"),
        Setting("subnet"),
        Setting("service_account"),
        Setting("ssh_from", many=True),
        Setting("endpoint"),
    ),
    find=logins,
    nothing="no application-default login: `gcloud auth application-default login` makes one",
    reads=(KEY_FILE, PROJECT),
    unused=("CLOUDSDK_CONFIG",),
)
