from __future__ import annotations

from dstack_cloud.backends.azure.resources import ending


def test_the_script_asks_for_the_machine_and_its_token_where_azure_tells_them() -> None:
    text = ending.script("https://127.0.0.1:9")
    assert text.startswith("#!/bin/sh\n") and "'https://127.0.0.1:9'" in text
    assert "/identity/oauth2/token?" in text and "/instance/compute/resourceId?" in text
