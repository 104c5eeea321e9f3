"""The format of sealed values, and the keys of the operator."""

from __future__ import annotations

import base64
import os
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from db.errors import SealedError
from db.sealing import places
from db.sealing.compression import LARGE, compress, decompress
from db.sealing.envelope import (
    HEAD_BYTES,
    WRAP_BYTES,
    facts_of,
    is_sealed,
    key_id_of,
    rewrap,
    seal,
    unseal,
)
from db.sealing.keyring import Key, Keyring, KeysError, read_key_file, read_keys
from worker.settings import SettingsError, load_settings

OLD, NEW = Key(b"o" * 32), Key(b"n" * 32)
WORKSPACE, BUILD = uuid.UUID(int=1), uuid.UUID(int=2)
PLACE = places.state_of(WORKSPACE)
STATE = b'{"lineage": "l", "serial": 1, "password": "hunter2"}'


def text_of(*keys: Key) -> str:
    return ",".join(base64.b64encode(key.data).decode() for key in keys)


@pytest.mark.parametrize("data", [b"", STATE, STATE * 1000, os.urandom(5000)])
def test_a_sealed_value_opens_at_its_place(data: bytes) -> None:
    sealed = seal(OLD, PLACE, data, row=BUILD, attempt=2)
    assert unseal(Keyring((OLD,)), PLACE, sealed, row=BUILD) == data


@pytest.mark.parametrize("data", [b"", STATE, STATE * 20_000, os.urandom(LARGE)])
def test_what_was_compressed_is_as_before(data: bytes) -> None:
    assert decompress(compress(data), PLACE) == data


def test_a_small_state_can_be_read_by_sql() -> None:
    small = STATE.ljust(LARGE - 1)
    assert compress(small) == small


def test_text_without_repetitions_takes_less_room_compressed() -> None:
    text = os.urandom(LARGE).hex().encode()
    assert len(compress(text)) < 0.6 * len(text)


def test_half_of_a_compressed_state_does_not_open() -> None:
    stored = compress(STATE * 20_000)
    with pytest.raises(SealedError, match="not whole"):
        decompress(stored[: len(stored) // 2], PLACE)


def test_a_sealed_value_shows_nothing_of_the_value() -> None:
    assert b"hunter2" not in seal(OLD, PLACE, STATE, row=BUILD)


def test_a_large_state_takes_less_room_than_before() -> None:
    assert len(seal(OLD, PLACE, STATE * 1000, row=BUILD)) < len(STATE * 1000) / 10


def test_two_seals_of_one_value_have_nothing_in_common_but_the_key() -> None:
    first, second = (seal(OLD, PLACE, STATE, row=BUILD) for _ in range(2))
    assert first[15:WRAP_BYTES] != second[15:WRAP_BYTES]
    assert first[HEAD_BYTES:] != second[HEAD_BYTES:]


def test_what_is_known_without_the_key_is_row_attempt_and_size() -> None:
    facts = facts_of(seal(OLD, PLACE, STATE, row=BUILD, attempt=2)[:HEAD_BYTES])
    assert (facts.row, facts.attempt, facts.size) == (BUILD, 2, len(STATE))


@pytest.mark.parametrize(
    "other",
    [
        places.state_of(BUILD),
        replace(PLACE, column="replaced_states.provisioner_state"),
        places.orphan_of(WORKSPACE),
        replace(PLACE, name="x"),
    ],
)
def test_a_sealed_value_opens_at_no_other_place(other: places.Place) -> None:
    sealed = seal(OLD, PLACE, STATE, row=BUILD)
    with pytest.raises(SealedError, match="was sealed for another place"):
        unseal(Keyring((OLD,)), other, sealed)


def test_a_sealed_value_opens_for_no_other_row() -> None:
    sealed = seal(OLD, PLACE, STATE, row=BUILD)
    with pytest.raises(SealedError, match="was sealed for another row"):
        unseal(Keyring((OLD,)), PLACE, sealed, row=WORKSPACE)


def test_no_bit_of_a_sealed_value_can_be_changed() -> None:
    sealed = seal(OLD, PLACE, STATE, row=BUILD, attempt=1)
    keyring = Keyring((OLD,))
    for position in range(len(sealed)):
        changed = bytearray(sealed)
        changed[position] ^= 1
        if is_sealed(bytes(changed)):
            with pytest.raises(SealedError):
                unseal(keyring, PLACE, bytes(changed))


def test_a_lost_key_is_named() -> None:
    sealed = seal(OLD, PLACE, STATE, row=BUILD)
    with pytest.raises(SealedError) as caught:
        unseal(Keyring((NEW,)), PLACE, sealed)
    assert str(caught.value) == (
        f"the state of workspace {WORKSPACE} is sealed with key {OLD.name},"
        " which PROVISIONERD_ENCRYPTION_KEYS lacks"
    )


def test_a_rotation_changes_only_the_first_bytes() -> None:
    sealed = seal(OLD, PLACE, STATE, row=BUILD)
    turned = rewrap(Keyring((NEW, OLD)), PLACE, sealed[:HEAD_BYTES]) + sealed[WRAP_BYTES:]
    assert key_id_of(turned) == NEW.id
    assert unseal(Keyring((NEW,)), PLACE, turned, row=BUILD) == STATE


def test_keys_are_read_in_their_order() -> None:
    assert read_keys(text_of(NEW, OLD)).keys == (NEW, OLD)


def test_a_file_of_keys_may_have_one_on_each_line(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(text_of(NEW, OLD).replace(",", "\n") + "\n")
    assert read_key_file(path).keys == (NEW, OLD)


@pytest.mark.parametrize("text", ["short", "", text_of(OLD)[:-2], f"{text_of(OLD)},x"])
def test_a_wrong_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(KeysError, match="is not 32 bytes as base64") as caught:
        read_keys(text)
    assert text_of(OLD) not in str(caught.value)


def test_a_key_that_is_there_twice_is_refused() -> None:
    with pytest.raises(KeysError, match="twice"):
        read_keys(text_of(OLD, OLD))


def test_a_key_does_not_print_itself() -> None:
    assert "ooo" not in repr(Keyring((OLD,)))


def test_the_settings_name_the_keys_or_their_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(text_of(OLD))
    by_value = load_settings({"PROVISIONERD_ENCRYPTION_KEYS": text_of(OLD)})
    by_file = load_settings({"PROVISIONERD_ENCRYPTION_KEYS_FILE": str(path)})
    assert by_value.keyring == by_file.keyring == Keyring((OLD,))


def test_a_file_of_keys_that_cannot_be_read_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ENCRYPTION_KEYS: the file .+ cannot be read"):
        load_settings({"PROVISIONERD_ENCRYPTION_KEYS_FILE": str(tmp_path / "missing")})
