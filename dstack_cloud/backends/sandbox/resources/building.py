"""Images from base images: pulled, built by a Dockerfile, put into one layer."""

from __future__ import annotations

import io
import logging
import tarfile
from pathlib import Path

from dstack_cloud.backends.sandbox.client import Body, DockerClient, as_json, as_tar, tar_file
from dstack_cloud.errors import BackendError

log = logging.getLogger(__name__)

APT_INSTALL = """\
FROM {base}
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends {packages} \\
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb
"""


def obtain(client: DockerClient, image: str) -> bool:
    """Whether the engine has the image, pulled if it must be."""
    if client.image(image) is not None:
        return True
    try:
        pull(client, image)
    except BackendError as refused:
        log.info("%s can't be pulled: %s", image, refused.summary)
        return False
    return True


def pull(client: DockerClient, image: str) -> None:
    for line in client.progress("/images/create", {"fromImage": image}):
        log.debug("pull of %s: %s", image, line)


def build(client: DockerClient, tag: str, context: Body) -> None:
    """`context` is a tar with a Dockerfile. Raises InvalidConfiguration where a step fails."""
    for line in client.progress("/build", {"t": tag, "rm": "1", "forcerm": "1"}, context):
        log.debug("build of %s: %s", tag, line)


def dockerfile(text: str) -> Body:
    """A build context of a Dockerfile alone."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        add_text(tar, "Dockerfile", text)
    return as_tar(content.getvalue())


def add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    tar.addfile(member, io.BytesIO(text.encode()))


def load(client: DockerClient, root: Path | Body, image: str, changes: tuple[str, ...]) -> None:
    """Imports a root file system (a tar) as an image of one layer. `changes` are Dockerfile instructions."""
    repository, _, tag = image.rpartition(":")
    query = [("fromSrc", "-"), ("repo", repository), ("tag", tag), *(("changes", change) for change in changes)]
    for line in client.progress("/images/create", query, tar_file(root) if isinstance(root, Path) else root):
        log.debug("import of %s: %s", image, line)


def flatten(client: DockerClient, layered: str, image: str, changes: tuple[str, ...]) -> None:
    """Makes `image` of all that `layered` holds, in one layer; `layered` is removed."""
    container = client.call("POST", "/containers/create", body=as_json({"Image": layered, "Cmd": ["true"]}))["Id"]
    try:
        load(client, as_tar(client.stream(f"/containers/{container}/export")), image, changes)
    finally:
        client.call("DELETE", f"/containers/{container}", {"v": "1"})
    client.call("DELETE", f"/images/{layered}")
