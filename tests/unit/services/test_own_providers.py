"""Providers of the user's own, and all that their code may do instead of answering."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import jsonschema
import pytest

from dstack_cloud.domain import providers
from dstack_cloud.domain.parsing import Checked
from dstack_cloud.domain.variables import Values
from dstack_cloud.errors import ConfigurationError
from dstack_cloud.services import own_providers
from tests.architecture.sources import PACKAGE

EXAMPLE = PACKAGE.parent / "examples" / "own-provider"
IMPORTS = "from dstack_cloud.providers import Program, Provider, path, text, words\n"


def check(fields: str, source: str, patience: float = 30.0) -> tuple[Checked, providers.Providers]:
    workflows = f"workflows: [{{name: w, provider: './mine.py:Mine', {fields}}}]"
    return own_providers.check(
        [
            {"path": ".dstack/workflows.yaml", "text": workflows},
            {"path": "mine.py", "text": IMPORTS + textwrap.dedent(source)},
        ],
        patience,
    )


def commands(fields: str, source: str) -> tuple[str, ...]:
    checked, known = check(fields, source)
    assert checked.problems == []
    (spec,) = providers.job_specs(checked.workflows[0], Values("shady-1", "", ("a b", "c")), providers=known)
    return spec.commands


def program(body: str) -> str:
    return f"class Mine(Provider):\n    size: str = text('x.', default='1')\n    def program(self, given):\n        {body}\n"


def test_the_example_and_the_page_about_it_are_the_same() -> None:
    source = (EXAMPLE / "providers" / "make.py").read_text()
    assert f"```python\n{source}```" in (PACKAGE.parent / "docs" / "reference" / "own-providers.md").read_text()


def test_options_are_checked_filled_in_and_given() -> None:
    source = (EXAMPLE / "providers" / "make.py").read_text().replace("class Make", "class Mine")
    given = "targets: ['${{ run.args }}', all], makefile: ./sub/M"
    assert commands(given, source.partition("\n\n")[2]) == ("make -j2 -f sub/M 'a b' c all",)
    [missing] = check("jobs: 3", source.partition("\n\n")[2])[0].problems
    assert missing.text == "the workflow has no `targets`, which provider ./mine.py:Mine needs"
    [unknown] = check("targets: x, makefiel: M", source.partition("\n\n")[2])[0].problems
    assert unknown.hint == "did you mean `makefile`?"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import nothing_like_this", "mine.py:2: ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("\n\nclass Mine(Provider)\n    pass", "mine.py:4: SyntaxError: expected ':'"),
        ("x = 1 / 0", "mine.py:2: ZeroDivisionError: division by zero"),
        ("import sys; sys.exit(3)", "mine.py:2: SystemExit: 3"),
        ("import os; os._exit(0)", "mine.py ended its process without an answer"),
        ("class Other(Provider):\n    def program(self, given): ...", "there is no class `Mine` in mine.py; its providers are: Other"),
        ("Mine = 5", "`Mine` in mine.py is no subclass of dstack_cloud.providers.Provider"),
        ("class Mine(Provider): pass", "`Mine` in mine.py has no method `program(self, given)`"),
        ("class Mine(Provider):\n    needs = 5\n    def program(self, given): ...", "TypeError"),
        ("class Mine(Provider):\n    port = 'x'\n    def program(self, given): ...", "says of itself what can't be: `port`"),
        ("class Mine(Provider):\n    env: str = text('x.')\n    def program(self, given): ...", "its option `env` is a field that"),
    ],
)  # fmt: skip
def test_a_class_that_cannot_be_loaded(source: str, told: str) -> None:
    checked, _ = check("help: x", source)
    [problem] = checked.problems
    assert problem.where == "workflows[0].provider"
    assert told in problem.text


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("return 5", "`program` of `Mine` must return a Program, and returned int"),
        ("raise ValueError('no size ' + self.size)", "mine.py:5: ValueError: no size 1"),
        ("return Program(commands='make')", "`commands`: "),
        ("return Program(commands=(object(),))", "holds more than texts"),
        ("return Program()", "neither commands nor an image"),
        ("return Program(commands=('a\\0b',))", "NUL"),
        ("return Program(commands=('a',), page='x')", "doesn't begin with `/`"),
        ("return Program(commands=('a',), token='a b')", "can't be the name of an environment variable"),
    ],
)
def test_a_program_that_cannot_be(body: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        commands("help: x", program(body))
    assert caught.value.summary.startswith("the provider `./mine.py:Mine` of the workflow `w` failed: ")
    assert told in caught.value.summary


@pytest.mark.parametrize(("about", "line"), [("`size` must be a number", 4), ("nothing to do", 1)])
def test_what_it_refuses_is_told_with_the_line_of_the_option_that_it_names(about: str, line: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        commands("help: x,\n\n\n size: x", program(f"raise ValueError({about!r})"))
    assert caught.value.summary.endswith(f"ValueError: {about} (.dstack/workflows.yaml:{line})")


def test_one_that_never_answers_is_ended(tmp_path: Path) -> None:
    number = tmp_path / "pid"
    checked, _ = check(
        "help: x", f"import os, time\nopen({str(number)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)", 1.0
    )
    assert "mine.py didn't answer within 1 s" in checked.problems[0].text
    assert not Path("/proc", number.read_text()).exists()


def test_what_its_code_prints_is_no_answer() -> None:
    said = "print('{}'); import os; os.write(1, b'x'); os.system('echo y')\n"
    assert commands("help: x", said + program("print(1); return Program(commands=('make',))")) == ("make",)


def test_a_file_that_is_not_there() -> None:
    files = [{"path": "w.yaml", "text": "workflows: [{name: w, provider: './no/mine.py:Mine'}]"}]
    [problem] = own_providers.check(files)[0].problems  # type: ignore[arg-type]
    assert problem.text == "`provider`: `./no/mine.py:Mine` can't be used: there is no file no/mine.py here"


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Installed: one that offers `ours`, and one that offers `broken`, which can't be imported."""
    (tmp_path / "our_tools.py").write_text(IMPORTS + program("return Program(commands=('ours',))"))
    info = tmp_path / "our_tools-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: our-tools\nVersion: 1\n")
    offered = "[dstack_cloud.providers]\nours = our_tools:Mine\nbroken = nowhere:Mine\nbash = our_tools:Mine\n"
    (info / "entry_points.txt").write_text(offered)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.mark.usefixtures("packages")
def test_a_package_offers_one_by_name() -> None:
    files = [{"path": "w.yaml", "text": "workflows: [{name: w, provider: ours, size: 3}]"}]
    checked, known = own_providers.check(files)  # type: ignore[arg-type]
    assert checked.problems == []
    (spec,) = providers.job_specs(checked.workflows[0], Values("shady-1"), providers=known)
    assert (spec.provider, spec.commands) == ("ours", ("ours",))


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize(
    ("fields", "good"),
    [
        ({"provider": "ours", "size": "3"}, True),
        ({"provider": "ours", "siez": "3"}, False),
        ({"provider": "ours", "file": "a.py"}, False),
        ({"provider": "bash", "commands": "ls", "size": "3"}, False),
        ({"provider": "broken", "anything": "3", "size": "3"}, True),
        ({"provider": "nobodys"}, False),
    ],
)
def test_editors_know_those_of_packages_and_their_options(fields: dict[str, str], good: bool) -> None:
    schema = own_providers.schema()
    assert jsonschema.Draft7Validator(schema).is_valid({"workflows": [{"name": "w", **fields}]}) is good
    assert "x. Providers: ours." in json.dumps(schema)
