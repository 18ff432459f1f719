from __future__ import annotations

import subprocess
from pathlib import Path

from dstack_cloud.ssh import keys


def test_openssh_reads_the_private_key_and_derives_the_public_one(tmp_path: Path) -> None:
    pair = keys.generate()
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text(pair.private)
    derived = subprocess.run(["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, check=True).stdout
    assert derived.split()[:2] == pair.public.split()


def test_no_two_are_alike_and_none_shows_its_secret() -> None:
    one, other = keys.generate(), keys.generate()
    assert one != other
    assert "PRIVATE" not in repr(one)
