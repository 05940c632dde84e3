"""The configuration file: what it may say, and what each mistake is answered with."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path

import pytest
from support import CommandLine

from tsconsole.actions import keymap
from tsconsole.config import (
    Config,
    ConsoleConfig,
    Profile,
    WorkerConfig,
    default_path,
    json_schema,
    load_config,
    parse_config,
    settings_for,
)
from tsconsole.config_rules import expectations
from tsconsole.errors import ConfigError

PATH = Path("/etc/tsconsole.toml")
SAMPLE = Path(__file__).parent.parent / "sample_config.toml"


def parse(text: str) -> Config:
    return parse_config(text.encode(), PATH)


def test_the_sample_is_valid_and_names_every_default() -> None:
    config = load_config(SAMPLE)
    defaults = Config()
    assert config.console == defaults.console
    assert config.worker == defaults.worker
    assert config.default_profile == "local"
    assert config.profiles["prod"].read_only


def test_no_file_means_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_path() == tmp_path / "tsconsole" / "config.toml"
    assert load_config() == Config()


def test_a_file_that_was_named_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no configuration file .*missing\.toml"):
        load_config(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("reed_only = 1", "there is no key reed_only", "Known keys: default_profile"),
        ("[console]\nreed_only = true", "there is no key console.reed_only", "mean read_only?"),
        ("[console]\nread_only = 'yes'", "console.read_only is 'yes'; expected true or f", ""),
        ("[console]\nrefresh_interval = 0", "is 0; expected a number of seconds from 0.2", ""),
        ("[console]\nrefresh_interval = true", "is true; expected a number of seconds", ""),
        ("[console]\nerror_limit = 2.5", "is 2.5; expected a whole number from 1", ""),
        ("console = 3", "console is 3; expected a table", ""),
        ("[worker]\npoll_interval = '1s'", "worker.poll_interval is '1s'; expected a number", ""),
        ("[profiles]\nprod = 'host=db'", "profiles.prod is 'host=db'; expected a table", ""),
        ("[profiles.a]\nhots = 'db'", "there is no key profiles.a.hots", "Did you mean host?"),
        ("[profiles.a]\nport = 70000", "profiles.a.port is 70000; expected a whole number", ""),
        ("[profiles.a]\nsslmode = 'on'", "profiles.a.sslmode is 'on'; expected one of disable", ""),
        ("[profiles.a]\ndsn = 'nonsense'", "profiles.a.dsn is not one; expected a libpq DSN", ""),
        ("default_profile = 'b'", 'default_profile is "b", and there is no table', "there: none"),
        ("[keys]\nrun = 'y'", "one key: details: y is run and retry", "another key"),
        ("[keys]\nrum = 'f5'", "keys.rum is no action", "Did you mean run?"),
        ("[keys]\nrun = 'j'", "keys.run is 'j': j moves the cursor", 'A key is written as "r"'),
        ("[keys]\nrun = 'hyper+r'", "has a modifier other than", "A key is written as"),
        ("[keys]\nrun = 'ctrl+nothing'", "there is no key ctrl+nothing", ""),
        ("[keys]\nrun = []", "expected a key, or a list of keys", ""),
        ("keys = 'r'", "keys is 'r'; expected a table", ""),
        ("profiles = 3", "profiles is 3; expected a table", ""),
        ("a = [", "is not valid TOML", "Texts need quotes"),
    ],
)
def test_a_mistake_names_file_key_and_what_was_expected(text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(PATH) in caught.value.message
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_text_that_is_not_utf8() -> None:
    with pytest.raises(ConfigError, match="is not UTF-8 text"):
        parse_config(b"a = '\xff'", PATH)


PROFILES = """
default_profile = "one"
[profiles.one]
dsn = "host=first dbname=iot user=me"
host = "second"
connect_timeout = 3
read_only = true
[profiles.two]
service = "elsewhere"
"""


def test_the_dsn_comes_before_the_profile() -> None:
    settings = settings_for(parse(PROFILES), dsn="host=third", profile="one")
    assert settings.dsn == "host=third" and not settings.read_only


def test_a_profile_s_own_parameters_win_over_its_dsn() -> None:
    settings = settings_for(parse(PROFILES))
    assert settings.target == "iot at second as me"
    assert settings.connect_timeout == 3 and settings.read_only and settings.profile == "one"


def test_a_service_is_left_to_libpq() -> None:
    assert settings_for(parse(PROFILES), profile="two").dsn == "service=elsewhere"


def test_without_either_libpq_s_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "somewhere")
    settings = settings_for(Config())
    assert settings.dsn == "" and settings.target == "somewhere"


def test_an_unknown_profile_offers_those_that_exist() -> None:
    with pytest.raises(ConfigError, match='no profile "on"') as caught:
        settings_for(parse(PROFILES), profile="on")
    assert caught.value.hint == "Did you mean one?"
    with pytest.raises(ConfigError) as caught:
        settings_for(Config(), profile="on")
    assert caught.value.hint == "Profiles there: none."


def test_a_wrong_dsn_is_refused_and_a_password_in_it_not_shown() -> None:
    with pytest.raises(ConfigError, match="--dsn is not a DSN: 'nonsense'"):
        settings_for(Config(), dsn="nonsense")
    with pytest.raises(ConfigError) as caught:
        settings_for(Config(), dsn="password=secret nonsense")
    assert "secret" not in caught.value.message


def test_several_mistakes_are_all_found_by_the_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[console]\nmouse = 1\ntheme = 3\n[keys]\nrum = 'x'\n")
    ended = CommandLine(capsys)("config", "check", "--config", str(file))
    assert ended.code == 2
    for part in ("console.mouse is 1", "console.theme is 3", "keys.rum is no action", "3 mistakes"):
        assert part in ended.out
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert "2 more: see `tsconsole config check`" in (caught.value.hint or "")


def test_the_check_says_where_each_profile_leads(capsys: pytest.CaptureFixture[str]) -> None:
    ended = CommandLine(capsys)("config", "check", "--config", str(SAMPLE))
    assert ended.code == 0
    assert "profile local: iot at localhost" in ended.out


def test_keys_are_listed_with_those_of_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[keys]\nrun = ['F5', '^x']\n")
    with pytest.raises(ConfigError, match="nonsense"):
        load_config(tmp_path / "nonsense")
    ended = CommandLine(capsys)("config", "keys", "--config", str(file))
    assert re.search(r"^run +f5 ctrl\+x ", ended.out, re.M)


def test_the_schema_in_the_docs_is_the_one_of_the_program(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = CommandLine(capsys)("config", "schema").out
    assert json.loads(printed) == json_schema()
    committed = (SAMPLE.parent / "docs" / "config.schema.json").read_text()
    assert committed == printed, "run: tsconsole config schema > docs/config.schema.json"


def test_the_schema_names_every_setting_and_the_sample_explains_it() -> None:
    properties = json_schema()["properties"]
    sample = SAMPLE.read_text()
    for name, kind in (("console", ConsoleConfig), ("worker", WorkerConfig)):
        assert set(properties[name]["properties"]) == set(expectations(kind))
        for key in expectations(kind):
            assert re.search(rf"^#? ?{key} = .*#", sample, re.M), key
    profile = properties["profiles"]["additionalProperties"]["properties"]
    assert set(profile) == set(expectations(Profile))
    for key in profile:
        assert re.search(rf"^#? ?{key} = ", sample, re.M), key
    assert all(about["description"] for about in profile.values())


def test_examples_in_docstrings_of_the_keymap() -> None:
    assert doctest.testmod(keymap).failed == 0
