"""What `dstack config` finds of AWS on this computer, and what it asks: the profiles of ~/.aws.

https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-files.html
"""

from __future__ import annotations

from configparser import ConfigParser, Error
from pathlib import Path

from dstack_cloud.backends.aws.client import known_regions
from dstack_cloud.backends.aws.config import SCHEME, AwsConfig
from dstack_cloud.backends.base.questions import Login, Questionnaire, Setting, Surroundings

DEFAULT = "default"
CREDENTIALS, CONFIG = Path(".aws/credentials"), Path(".aws/config")
KEY = "aws_access_key_id"
# what a section of ~/.aws/config has that leads to credentials
WAYS = ("sso_session", "sso_start_url", "role_arn", "credential_process", "login_session", KEY)


def logins(around: Surroundings) -> list[Login]:
    """Each profile that has credentials, the one that the AWS tools would use first."""
    keys = {name for name, section in _sections(around.home / CREDENTIALS).items() if section.get(KEY)}
    settings = {name.removeprefix("profile "): section for name, section in _sections(around.home / CONFIG).items()}
    led = {name for name, section in settings.items() if any(section.get(way) for way in WAYS)}
    wanted = around.environment.get("AWS_PROFILE") or DEFAULT
    shell = around.environment.get("AWS_REGION") or around.environment.get("AWS_DEFAULT_REGION")
    found = []
    for name in sorted(keys | led, key=lambda name: (name != wanted, name)):
        region = settings.get(name, {}).get("region") or shell
        found.append(
            Login(
                f"profile {name}",
                f"~/{CREDENTIALS if name in keys else CONFIG}",
                {"profile": "" if name == DEFAULT else name},
                {"regions": [region]} if region else {},
                preferred=name == wanted,
            )
        )
    return found


def _sections(path: Path) -> dict[str, dict[str, str]]:
    """{} where it isn't there, or isn't what it should be: the AWS tools say so better."""
    parser = ConfigParser(interpolation=None, default_section="", strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (Error, OSError, UnicodeDecodeError):
        return {}
    return {name: dict(parser[name]) for name in parser.sections()}


def _known(key: str) -> list[str]:
    return known_regions() if key == "regions" else []


QUESTIONNAIRE = Questionnaire(
    title="AWS",
    scheme=SCHEME,
    model=AwsConfig,
    settings=(
        Setting("profile", "AWS profile"),
        Setting(
            "regions",
            "AWS regions",
            many=True,
            default="us-east-1",
        ),
        Setting("instance_types", many=True),
        Setting("vpc"),
        Setting("subnets", many=True),
        Setting("ssh_from", many=True),
        Setting("instance_profile"),
        Setting("lend_role"),
        Setting("endpoint"),
    ),
    find=logins,
    nothing="no profile in ~/.aws: `aws configure` or `aws configure sso` makes one",
    reads=("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"),
    unused=("AWS_ACCESS_KEY_ID", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"),
    known=_known,
)
