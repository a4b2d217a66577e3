"""Keys: of the right length, never the same twice, read by nobody else, and quoted in no error."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from labctl.errors import StateError
from labctl.kernel import keys
from labctl.kernel.paths import Paths
from labctl.plan.ciphers import CIPHERS


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths("t", run=tmp_path / "run", netns=tmp_path / "netns")


def test_a_key_has_the_length_of_its_cipher() -> None:
    lengths = {name: len(key) for name, key in keys.generate({cipher: cipher for cipher in CIPHERS}).items()}
    assert lengths == {
        "aes128-gcm": 20,
        "aes256-gcm": 36,
        "aes128-cbc-sha1": 36,
        "aes256-cbc-sha1": 52,
        "aes256-cbc-sha256": 64,
    }


def test_no_two_keys_are_alike() -> None:
    made = keys.generate({str(i): "aes128-gcm" for i in range(50)})
    assert len(set(made.values())) == 50


def test_what_is_saved_is_loaded(paths: Paths) -> None:
    made = keys.generate({"a": "aes128-gcm", "b": "aes256-cbc-sha256"})
    keys.save(paths, made)
    assert keys.load(paths) == made


def test_the_file_is_for_its_owner_alone_whatever_lay_there(paths: Paths) -> None:
    paths.root.mkdir(parents=True)
    for leftover in (paths.keyring, paths.keyring.with_suffix(".new")):
        leftover.write_text("old")
        leftover.chmod(0o666)
    before = os.umask(0)
    try:
        keys.save(paths, {"a": b"secret"})
    finally:
        os.umask(before)
    assert stat.S_IMODE(paths.keyring.stat().st_mode) == 0o600
    assert [each.name for each in paths.root.iterdir()] == [paths.keyring.name]


def test_at_no_instant_can_others_read_it(paths: Paths) -> None:
    paths.root.mkdir(parents=True)
    modes, done = set(), threading.Event()

    def watch() -> None:
        while not done.is_set():
            for each in paths.root.iterdir():
                try:
                    modes.add(stat.S_IMODE(each.stat().st_mode))
                except FileNotFoundError:
                    continue

    thread = threading.Thread(target=watch)
    before = os.umask(0)
    thread.start()
    try:
        for _ in range(100):
            keys.save(paths, {"a": bytes(1000)})
    finally:
        os.umask(before)
        done.set()
        thread.join()
    assert modes == {0o600}


def test_a_link_put_in_the_way_is_replaced_and_not_followed(paths: Paths, tmp_path: Path) -> None:
    paths.root.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    paths.keyring.symlink_to(victim)
    paths.keyring.with_suffix(".new").symlink_to(victim)
    keys.save(paths, {"a": b"secret"})
    assert victim.read_text() == "untouched"
    assert keys.load(paths) == {"a": b"secret"}


def test_a_ring_that_is_not_there_is_a_state_error(paths: Paths) -> None:
    with pytest.raises(StateError, match=str(paths.keyring)):
        keys.load(paths)


def test_a_ring_that_cannot_be_written_is_a_state_error(paths: Paths) -> None:
    paths.run.parent.mkdir(exist_ok=True)
    paths.run.write_text("a file")
    with pytest.raises(StateError, match="cannot write the keys"):
        keys.save(paths, {"a": b"secret"})


@pytest.mark.parametrize("content", ['{"a": "0badc0dex"}', '["0badc0de"]', '{"a": 7}', "0badc0de {"])
def test_a_damaged_ring_is_an_error_that_quotes_nothing_of_it(paths: Paths, content: str) -> None:
    paths.root.mkdir(parents=True)
    paths.keyring.write_text(content)
    with pytest.raises(StateError, match="is damaged") as caught:
        keys.load(paths)
    assert "0badc0de" not in str(caught.value)
    assert caught.value.__suppress_context__
