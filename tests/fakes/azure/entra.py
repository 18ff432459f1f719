"""Entra ID's endpoints that a program logs in at: a client with its secret gets a token.

https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping
from urllib.parse import parse_qsl

from tests.fakes.azure.calls import Answer, App, Environ, Json, StartResponse, send
from tests.fakes.azure.directory import TENANT, token
from tests.fakes.azure.world import World


class Entra:
    """A WSGI application: the tenant's paths, and everything else to `app`."""

    def __init__(self, app: App, world: World) -> None:
        self._app, self._world = app, world

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = str(environ.get("PATH_INFO", ""))
        parts = path.strip("/").split("/")
        if path.endswith("/.well-known/openid-configuration"):
            # Microsoft's library takes no other scheme, whatever this is reached by
            return send(Answer(200, _endpoints(f"https://{environ['HTTP_HOST']}/{parts[0]}")), start_response)
        if len(parts) < 3 or parts[1] != "oauth2" or parts[-1] != "token":
            return self._app(environ, start_response)
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        fault = self._world.faults.take("entra.token", {})
        threading.Event().wait(fault.delay if fault else 0.0)
        with self._world.lock:
            self._world.calls["entra.token"] += 1
            if fault and fault.code:
                return send(_refused(fault.code, fault.message or fault.code, fault.status or 401), start_response)
            return send(self._token(parts[0], dict(parse_qsl(raw.decode()))), start_response)

    def _token(self, tenant: str, form: Mapping[str, str]) -> Answer:
        if tenant not in (TENANT, "organizations", "common"):
            return _refused("invalid_request", f"AADSTS90002: Tenant '{tenant}' not found.", 400)
        if form.get("grant_type") != "client_credentials":
            why = f"AADSTS70003: The app requested an unsupported grant type '{form.get('grant_type')}'."
            return _refused("unsupported_grant_type", why, 400)
        scope = form.get("scope", "") or form.get("resource", "")
        client = self._world.directory.principals.get(form.get("client_id", ""))
        if client is None:
            why = f"AADSTS700016: Application with identifier '{form.get('client_id')}' was not found in the directory."
            return _refused("unauthorized_client", why, 400)
        if not client.secret or client.secret != form.get("client_secret"):
            why = f"AADSTS7000215: Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '{client.client}'."
            return _refused("invalid_client", why, 401)
        seconds = self._world.settings.token_seconds
        if not scope.endswith("/.default") and "scope" in form:
            why = f"AADSTS1002012: The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed to the resource identifier."
            return _refused("invalid_scope", why, 400)
        audience = scope.removesuffix("/.default").rstrip("/")
        text = token(client, audience, seconds)
        return Answer(200, {"token_type": "Bearer", "expires_in": max(int(seconds), 0), "access_token": text})


def _endpoints(base: str) -> Json:
    return {
        "token_endpoint": f"{base}/oauth2/v2.0/token",
        "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
        "issuer": f"{base}/v2.0",
        "jwks_uri": f"{base}/discovery/v2.0/keys",
    }


def _refused(error: str, description: str, status: int) -> Answer:
    moment = time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime())
    return Answer(status, {"error": error, "error_description": description, "timestamp": moment})
