"""What every object store must do; each kind subclasses the suite."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import boto3
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer

from dstack_cloud import errors
from dstack_cloud.backends.azure.config import AzureConfig
from dstack_cloud.backends.azure.resources.policy import least_permissions
from dstack_cloud.storage.keys import to_key, to_path
from dstack_cloud.storage.store import PART, ObjectStore, open_store
from tests.fakes.azure.azurite import ACCOUNT
from tests.fakes.azure.cloud import AzureCloud
from tests.fakes.seaweed import Seaweed

ODD_NAMES = [
    "a b", "ünï/ço", "100%", "a%20b", "~", "~/x", ".hidden", "..x", "a#1", "d#1/b", "#5", "tab\tx", "line\nx", "back\\slash",
    "q?*[x]", "{x}", "a:b", "\x7f", "emoji 😀", "a|b<>\"'^`", "-dash", "%41", "%", "x%/y", "é" * 120, "n" * 255, "n" * 251 + "#1.5",
    "x" * 240 + "..", "%" * 255, "not utf-8 \udcff\udc80%41", "%\x01",
]  # fmt: skip


class StoreContract:
    @pytest.fixture
    def store(self) -> ObjectStore:
        raise AssertionError("a subclass says which")

    def test_gives_back_what_was_put(self, store):
        store.put("a/b", b"first")
        store.put("a/b", b"second")
        assert store.get("a/b") == b"second"
        assert store.exists("a/b")
        assert not store.exists("a")
        assert b"".join(store.open("a/b")) == b"second"

    def test_empty_objects(self, store):
        store.put("a", b"")
        store.put("b", [])
        assert store.get("a") == store.get("b") == b""
        assert list(store.open("a")) in ([], [b""])
        assert [info.size for info in store.list("")] == [0, 0]

    def test_streams_in_and_out(self, store):
        chunks = [bytes([n]) * 1_000_003 for n in range(40)]
        assert sum(map(len, chunks)) > 2 * PART
        store.put("big", iter(chunks))
        whole = b"".join(chunks)
        assert b"".join(store.open("big")) == whole
        assert b"".join(store.open("big", start=39_000_000)) == whole[39_000_000:]

    @pytest.mark.parametrize("start", [0, 1, 9, 10, 11, 10**9])
    def test_opens_from_any_byte(self, store, start):
        store.put("a", b"0123456789")
        assert b"".join(store.open("a", start=start)) == b"0123456789"[start:]

    def test_a_missing_object_is_not_found_before_the_first_chunk(self, store):
        for read in (store.get, store.open, lambda key: store.open(key, start=5)):
            with pytest.raises(errors.NotFound):
                read("nope")

    @pytest.mark.parametrize("size", [10, PART + 10, 3 * PART])
    def test_a_source_that_fails_leaves_nothing(self, store, size):
        def failing() -> Iterator[bytes]:
            for _ in range(0, size, 2**20):
                yield bytes(2**20)
            raise FileNotFoundError("the source's own")

        store.put("kept", b"old")
        for key in ("new", "kept"):
            with pytest.raises(FileNotFoundError, match="the source's own"):
                store.put(key, failing())
        assert [info.key for info in store.list("")] == ["kept"]
        assert store.get("kept") == b"old"

    def test_an_object_is_invisible_until_it_is_whole(self, store):
        seen = []

        def chunks() -> Iterator[bytes]:
            for _ in range(3):
                yield bytes(PART)
                seen.append(store.exists("a") or bool(list(store.list(""))))

        store.put("a", chunks())
        assert seen == [False] * 3
        assert store.exists("a")

    def test_creates_only_once(self, store):
        assert store.create("a", b"1")
        assert not store.create("a", b"2")
        assert store.get("a") == b"1"

    def test_one_of_many_creates(self, store):
        results = []
        threads = [threading.Thread(target=lambda n=n: results.append(store.create("x", bytes([n])))) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [False] * 7 + [True]

    def test_lists_below_a_prefix_sorted(self, store):
        for key in ("run/b", "run/a/c", "run/a b", "runner/x", "run/é", "other"):
            store.put(key, key.encode())
        listed = list(store.list("run/"))
        assert [info.key for info in listed] == ["run/a b", "run/a/c", "run/b", "run/é"]
        assert [info.size for info in listed] == [7, 7, 5, 6]
        assert all(info.modified_at > 1.7e9 for info in listed)
        assert len(list(store.list(""))) == 6
        assert list(store.list("nothing/")) == []

    def test_deletes_also_what_is_missing(self, store):
        keys = [f"d/{n}" for n in range(1500)]
        for key in keys[::2]:
            store.put(key, b"x")
        store.put("kept", b"x")
        store.delete(keys)
        store.delete([])
        assert [info.key for info in store.list("")] == ["kept"]

    @pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
    def test_odd_names(self, store, name):
        key = f"p/{name}"
        store.put(key, b"1")
        assert store.get(key) == b"1"
        assert [info.key for info in store.list("p/")] == [key]
        assert not store.create(key, b"2")
        store.delete([key])
        assert not store.exists(key)

    @pytest.mark.parametrize("key", ["", "/abs", "../up", "a/../b", "a/..", "./a", "a//b", "a/", "/", "..", "."])
    def test_refuses_keys_that_are_no_names(self, store, key):
        for use in (lambda: store.put(key, b""), lambda: store.get(key), lambda: store.delete([key])):
            with pytest.raises(errors.StoreError):
                use()
        assert list(store.list("")) == []


class TestLocal(StoreContract):
    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path / "with space %20" / "objects"

    @pytest.fixture
    def store(self, folder):
        return open_store(folder.as_uri())

    def test_the_folder_is_private(self, store, folder):
        assert folder.stat().st_mode & 0o777 == 0o700

    def test_ordinary_names_can_be_browsed(self, store, folder):
        for name in ("models/my model.pt", "100% é", "~/.cache/x"):
            store.put(name, b"1")
            assert (folder / name).read_bytes() == b"1"

    def test_removes_emptied_folders(self, store, folder):
        store.put("a/b/c", b"1")
        store.put("a/d", b"1")
        store.delete(["a/b/c"])
        assert [path.name for path in (folder / "a").iterdir()] == ["d"]
        store.delete(["a/d"])
        assert list(folder.iterdir()) == []

    def test_what_a_disk_refuses_is_a_store_error(self, store):
        store.put("a", b"1")
        with pytest.raises(errors.StoreError) as caught:
            store.put("a/b", b"1")
        assert caught.value.hint

    def test_a_killed_writer_leaves_nothing_visible(self, store, folder):
        program = "import sys; from tests.contract.test_store import write_forever; write_forever(sys.argv[1])"
        writer = subprocess.Popen([sys.executable, "-c", program, folder.as_uri()], stdout=subprocess.PIPE)
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()
        writer.communicate()
        assert list(store.list("")) == []
        assert store.create("a/b", b"1")

    @pytest.mark.parametrize("url", ["", "folder", "file:relative", "file://host/folder", "ftp://x/y"])
    def test_refuses_other_places(self, url):
        with pytest.raises(errors.ConfigurationError):
            open_store(url)

    def test_a_folder_that_can_not_be_made(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(errors.ConfigurationError, match="can't be made"):
            open_store((tmp_path / "file" / "x").as_uri())


class RemoteContract(StoreContract):
    """What holds of every store at the other end of a connection."""

    def test_credentials_can_be_asked_for(self, store, options):
        asked = []

        def credentials():
            asked.append(1)
            key = {name: options[name] for name in ("access_key_id", "secret_access_key")}
            return {**key, "token": None, "expires_at": None}

        plain = {name: value for name, value in options.items() if name not in ("access_key_id", "secret_access_key")}
        lent = open_store(store_url(store), options=plain, credentials=credentials)
        lent.put("a", b"1")
        assert (lent.get("a"), store.get("a")) == (b"1", b"1")
        assert asked

    def test_copies_within_the_store(self, store):
        store.put("a/b", b"1")
        store.copy("a/b", "c d")
        assert store.get("c d") == b"1"

    def test_a_read_of_many_pieces_is_of_one_object(self, store):
        store.put("a", bytes(3 * PART))
        chunks = store.open("a")
        first = next(chunks)
        store.put("a", b"1" * (3 * PART))
        try:
            rest = b"".join(chunks)
        except errors.StoreError:
            return
        assert first + rest == bytes(3 * PART)


def store_url(store: ObjectStore) -> str:
    return store._target.url


@pytest.fixture(scope="module")
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {"endpoint": f"http://{host}:{port}", "region": "us-east-1", "allow_http": "true"}
    options |= {"access_key_id": "AKIATEST", "secret_access_key": "secretsecret"}
    key = {"aws_access_key_id": "AKIATEST", "aws_secret_access_key": "secretsecret"}
    boto3.client("s3", endpoint_url=options["endpoint"], region_name="us-east-1", **key).create_bucket(Bucket="box")
    yield "s3://box", options
    server.stop()


@pytest.fixture(scope="module")
def seaweed() -> Iterator[Seaweed]:
    with Seaweed() as server:
        yield server


@pytest.mark.moto
class TestMoto(RemoteContract):
    @pytest.fixture
    def options(self, bucket):
        return bucket[1]

    @pytest.fixture
    def store(self, bucket):
        return open_store(f"{bucket[0]}/{uuid.uuid4()}", options=bucket[1])


@pytest.mark.seaweed
class TestSeaweed(RemoteContract):
    @pytest.fixture
    def options(self, seaweed):
        return seaweed.options()

    @pytest.fixture
    def store(self, seaweed):
        return open_store(f"s3://first/{uuid.uuid4()}", options=seaweed.options())

    def test_other_words_where_the_key_is_wrong(self, store, options):
        for wrong in ({"secret_access_key": "other"}, {"access_key_id": "OTHER"}):
            refused = open_store(store_url(store), options={**options, **wrong})
            with pytest.raises(errors.StoreError) as caught:
                refused.put("a", b"1")
            assert caught.value.hint
            assert "other" not in f"{caught.value.summary} {caught.value.hint}"


@pytest.fixture(scope="module")
def blob() -> Iterator[AzureCloud]:
    with AzureCloud(store=True) as cloud:
        yield cloud


@pytest.mark.azure
@pytest.mark.azurite
class TestBlob(RemoteContract):
    """Azurite, with tokens of Entra ID."""

    @pytest.fixture
    def options(self, blob):
        return {"account_name": ACCOUNT, "endpoint": f"{blob.endpoint}/{ACCOUNT}", "allow_http": "true"}

    @pytest.fixture
    def credentials(self, blob):
        """Of somebody who may do to blobs what `dstack config permissions azure` prints, and nothing else."""
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        role = json.loads(least_permissions(AzureConfig(storage_account=ACCOUNT), blob.subscription, "az://any"))
        client = blob.add_client(*role["Actions"], data=role["DataActions"])
        token = blob.token(client, "https://storage.azure.com")
        return lambda: {"token": token, "expires_at": soon}

    @pytest.fixture
    def store(self, blob, options, credentials):
        return open_store(f"az://{blob.make_container()}/team", options=options, credentials=credentials)

    def test_credentials_can_be_asked_for(self, store, options):
        def expired():
            raise errors.NotAuthorized("the login has expired", "log in again")

        refused = open_store(store_url(store), options=options, credentials=expired)
        with pytest.raises(errors.StoreError, match="the login has expired") as caught:
            refused.put("a", b"1")
        assert caught.value.hint == "log in again"

    def test_a_container_that_is_not_there_is_named(self, options, credentials):
        nowhere = open_store("az://nowhere", options=options, credentials=credentials)
        for ask in (lambda: nowhere.put("a", b"1"), lambda: nowhere.get("a"), lambda: list(nowhere.list(""))):
            with pytest.raises(errors.StoreError, match="the container nowhere doesn't exist"):
                ask()

    def test_who_may_not_is_told_the_role(self, blob, store, options):
        soon = datetime.now(timezone.utc) + timedelta(hours=1)
        token = blob.token(blob.add_client("Microsoft.Compute/*"), "https://storage.azure.com")
        lent = open_store(store_url(store), options=options, credentials=lambda: {"token": token, "expires_at": soon})
        with pytest.raises(errors.StoreError, match="AuthorizationPermissionMismatch") as caught:
            lent.put("a", b"1")
        assert "Storage Blob Data Contributor" in caught.value.hint


def write_forever(url: str) -> None:
    def chunks() -> Iterator[bytes]:
        while True:
            yield bytes(PART)
            print("writing", flush=True)

    open_store(url).put("a/b", chunks())


class TestMemory(StoreContract):
    @pytest.fixture
    def store(self):
        return open_store("memory://")


@pytest.mark.parametrize(
    ("url", "options"),
    [("s3://bucket/prefix", {"region": "eu-central-1"}), ("gs://bucket", {}), ("az://box", {"account_name": "me"})],
)
def test_remote_stores_are_made_without_a_connection(url, options):
    assert open_store(url, options=options).width > 1


# any name that a Unix file system can hold: bytes but NUL and the slash, at most 255
names = (
    st.binary(min_size=1, max_size=255)
    .map(lambda raw: raw.replace(b"/", b"%").replace(b"\0", b"#1"))
    .map(lambda raw: raw[:255].decode(errors="surrogateescape"))
    .filter(lambda name: name not in (".", ".."))
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(names | st.text("%#019AF\x01.é", min_size=1).filter(lambda name: name.strip(".")), min_size=1, max_size=3)
)
def test_keys_survive_the_way_to_a_path_and_back(parts):
    key = "/".join(parts)
    path = to_path(key)
    assert to_key(path) == key
    assert all(0 < len(piece.encode()) <= 245 and piece not in (".", "..") for piece in path.split("/"))
