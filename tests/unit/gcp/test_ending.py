from __future__ import annotations

from dstack_cloud.backends.gcp.resources import ending


def test_the_script_asks_for_the_machine_and_its_token_where_google_tells_them() -> None:
    text = ending.script("http://127.0.0.1:9")
    assert text.startswith("#!/bin/sh\n") and "'http://127.0.0.1:9'" in text
    assert "'https://compute.googleapis.com'" in ending.script("")
    assert "/instance/service-accounts/default/token" in text and "/instance/name" in text
