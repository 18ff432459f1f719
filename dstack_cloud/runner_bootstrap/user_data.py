"""What a machine is told at its first boot: its host key, who may log in, and when to end itself at the latest. Pure.

Nothing else secret is in it: a cloud keeps user data where any program on the machine can read it.
"""

from __future__ import annotations

import json

LOGIN_USER = "dstack"
DEAD_MAN = "dstack-deadman"
ENDING = "dstack-ending"
UNITS = "/etc/systemd/system"
# deletes the machine, on clouds where one that has powered itself off still exists
ENDING_SCRIPT = "/usr/local/sbin/dstack-ending"
# what that may take: a cloud that doesn't answer is asked again by the server, later
ENDING_SECONDS = 60

# a reboot stops units, too, and its machine is still needed
STOPS_FOR_GOOD = "! systemctl list-jobs --no-legend 2>/dev/null | grep -Eq ' (reboot|kexec|soft-reboot)[.]target '"

# Google's guest agent would make other host keys at the first boot: https://github.com/GoogleCloudPlatform/guest-agent#configuration
KEEP_HOST_KEY = """\
mkdir -p /etc/default
file=/etc/default/instance_configs.cfg
grep -qs '^set_host_keys' $file || printf '[InstanceSetup]\\nset_host_keys = false\\n' >>$file"""


def service(ending: str = "") -> str:
    """The unit that the dead-man timer starts."""
    first = [f"ExecStart=-/usr/bin/timeout {ENDING_SECONDS} {ENDING_SCRIPT}"] if ending else []
    return "\n".join(
        (
            "[Unit]",
            "Description=Ends this machine because nobody needs it any more",
            "DefaultDependencies=no",
            "",
            "[Service]",
            "Type=oneshot",
            # before the power is off, and whatever becomes of it
            *first,
            "ExecStart=/bin/systemctl poweroff",
            "",
        )
    )


def ending_service() -> str:
    """The unit whose stop, at each shutdown but a reboot, deletes the machine: the runner's end, the timer's, anybody's poweroff.

    It is stopped while the network is still up, being started behind it.
    """
    return "\n".join(
        (
            "[Unit]",
            "Description=Deletes this machine when it powers off",
            "Wants=network-online.target",
            "After=network-online.target nss-lookup.target",
            "",
            "[Service]",
            "Type=oneshot",
            "RemainAfterExit=yes",
            "ExecStart=/bin/true",
            f'ExecStop=-/bin/sh -c "if {STOPS_FOR_GOOD}; then {ENDING_SCRIPT}; fi"',
            f"TimeoutStopSec={ENDING_SECONDS}s",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        )
    )


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


def user_data(
    *, host_private: str, host_public: str, client_public: str, user: str, dead_man_seconds: int, ending: str = ""
) -> str:
    """A cloud-config document. `dead_man_seconds` counts from the boot until somebody sets another deadline. `ending` is a
    script of sh that deletes the machine, "" where a poweroff does."""
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
        "bootcmd": [["sh", "-c", _arm(dead_man_seconds, ending)], ["sh", "-c", KEEP_HOST_KEY]],
    }
    # JSON is YAML, and needs no library here
    return "#cloud-config\n" + json.dumps(config, indent=1) + "\n"


def _arm(seconds: int, ending: str) -> str:
    """Writes the units unless they are there (a later deadline may be set in them), and starts them."""
    end, unit = f"{UNITS}/{ENDING}.service", f"{UNITS}/{DEAD_MAN}.timer"
    wanted_by = {"timers": unit, **({"multi-user": end} if ending else {})}
    files = {f"{UNITS}/{DEAD_MAN}.service": service(ending), unit: timer(seconds)}
    if ending:
        files |= {ENDING_SCRIPT: ending, end: ending_service()}
    return "\n".join(
        (
            f"if [ ! -e {unit} ]; then",
            # the timer last: it says that all of them are there
            *(_written(path, text) for path, text in sorted(files.items(), key=lambda file: file[0] == unit)),
            *([f"chmod 755 {ENDING_SCRIPT}"] if ending else []),
            *(_wanted(target, path) for target, path in wanted_by.items()),
            "fi",
            *([f"systemctl start --no-block {ENDING}.service"] if ending else []),
            f"systemctl start --no-block {DEAD_MAN}.timer",
        )
    )


def _written(path: str, text: str) -> str:
    whole = text if text.endswith("\n") else f"{text}\n"
    return f"cat >{path} <<'END_OF_FILE'\n{whole}END_OF_FILE"


def _wanted(target: str, path: str) -> str:
    wants = f"{UNITS}/{target}.target.wants"
    return f"mkdir -p {wants}; ln -sf {path} {wants}/"
