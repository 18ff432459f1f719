"""Short-lived credentials for a few prefixes of the store, for machines that have no identity of Google Cloud."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from dstack_cloud.backends.base import Finding
from dstack_cloud.backends.base.access import is_in, lent, place_of
from dstack_cloud.backends.gcp.client import GcpClient
from dstack_cloud.backends.gcp.config import SCHEME, GcpConfig
from dstack_cloud.backends.gcp.errors import NOT_FOUND
from dstack_cloud.backends.gcp.resources.policy import lent_permissions, of_bucket
from dstack_cloud.errors import BackendError

# obstore's name for where another server than Google's is
BASE_URL = "base_url"
GOOGLE = ".googleapis.com"
LET_IN = (
    "grant the role that `dstack config permissions gcp` prints, in the project or on the bucket (`gcloud storage buckets "
    "add-iam-policy-binding gs://{bucket} --member=user:EMAIL --role=projects/PROJECT/roles/dstackCloud`)"
)


class GsAccess:
    """A store on Cloud Storage; satisfies `base.access.StoreAccess`."""

    def __init__(self, config: GcpConfig, url: str, options: Mapping[str, str]) -> None:
        self.url, self.options = url, options
        self._client = GcpClient(config)

    @property
    def foreign(self) -> bool:
        """Another server than Google's knows nothing of a machine's identity. Emulators are of one piece: with an `endpoint` for
        Google Cloud, all are taken for Google's."""
        return not self._client.config.endpoint and self._is_elsewhere()

    def credentials(self) -> Mapping[str, object]:
        """The server's own, as an obstore credential provider."""
        return self._client.token()

    def lend(self, prefixes: Sequence[str], seconds: int, reads: Sequence[str] = ()) -> Mapping[str, str] | None:
        """For as long as the server's own token is good, an hour at most: https://cloud.google.com/iam/docs/downscoping-short-lived-credentials

        None where there are more prefixes than can be named, or these credentials may not be narrowed."""
        rules = lent_permissions(self.url, prefixes, reads)
        if not is_in(self.url, SCHEME) or rules is None or self.foreign:
            return None
        return lent(self.url, lambda: {"token": self._client.narrowed_token(rules)})

    def findings(self) -> list[Finding]:
        """https://cloud.google.com/storage/docs/json_api/v1/buckets/testIamPermissions"""
        if not is_in(self.url, SCHEME) or self.foreign:
            return []
        bucket, wanted = place_of(self.url)[0], of_bucket(self._client.config)
        try:
            path = f"/storage/v1/b/{bucket}/iam/testPermissions"
            given = self._client.rest("storage", "GET", path, permissions=wanted).get("permissions", [])
        except BackendError as wrong:
            if wrong.cloud_code in NOT_FOUND:
                return [
                    Finding(False, f"there is no bucket {bucket}", f"`gcloud storage buckets create gs://{bucket}`")
                ]
            return [Finding.of(wrong)]
        fix = LET_IN.format(bucket=bucket)
        return [
            Finding(True, f"{each} in {bucket}")
            if each in given
            else Finding(False, f"{each} in {bucket} is missing", fix)
            for each in wanted
        ]

    def _is_elsewhere(self) -> bool:
        place = urlsplit(self.options.get(BASE_URL, "")).hostname or GOOGLE
        return not place.endswith(GOOGLE)


def store_access(config: GcpConfig, url: str, options: Mapping[str, str]) -> GsAccess:
    """What `options` leave out comes from the settings: an emulator's endpoint."""
    known = {BASE_URL: config.endpoint} if config.endpoint else {}
    merged = {**known, **options}
    if merged.get(BASE_URL, "").startswith("http://"):
        merged.setdefault("allow_http", "true")
    return GsAccess(config, url, merged)
