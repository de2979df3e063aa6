"""Older and newer files, and backups."""

import sqlite3

import pytest
from store_facts import assert_sound, session, short

from engine.live.log import events as e
from engine.live.log import schema
from engine.live.log.reader import StoreReader
from engine.live.log.store_errors import StoreError
from engine.live.store import Store


def test_an_older_file_is_copied_and_migrated(path):
    with Store.open(path, "A") as store:
        store.append(session(), *short())
        assert store.migrated_from is None
        held = store.state_hash()
    newer = schema.SCHEMA_VERSION + 1
    steps = {**schema.STEPS, newer: "ALTER TABLE commands ADD COLUMN note TEXT NOT NULL DEFAULT '';"}
    db = schema.connect_writer(path)
    copy = schema.migrate(db, path, steps)
    assert schema.version_of(db) == newer
    assert db.execute("SELECT note FROM commands").fetchall() == []
    assert schema.migrate(db, path, steps) is None
    db.close()
    with pytest.raises(StoreError, match=f"schema version {newer}") as caught:
        Store.open(path, "A")
    assert caught.value.failure == "version"
    with pytest.raises(StoreError, match="update this package"):
        StoreReader(path)
    with Store.open(copy, "A") as store:
        assert store.state_hash() == held


def test_a_migration_that_fails_leaves_the_file_as_it_was(path):
    Store.open(path, "A").close()
    db = schema.connect_writer(path)
    with pytest.raises(StoreError):
        schema.migrate(
            db,
            path,
            {
                **schema.STEPS,
                schema.SCHEMA_VERSION + 1: "CREATE TABLE extra (a) STRICT; CREATE TABLE nonsense (",
            },
        )
    assert schema.version_of(db) == schema.SCHEMA_VERSION
    assert db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone() == (0,)
    db.close()
    Store.open(path, "A").close()


def test_a_backup_is_one_sound_file_made_while_writing(store, path, tmp_path):
    store.append(session(), *short())
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT 1 FROM events").fetchone()
    copy = store.backup(tmp_path / "backups", "2026-11-20")
    reader.close()
    assert [each.name for each in copy.parent.iterdir()] == ["store-2026-11-20.sqlite"]
    held = store.state_hash()
    store.append(e.IntentSent(tag="S1"))
    again = store.backup(tmp_path / "backups", "2026-11-20")
    assert again == copy
    with Store.open(copy, "AB1234") as restored:
        assert restored.state_hash() == store.state_hash() != held
        assert_sound(restored)
