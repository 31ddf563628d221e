"""outrigger's own command line: exits and messages."""

import json
import os

import pytest

from tests.support.outrigger import ROOT
from tests.support.processes import run

GOLDEN = os.path.join(ROOT, "tests", "golden")


@pytest.fixture
def outrigger(programs):
    return lambda *words, **options: run([os.path.join(programs, "outrigger"), *words], check=False, **options)


def test_wrong_configuration_is_refused_with_every_place(outrigger):
    with open(os.path.join(GOLDEN, "bad.errors"), encoding="utf-8") as file:
        expected = file.read()
    for words in (["--check"], ["--dump-config"], []):
        done = outrigger("-c", "bad.yaml", *words, cwd=GOLDEN)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", expected)


def test_dump_of_a_dump_is_the_same(outrigger, tmp_path):
    first = outrigger("-c", os.path.join(GOLDEN, "full.yaml"), "--dump-config")
    assert first.returncode == 0
    path = tmp_path / "dump.yaml"
    path.write_text(first.stdout)
    assert outrigger("-c", path, "--dump-config").stdout == first.stdout
    assert outrigger("-c", path, "--check").stdout == f"{path}: the configuration is valid\n"


def test_without_any_file_the_built_in_configuration_is_passthrough(outrigger):
    if os.path.exists("/etc/outrigger/outrigger.yaml"):
        pytest.skip("this machine has a configuration of its own")
    done = outrigger("--dump-config")
    assert done.returncode == 0
    assert "unmatched: passthrough" in done.stdout


def test_schema_is_json_and_knows_every_key_of_the_full_example(outrigger):
    schema = json.loads(outrigger("--schema").stdout)
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) >= {"version", "workers", "clusters", "listeners", "intercept", "limits", "drain"}
    assert schema["properties"]["version"]["maximum"] == 1


@pytest.mark.parametrize("words", [["--nonsense"], ["file.yaml"], ["-c"]])
def test_wrong_usage_is_2(outrigger, words):
    done = outrigger(*words)
    assert done.returncode == 2 and done.stdout == "" and done.stderr


def test_unreadable_file_is_2_and_named(outrigger, tmp_path):
    done = outrigger("-c", tmp_path / "none.yaml", "--check")
    assert done.returncode == 2
    assert done.stderr == f"{tmp_path}/none.yaml: cannot be read: No such file or directory\n"
    (tmp_path / "large.yaml").write_text(" " * (1 << 24) + "\nversion: 1\n")
    assert "larger than 16 MiB" in outrigger("-c", tmp_path / "large.yaml", "--check").stderr


def test_help_and_version(outrigger):
    assert outrigger("--version").stdout == "outrigger 0.1.0\n"
    assert "Usage: outrigger" in outrigger("--help").stdout
