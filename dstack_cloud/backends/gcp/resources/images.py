"""What machines boot: the newest image of a family, or one image by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from dstack_cloud.backends.base.memory import Memory
from dstack_cloud.backends.base.settings import GIB
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.errors import NOT_FOUND, translated
from dstack_cloud.errors import BackendError, InvalidConfiguration

Found = TypeVar("Found")

# a family has a newer image every few weeks
AGE_SECONDS = 6 * 3600.0


@dataclass(frozen=True)
class Image:
    """`link` is its path, `size` bytes of the smallest disk that holds it."""

    link: str
    size: int


class Catalogue:
    """Images by name, each looked up once; they are the same in all regions. Threads share it."""

    def __init__(self, client: GcpClient) -> None:
        self._client = client
        self._found = Memory[str, Image](AGE_SECONDS)

    def find(self, name: str) -> Image:
        """`name` is PROJECT/FAMILY or PROJECT/IMAGE. Raises InvalidConfiguration where there is none of it."""
        return self._found.get(name, lambda: self._look(name))

    def _look(self, name: str) -> Image:
        project, _, short = name.partition("/")
        images, how = self._client.images(), self._client.reading
        found = _unless_missing(
            name, lambda: images.get_from_family(request={"project": project, "family": short}, **how)
        )
        found = found or _unless_missing(name, lambda: images.get(request={"project": project, "image": short}, **how))
        if found is None:
            raise InvalidConfiguration(
                f"there is no image {name}",
                "set `images` to PROJECT/FAMILY or PROJECT/IMAGE (`gcloud compute images list` shows some)",
            )
        return Image(f"projects/{project}/global/images/{found.name}", int(found.disk_size_gb) * GIB)


def _unless_missing(name: str, ask: Callable[[], Found]) -> Found | None:
    try:
        with translated(name):
            return ask()
    except BackendError as refused:
        if refused.cloud_code not in NOT_FOUND:
            raise
        return None
