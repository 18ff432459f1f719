"""config.yaml as a person wrote it, changed in places."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dstack_cloud.domain.yaml_document import Document, comments
from dstack_cloud.errors import ConfigurationError

WRITTEN = """\
# mine
projects:
  # the first
  main:
    backends: [local]   # only here
    settings:
      aws:
        # far away
        regions:
          - eu-west-1
          # and
          - eu-west-3
        profile: work # of mine

  other: {store: 's3://b', backends: [aws, ssh]}  # theirs

# at the end
ca_bundle: /etc/x.pem
"""


def test_a_value_is_replaced_and_nothing_else() -> None:
    document = Document(WRITTEN, "f")
    assert document.set(["projects", "main", "backends"], ["aws", "local"])
    assert document.text == WRITTEN.replace("[local]", "[aws, local]")
    assert not document.set(["projects", "main", "backends"], ["aws", "local"])


def test_a_new_key_stands_behind_the_last_of_its_mapping_with_its_comment() -> None:
    document = Document(WRITTEN, "f")
    document.set(["projects", "main", "settings", "aws", "vpc"], "vpc-1", "where")
    document.set(["projects", "main", "store"], "s3://a/b", "home")
    assert (
        "profile: work # of mine\n        # where\n        vpc: vpc-1\n    # home\n    store: s3://a/b\n\n"
        in document.text
    )
    assert len(comments(document.text)) == len(comments(WRITTEN)) + 2


def test_a_list_over_lines_becomes_one_line() -> None:
    document = Document(WRITTEN, "f")
    document.set(["projects", "main", "settings", "aws", "regions"], ["us-east-1"])
    assert "        # far away\n        regions: [us-east-1]\n        profile: work # of mine\n" in document.text


def test_inside_of_brackets() -> None:
    document = Document(WRITTEN, "f")
    document.set(["projects", "other", "store"], "a, b")
    document.set(["projects", "other", "settings", "aws", "regions"], ["x"])
    document.remove(["projects", "other", "backends"])
    assert "other: {store: 'a, b', settings: {aws: {regions: [x]}}}  # theirs" in document.text


def test_what_is_removed_goes_with_what_it_leaves_empty() -> None:
    document = Document(WRITTEN, "f")
    assert document.remove(["projects", "main", "settings", "aws", "regions"])
    assert document.remove(["projects", "main", "settings", "aws", "profile"])
    assert "settings" not in document.text
    assert document.remove(["projects", "other"]) and not document.remove(["projects", "other"])
    assert document.data == {"projects": {"main": {"backends": ["local"]}}, "ca_bundle": "/etc/x.pem"}


@pytest.mark.parametrize(
    "text", ["", "# only a comment\n", "---\n", "projects:\n", "projects: ~\n", "projects: {}", '{\n "projects": {}\n}']
)
def test_where_there_is_next_to_nothing(text: str) -> None:
    document = Document(text, "f")
    document.set(["projects", "main", "store"], "s3://x")
    assert document.data == {"projects": {"main": {"store": "s3://x"}}}
    assert comments(document.text) == comments(text)


def test_a_file_of_json_stays_one() -> None:
    document = Document('{"projects": {\n  "main": {"store": "s3://a",\n    "backends": ["aws"]}\n}}\n', "f")
    document.set(["projects", "main", "backends"], ["local"])
    document.set(["default_project"], "main")
    assert document.data == {
        "projects": {"main": {"store": "s3://a", "backends": ["local"]}},
        "default_project": "main",
    }


@pytest.mark.parametrize(
    "text",
    [
        "base: &b {store: x}\nprojects:\n  main: *b\n",
        "base: &b {settings: {aws: {profile: x}}}\nprojects:\n  main:\n    <<: *b\n",
        "projects: [a]\n",
        "projects: three\n",
    ],
)
def test_what_would_change_something_else_too_is_refused(text: str) -> None:
    document = Document(text, "f.yaml")
    with pytest.raises(ConfigurationError, match=r"f\.yaml"):
        document.set(["projects", "main", "settings", "aws", "vpc"], "v")
    assert document.text == text


KEYS = st.sampled_from(["a", "b c", "x-1", "1", "null", "é"])
TEXTS = st.text("ab:#,[]{}'\" \\\n&*!|>-é", max_size=8)
VALUES = st.one_of(TEXTS, st.lists(TEXTS, max_size=3), st.booleans(), st.integers())
TREES = st.recursive(VALUES, lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=8)


@given(
    tree=st.dictionaries(KEYS, TREES, max_size=3),
    path=st.lists(KEYS, min_size=1, max_size=3),
    value=VALUES,
    flow=st.sampled_from([True, False, None]),
)
def test_any_change_of_any_document_is_that_change_or_refused(
    tree: dict[str, object], path: list[str], value: object, flow: bool | None
) -> None:
    text = yaml.safe_dump(tree, default_flow_style=flow, allow_unicode=True)
    commented = "# top\n" + "".join(f"{line}\n" for line in text.splitlines()) + "# end\n"
    document = Document(commented, "f")
    try:
        document.set(path, value, "new")
    except ConfigurationError:
        assert document.text == commented
        return
    assert document.get(path) == value
    document.remove(path)
    assert document.get(path) is None
    assert document.text.startswith("# top\n") and document.text.endswith("# end\n")
