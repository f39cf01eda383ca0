"""What a run says of the code that made it."""

import subprocess

from intertwine.training.provenance import commit_of, provenance


def git(folder, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    done = subprocess.run(["git", "-C", folder, *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def test_the_commit_of_a_checkout_and_whether_it_was_changed(tmp_path):
    for name in ("module.py", "preset.toml", "notes.md"):
        (tmp_path / name).write_text("a = 1\n")
    assert commit_of(tmp_path / "module.py") is None, "no checkout"
    git(tmp_path, "init", "--quiet")
    assert commit_of(tmp_path / "module.py") is None, "not known to git: an installed copy below someone's checkout"
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of(tmp_path / "module.py") == head
    (tmp_path / "notes.md").write_text("text decides nothing")
    (tmp_path / "new.py").write_text("")
    assert commit_of(tmp_path / "module.py") == head
    for name in ("module.py", "preset.toml"):
        (tmp_path / name).write_text("a = 2\n")
        assert commit_of(tmp_path / "module.py") == f"{head}+changes"
        git(tmp_path, "checkout", "--quiet", name)


def test_where_there_is_no_checkout_the_environment_may_name_the_commit(monkeypatch):
    provenance.cache_clear()
    monkeypatch.setenv("INTERTWINE_COMMIT", "abc")
    monkeypatch.setattr("intertwine.training.provenance.commit_of", lambda file: None)
    assert provenance()["commit"] == "abc"
    monkeypatch.setattr("intertwine.training.provenance.commit_of", lambda file: "def+changes")
    provenance.cache_clear()
    assert provenance()["commit"] == "def+changes", "git knows better"
    provenance.cache_clear()


def test_version_and_machine_are_told():
    found = provenance()
    assert found["version"]
    assert " cores" in found["machine"]
