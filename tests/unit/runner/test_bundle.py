from __future__ import annotations

import hashlib
import io
import subprocess
import sys
import zipfile

from dstack_cloud.runner_bootstrap.bundle import bundle, bundle_digest


def test_the_same_sources_give_the_same_bytes() -> None:
    show = "import sys; from dstack_cloud.runner_bootstrap.bundle import bundle; sys.stdout.buffer.write(bundle())"
    other = subprocess.run([sys.executable, "-c", show], capture_output=True, check=True).stdout
    assert other == bundle()
    assert bundle_digest() == hashlib.sha256(bundle()).hexdigest()


def test_nothing_but_the_payload_is_inside() -> None:
    names = zipfile.ZipFile(io.BytesIO(bundle())).namelist()
    packages = {"__main__.py", "dstack_cloud/__init__.py", "dstack_cloud/runner_bootstrap/__init__.py"}
    assert all(name in packages or name.startswith("dstack_cloud/runner_bootstrap/payload/") for name in names)


def test_it_needs_nothing_but_the_standard_library(tmp_path) -> None:
    (tmp_path / "runner.pyz").write_bytes(bundle())
    names = [name for name in zipfile.ZipFile(io.BytesIO(bundle())).namelist() if "payload/" in name]
    modules = [name.removesuffix(".py").replace("/", ".") for name in names]
    program = f"import sys; sys.path.insert(0, 'runner.pyz'); import {', '.join(modules)}"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], cwd=tmp_path, check=True)
