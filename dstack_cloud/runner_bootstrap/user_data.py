"""What a machine is told at its first boot: its host key, who may log in, and when to end itself at the latest. Pure.

Nothing else secret is in it: a cloud keeps user data where any program on the machine can read it.
"""

from __future__ import annotations

import json

LOGIN_USER = "dstack"
DEAD_MAN = "dstack-deadman"
UNITS = "/etc/systemd/system"

SERVICE = """\
[Unit]
Description=Ends this machine because nobody needs it any more
DefaultDependencies=no

[Service]
Type=oneshot
ExecStart=/bin/systemctl poweroff
"""


def timer(seconds: int, calendar: str = "") -> str:
    """The unit of the dead-man timer, which a reboot doesn't lose.

    It counts from the moment it is armed, and from each boot after; with `calendar` (a UTC time as systemd writes it) the
    end doesn't move at a reboot either. The first to come ends the machine, so a clock that is wrong costs `seconds` at most.
    """
    lines = [
        "[Unit]",
        "Description=Latest end of this machine",
        "",
        "[Timer]",
        f"OnActiveSec={seconds}s",
        "AccuracySec=1s",
    ]
    if calendar:
        lines += [f"OnCalendar={calendar}", "Persistent=true"]
    lines += [f"Unit={DEAD_MAN}.service", "", "[Install]", "WantedBy=timers.target"]
    return "\n".join(lines) + "\n"


def user_data(*, host_private: str, host_public: str, client_public: str, user: str, dead_man_seconds: int) -> str:
    """A cloud-config document. `dead_man_seconds` counts from the boot until somebody sets another deadline."""
    config = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_private, "ed25519_public": host_public},
        "ssh_pwauth": False,
        "disable_root": True,
        "users": [
            {
                "name": user,
                "shell": "/bin/bash",
                "lock_passwd": True,
                "sudo": "ALL=(ALL) NOPASSWD:ALL",
                "ssh_authorized_keys": [client_public],
            }
        ],
        # the earliest stage there is: armed before SSH answers, and at every boot, so that nothing can lose it
        "bootcmd": [["sh", "-c", _arm(dead_man_seconds)]],
    }
    # JSON is YAML, and needs no library here
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"


def _arm(seconds: int) -> str:
    """Writes the units unless they are there (a later deadline may be set in them), and starts the timer."""
    service, unit = f"{UNITS}/{DEAD_MAN}.service", f"{UNITS}/{DEAD_MAN}.timer"
    wants = f"{UNITS}/timers.target.wants"
    return "\n".join(
        (
            f"if [ ! -e {unit} ]; then",
            f"cat >{service} <<'END'\n{SERVICE}END",
            f"cat >{unit} <<'END'\n{timer(seconds)}END",
            f"mkdir -p {wants}; ln -sf {unit} {wants}/",
            "fi",
            f"systemctl start --no-block {DEAD_MAN}.timer",
        )
    )
