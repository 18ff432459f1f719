"""VS Code's server leaves its token nowhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

from dstack_cloud.providers.code import SERVE

FAILING = 'node() { echo "?tkn=$(cat "$run/token")"; echo "why with $(wc -c <"$run/token")"; return 3; }'


def test_its_token_and_its_log_are_gone_when_it_ends(tmp_path: Path) -> None:
    env = {"VSCODE_TOKEN": "abc", "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    script = f"{FAILING}\n( code=/c folder=/f port=1\n{SERVE}\n)"
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (3, "why with 3\n")
    assert list(tmp_path.iterdir()) == []
