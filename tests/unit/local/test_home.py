"""The home folder, its backup, and what a newcomer's `init` writes."""

import io
import tarfile

import pytest

from llm_twin.errors import InputError
from llm_twin.local.backup import backup_home, restore_home
from llm_twin.local.doctor import examine, fitting_models
from llm_twin.local.home import exclusive, open_home
from llm_twin.local.init import check_source, make_slug, write_twin
from llm_twin.recipes import load_recipe, load_sources


def test_a_newer_schema_is_refused(tmp_path) -> None:
    open_home(tmp_path)
    (tmp_path / "schema_version").write_text("99\n")
    with pytest.raises(InputError, match="schema version 99"):
        open_home(tmp_path)


def test_an_unwritable_home_is_one_clear_error(tmp_path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(InputError, match="set LLM_TWIN_HOME"):
        open_home(blocker / "home")


def test_locks_exclude_and_share(tmp_path) -> None:
    home = open_home(tmp_path)
    with (
        exclusive(home, "use", "wait", shared=True),
        exclusive(home, "use", "wait", shared=True),
        pytest.raises(InputError, match="another process"),
        exclusive(home, "use", "wait"),
    ):
        pytest.fail("a lock that others share was had alone")


def test_backup_and_restore_bring_back_all_but_what_can_be_made_again(tmp_path) -> None:
    home = open_home(tmp_path / "home")
    (home.twins / "jane.json").write_text('{"a": "—"}')
    (home.cache / "seedling").write_text("weights")
    archive = tmp_path / "backup.tar.gz"
    assert backup_home(home, archive) == archive.stat().st_size
    assert restore_home(archive, tmp_path / "other") >= 2
    assert (tmp_path / "other" / "twins" / "jane.json").read_text() == '{"a": "—"}'
    assert not (tmp_path / "other" / "cache" / "seedling").exists()
    with pytest.raises(InputError, match="not empty"):
        restore_home(archive, tmp_path / "other")
    (tmp_path / "other" / "stray").write_text("")
    restore_home(archive, tmp_path / "other", replace=True)
    assert not (tmp_path / "other" / "stray").exists()


def test_backup_refuses_while_the_home_is_in_use(tmp_path) -> None:
    home = open_home(tmp_path / "home")
    with exclusive(home, "use", "wait", shared=True), pytest.raises(InputError, match="another process"):
        backup_home(home, tmp_path / "backup.tar.gz")
    assert not list(tmp_path.glob("*.tar.gz*"))


def test_restore_refuses_what_leaves_the_folder_or_is_no_backup(tmp_path) -> None:
    archive = tmp_path / "bad.tar.gz"
    with tarfile.open(archive, "w:gz") as content:
        member = tarfile.TarInfo("../escaped")
        member.size = 1
        content.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(InputError, match="not a backup"):
        restore_home(archive, tmp_path / "home")
    assert not (tmp_path / "escaped").exists()
    archive.write_bytes(b"not a tar file")
    with pytest.raises(InputError, match="not a backup"):
        restore_home(archive, tmp_path / "home")
    assert not (tmp_path / "home").exists()


def test_init_writes_files_that_load(tmp_path) -> None:
    export = tmp_path / "medium.zip"
    export.write_bytes(b"PK")
    recipe_path, sources_path = write_twin(
        tmp_path / "twin", "Zoë O'Neil", ["https://zoe.example/feed", str(export)], email="zoe@zoe.example"
    )
    recipe, (author,) = load_recipe(recipe_path), load_sources(sources_path)
    assert recipe.author.id == author.id == "zoe-o-neil"
    assert author.name == "Zoë O'Neil"
    assert [source.location for source in author.sources] == ["https://zoe.example/feed", str(export)]
    with pytest.raises(InputError, match="already holds"):
        write_twin(tmp_path / "twin", "Zoë O'Neil", ["https://zoe.example/feed"])


@pytest.mark.parametrize("location", ["nowhere.zip", "https://", "ftp://jane.example/feed"])
def test_init_refuses_what_cannot_be_collected(location: str) -> None:
    with pytest.raises(InputError):
        check_source(location)


def test_a_name_without_letters_makes_no_id() -> None:
    assert make_slug("Łukasz Żak") != ""
    with pytest.raises(InputError, match="--id"):
        make_slug("???")


def test_doctor_looks_at_this_machine(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("LLM_TWIN_QUANTIZE_PYTHON", str(tmp_path / "no-python"))
    checks = {check.what: check for check in examine(tmp_path / "home", hub_host="hub.invalid")}
    assert checks["Python"].ok
    assert checks["home folder"].ok
    assert not checks["quantization environment"].ok
    assert "make install" in checks["quantization environment"].remedy
    assert not checks["model hub"].ok
    assert not checks["model hub"].needed
    needs = [need for _, need, _ in fitting_models()]
    assert needs == sorted(needs)
