"""The host keys that the user's own `ssh` trusts already."""

from __future__ import annotations

from pathlib import Path


def known_keys(path: Path, host: str, port: int = 22) -> tuple[str, ...]:
    """The public lines (`TYPE BASE64`) that a known_hosts file has for a host, hashed names too. None of them: an empty tuple.

    Keys that the file marks as revoked, or as a certificate authority's, aren't among them.
    """
    if not path.is_file():
        return ()
    # paramiko takes a tenth of a second to load
    import paramiko

    entries = paramiko.HostKeys()
    for line in path.read_text(errors="replace").splitlines():
        # `@revoked`, `@cert-authority`: not a host's own key
        if line.strip() and not line.startswith(("#", "@")):
            entry = paramiko.hostkeys.HostKeyEntry.from_line(line)
            if entry is not None and entry.key is not None:
                for name in entry.hostnames:
                    entries.add(name, entry.key.get_name(), entry.key)
    found = entries.lookup(host if port == 22 else f"[{host}]:{port}")
    return () if found is None else tuple(f"{kind} {key.get_base64()}" for kind, key in found.items())
