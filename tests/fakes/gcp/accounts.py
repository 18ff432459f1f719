"""Who may ask: service accounts with their keys, and the tokens they get.

https://developers.google.com/identity/protocols/oauth2/service-account (also the tokens that an account signs itself)
https://cloud.google.com/iam/docs/downscoping-short-lived-credentials and https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote

import google.auth.exceptions
import google.auth.jwt
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.fakes.gcp import conditions
from tests.fakes.gcp.calls import Caller
from tests.fakes.gcp.places import NUMBER, PROJECT
from tests.fakes.gcp.wire import Answer, Json, Refusal, Request, as_json

OWNER = f"owner@{PROJECT}.iam.gserviceaccount.com"
# whose instances are that say "default": https://cloud.google.com/compute/docs/access/service-accounts#default_service_account
DEFAULT = f"{NUMBER}-compute@developer.gserviceaccount.com"
EVERYTHING = "https://www.googleapis.com/auth/cloud-platform"
BY_JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
BY_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
# whom Google's libraries address, whatever the key file names
AUDIENCE = "https://oauth2.googleapis.com/token"
TOKEN_SECONDS = 3600
MOST_RULES = 10
INVALID = (
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication "
    "credential. See https://developers.google.com/identity/sign-in/web/devconsole-project."
)


class Accounts:
    """Threads share it. One key is every account's."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        key = rsa.generate_private_key(65537, 2048)
        encoding, plain = serialization.Encoding.PEM, serialization.NoEncryption()
        self._private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, plain).decode()
        self._public = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
        self._verifier = key.public_key()
        self._key_id = secrets.token_hex(20)
        self.clear()

    def clear(self) -> None:
        with self._lock:
            self.known: dict[str, Json] = {}
            self._since: dict[str, float] = {}
            self._tokens: dict[str, tuple[Caller, float]] = {}
        for email, title in ((OWNER, "Owner"), (DEFAULT, "Compute Engine default service account")):
            self.add(email, title)

    def add(self, email: str, title: str = "") -> Json:
        """Its document. Raises Refusal for a name that is taken."""
        if email in self.known:
            taken = f"Service account {email.partition('@')[0]} already exists within project projects/{PROJECT}."
            raise Refusal(409, taken, "alreadyExists")
        name, number = f"projects/{PROJECT}/serviceAccounts/{email}", str(secrets.randbelow(10**20) + 10**20)
        more = {"displayName": title} if title else {}
        common = {
            "name": name,
            "projectId": PROJECT,
            "uniqueId": number,
            "oauth2ClientId": number,
            "etag": "MDEwMjE5MjA=",
        }
        self.known[email] = {**common, "email": email, **more}
        self._since[email] = time.monotonic()
        return self.known[email]

    def known_for(self, email: str, seconds: float) -> bool:
        """Whether it has been there so long."""
        return email in self.known and time.monotonic() >= self._since[email] + seconds

    def key_file(self, email: str, token_uri: str) -> Json:
        """As it is downloaded once from the console."""
        return {
            "type": "service_account", "project_id": PROJECT, "private_key_id": self._key_id, "private_key": self._private,
            "client_email": email, "client_id": self.known[email]["uniqueId"], "token_uri": token_uri,
            "auth_uri": "https://accounts.google.com/o/oauth2/auth", "universe_domain": "googleapis.com",
        }  # fmt: skip

    def issue(self, caller: Caller, seconds: float = TOKEN_SECONDS) -> str:
        token = f"ya29.c.{secrets.token_urlsafe(48)}"
        with self._lock:
            self._tokens[token] = caller, time.time() + seconds
        return token

    def expire(self) -> None:
        """All tokens that were given."""
        with self._lock:
            self._tokens.clear()

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Raises Refusal."""
        kind, _, token = headers.get("authorization", "").partition(" ")
        with self._lock:
            caller, until = self._tokens.get(token, (None, 0.0))
        if kind.lower() == "bearer" and caller and time.time() < until:
            return caller
        if kind.lower() == "bearer" and token.startswith("ey"):
            return self._signed_itself(token)
        details = {"@type": ERROR_INFO, "reason": "ACCESS_TOKEN_EXPIRED", "domain": "googleapis.com"}
        raise Refusal(401, INVALID, "authError", details=(details,))

    def _signed_itself(self, token: str) -> Caller:
        """Without an endpoint for tokens; it says what it is for as `aud` or as `scope`."""
        try:
            claims = self._claims(token)
        except (ValueError, google.auth.exceptions.GoogleAuthError):
            raise Refusal(401, INVALID, "authError") from None
        scopes = str(claims.get("scope") or EVERYTHING).split()
        return Caller(self._account(claims), frozenset(scopes))

    def _claims(self, token: str, audience: list[str] | None = None) -> Mapping[str, Any]:
        """Raises ValueError or GoogleAuthError."""
        found = google.auth.jwt.decode(token, certs=self._public, audience=audience)  # type: ignore[no-untyped-call]
        return dict(found)

    def _account(self, claims: Mapping[str, Any]) -> str:
        email = str(claims.get("iss", ""))
        if email not in self.known or self.known[email].get("disabled"):
            raise Refusal(401, INVALID, "authError")
        return email

    def signed(self, email: str, signature: bytes, text: bytes) -> bool:
        """Whether this account did."""
        try:
            self._verifier.verify(signature, text, padding.PKCS1v15(), hashes.SHA256())
        except InvalidSignature:
            return False
        return email in self.known and not self.known[email].get("disabled")

    def token(self, request: Request) -> Answer:
        """The OAuth 2.0 endpoint that a key file names."""
        form = dict(parse_qsl(request.body.decode()))
        if form.get("grant_type") != BY_JWT:
            return _oauth_error("unsupported_grant_type", f"Invalid grant_type: {form.get('grant_type', '')}")
        try:
            claims = self._claims(form.get("assertion", ""), [AUDIENCE, f"{request.base}/token"])
            email = self._account(claims)
        except (ValueError, google.auth.exceptions.GoogleAuthError) as wrong:
            return _oauth_error("invalid_grant", f"Invalid JWT: {wrong}")
        except Refusal:
            return _oauth_error("invalid_grant", "Invalid grant: account not found")
        scopes = str(claims.get("scope", "")).split()
        if not scopes:
            return _oauth_error("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        token = self.issue(Caller(email, frozenset(scopes)))
        return as_json({"access_token": token, "expires_in": TOKEN_SECONDS - 1, "token_type": "Bearer"})

    def exchange(self, request: Request) -> Answer:
        """A token that may less than another one, for as long as that one lives."""
        form = dict(parse_qsl(request.body.decode()))
        kinds = {"subject_token_type": ACCESS_TOKEN, "requested_token_type": ACCESS_TOKEN, "grant_type": BY_EXCHANGE}
        for name, kind in kinds.items():
            if form.get(name) != kind:
                return _oauth_error("invalid_request", f'Invalid value for "{name}": {form.get(name, "")!r}.')
        with self._lock:
            caller, until = self._tokens.get(form.get("subject_token", ""), (None, 0.0))
        if caller is None or time.time() >= until or caller.boundary:
            return _oauth_error("invalid_grant", "The subject token is invalid, expired or downscoped already.")
        try:
            rules = _rules(json.loads(unquote(form.get("options", ""))))
        except (ValueError, TypeError, LookupError) as wrong:
            return _oauth_error("invalid_request", f"Invalid access boundary in options: {wrong}")
        token = self.issue(Caller(caller.email, caller.scopes, rules), until - time.time())
        answer = {"access_token": token, "issued_token_type": ACCESS_TOKEN, "token_type": "Bearer"}
        return as_json({**answer, "expires_in": int(until - time.time())})


ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"


def _rules(options: Json) -> tuple[Json, ...]:
    """https://cloud.google.com/iam/docs/downscoping-short-lived-credentials#components. Raises ValueError."""
    rules = options["accessBoundary"]["accessBoundaryRules"]
    if not 1 <= len(rules) <= MOST_RULES:
        raise ValueError(f"between 1 and {MOST_RULES} rules")
    for rule in rules:
        if unknown := set(rule) - {"availableResource", "availablePermissions", "availabilityCondition"}:
            raise ValueError(f"unknown {unknown}")
        if not rule["availableResource"].startswith("//storage.googleapis.com/projects/_/buckets/"):
            raise ValueError("availableResource must be a bucket of Cloud Storage")
        if not all(each.startswith("inRole:roles/storage.") for each in rule["availablePermissions"]):
            raise ValueError("availablePermissions must be inRole:roles/storage.…")
        if "availabilityCondition" in rule:
            conditions.parse(rule["availabilityCondition"]["expression"])
    return tuple(rules)


def _oauth_error(code: str, description: str) -> Answer:
    return as_json({"error": code, "error_description": description}, 400)
