"""A home: its layout, its key."""

import stat

import pytest

from pagerec_dbx.errors import HomeError, KeyFileError
from pagerec_dbx.hashing import VARIABLE, ensure_key, fingerprint, user_hash
from pagerec_dbx.home import (
    Home,
    is_simulated,
    key_fingerprint,
    mark_simulated,
    open_home,
    plain_path,
    replace_fingerprint,
    require_same_key,
)


def test_catalog_homes_are_told_from_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not Home("main.pagerec").in_catalog  # on a laptop it is a folder with a dot in its name
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "15.4")
    assert Home("main.pagerec").in_catalog
    assert Home("main.pagerec").table_address("clicks") == "main.pagerec.clicks"
    assert Home("my-catalog.pagerec").table_address("clicks") == "`my-catalog`.pagerec.clicks"
    assert str(Home("main.pagerec").snapshots) == "/Volumes/main/pagerec/files/snapshots"
    assert not Home("./main.pagerec").in_catalog
    (tmp_path / "main.pagerec").mkdir()
    assert not Home("main.pagerec").in_catalog


@pytest.mark.parametrize("spelt", ["a/../logs", "logs/", "./logs", "a//.//../logs", "/{there}/a/../logs"])
def test_a_path_is_spelt_in_one_way(tmp_path, monkeypatch, spelt):
    monkeypatch.chdir(tmp_path)
    spelt = spelt.format(there=tmp_path)  # two slashes at the front, which POSIX keeps
    assert plain_path(spelt) == Home(spelt).folder == tmp_path / "logs"


def test_a_symbolic_link_in_a_path_stays(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert plain_path(tmp_path / "link" / "logs") == tmp_path / "link" / "logs"


def test_open_home_refuses_another_layout(tmp_path):
    open_home(str(tmp_path / "h"))
    (tmp_path / "h" / "home.json").write_text('{"layout": 99}')
    with pytest.raises(HomeError, match="another version of pagerec: wanted layout 8, got layout 99"):
        open_home(str(tmp_path / "h"))


def test_open_home_refuses_files_and_unmarked_tables(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="is no folder"):
        open_home(str(tmp_path / "file"))
    (tmp_path / "old" / "tables").mkdir(parents=True)
    with pytest.raises(HomeError, match="has tables but no home.json"):
        open_home(str(tmp_path / "old"))


def test_key_is_made_once_for_the_owner_only(home, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    key, made = ensure_key(home)
    again, made_again = ensure_key(home)
    assert (made, made_again) == (True, False)
    assert key.read() == again.read()
    assert stat.S_IMODE(home.key_file.stat().st_mode) == 0o600


def test_key_comes_from_the_environment_first(home, monkeypatch):
    monkeypatch.setenv(VARIABLE, "secret")
    key, made = ensure_key(home)
    assert key.read() == b"secret" and not made and not home.key_file.exists()


def test_a_lost_key_is_not_replaced_by_a_new_one(home, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    key, _ = ensure_key(home)
    require_same_key(home, fingerprint(key))  # as `ingest` does
    home.key_file.unlink()
    with pytest.raises(KeyFileError, match="has lost its hashing key: wanted .*hash.key.*Restore it from its backup"):
        ensure_key(home)
    assert not home.key_file.exists()


def test_demo_keys_follow_the_seed_and_others_do_not(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    homes = [open_home(str(tmp_path / name)) for name in "abcd"]
    one, same, other, free = (
        ensure_key(home, seed)[0].read() for home, seed in zip(homes, (1, 1, 2, None), strict=True)
    )
    assert one == same and len({one, other, free}) == 3


def test_malformed_key_is_refused(home, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    home.key_file.write_text("short")
    with pytest.raises(KeyFileError, match="wanted 64 lower-case hex digits, got 5 characters"):
        ensure_key(home)


def test_user_hash_is_hmac_sha256():
    # RFC 4231, test case 2
    wanted = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert user_hash(b"Jefe", "what do ya want for nothing?") == wanted


def test_what_is_known_of_a_home_stays_beside_what_is_learnt(home):
    assert not is_simulated(home) and not is_simulated(Home(str(home.folder / "nowhere")))
    require_same_key(home, "abc")
    mark_simulated(home)
    replace_fingerprint(home, "def")
    assert is_simulated(home) and key_fingerprint(home) == "def"
    assert open_home(home.name) == home  # the layout is still there
