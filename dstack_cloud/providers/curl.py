from __future__ import annotations

import posixpath
import shlex
from urllib.parse import unquote, urlsplit

from dstack_cloud.providers.base import Given, Program, Provider
from dstack_cloud.providers.options import path, text

SCHEMES = ("http", "https", "ftp")

# curl where the image has it, else wget, else Python; the file has its name once it is whole
DOWNLOAD = """\
set +e
url=$1 output=$2
if [ -d "$output" ]; then echo "error: $output is a folder: write $output/, or give the file in it a name" >&2; exit 1; fi
mkdir -p "$(dirname "$output")" || exit 1
if command -v curl >/dev/null; then
  curl --fail --location --show-error --silent --retry 3 --output "$output.part" "$url"
elif command -v wget >/dev/null; then
  wget -nv -O "$output.part" "$url"
elif python=$(command -v python || command -v python3); then
  "$python" -c 'import sys, shutil, urllib.request as r
try:
    shutil.copyfileobj(r.urlopen(sys.argv[1], timeout=60), open(sys.argv[2], "wb"))
except OSError as error:
    sys.exit(str(error))' "$url" "$output.part"
else
  echo "error: there is neither curl nor wget nor Python here: use an image that has one of them" >&2; exit 127
fi
code=$?
if [ "$code" != 0 ]; then rm -f "$output.part"; echo "error: $url could not be downloaded" >&2; exit "$code"; fi
mv "$output.part" "$output" && echo "downloaded $url to $output ($(wc -c <"$output" | tr -d ' ') bytes)"
"""


class Curl(Provider):
    """Downloads a file. Name it in `artifacts` to keep it."""

    name = "curl"
    example = "url: https://example.org/data.tar.gz\noutput: data/data.tar.gz\nartifacts: data"

    url: str = text("What to download: http, https or ftp.")
    output: str | None = path(
        "Where to put it, relative to `working_dir`; in a `folder/`, or without it, under the name that the URL ends in.",
        default=None,
    )

    def program(self, given: Given) -> Program:
        if urlsplit(self.url).scheme not in SCHEMES:
            raise ValueError(f"`url` must begin with {', '.join(f'{each}://' for each in SCHEMES)}; it is `{self.url}`")
        output = self.output or "."
        if output == "." or output.endswith("/"):
            named = posixpath.basename(unquote(urlsplit(self.url).path))
            output = posixpath.normpath(posixpath.join(output, named)) if named not in ("", ".", "..") else ""
        if not output:
            raise ValueError(f"the URL `{self.url}` ends in no file's name: say where to put it with `output`")
        return Program((f"( set -- {shlex.join([self.url, output])}\n{DOWNLOAD})",), given.image)
