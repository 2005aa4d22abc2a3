"""`hapair check` and `hapair show-config`, as an operator sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from hapair import __version__
from hapair.cli.check import print_problems
from hapair.cli.main import main
from hapair.config.problems import Problem

CONFIGS = Path(__file__).parents[2] / "configs"
BROKEN = '[node]\nname = "a"\nmaxcon = 5\nhard_stop_after = "x"\n'


def hapair(*arguments: object):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_valid_file_gets_one_line_and_code_0():
    result = hapair("check", CONFIGS / "pair/lb-a.toml")
    assert (result.exit_code, result.stderr) == (0, "")
    counts = "1 virtual router, 2 frontends, 2 backends, 3 servers"
    assert result.stdout == f"{CONFIGS / 'pair/lb-a.toml'}: valid ({counts})\n"


def test_captures_are_listed_with_the_numbers_that_rules_know_them_by(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(
        """[node]
name = "a"
[frontend.f]
mode = "http"
bind = ":80"
capture = { request_headers = ["Host", "X-A"], cookie = "SID=" }
default_backend = "b"
[frontend.g]
mode = "http"
bind = ":81"
capture = { response_headers = ["Server"] }
default_backend = "b"
[backend.b]
mode = "http"
"""
    )
    assert hapair("check", path).stdout.splitlines()[1:] == [
        "  frontend.f captures: request 0 Host, 1 X-A; cookie SID=",
        "  frontend.g captures: response 0 Server",
    ]


def test_a_broken_file_gets_every_mistake_on_stderr_and_code_1(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(BROKEN)
    result = hapair("check", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f'{path}:3:1: node.maxcon: unknown key; did you mean "maxconn"?\n'
        "    maxcon = 5\n"
        "    ^^^^^^\n"
        f'{path}:4:19: node.hard_stop_after: "x" is not a duration, such as "2s", "100ms" or 500 '
        "(milliseconds); the units are us ms s m h d\n"
        '    hard_stop_after = "x"\n'
        "                      ^^^\n"
        "2 errors\n"
    )


def test_warnings_do_not_make_a_file_invalid(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('[node]\nname = "a"\n[backend.web]\n')
    result = hapair("check", path)
    assert result.exit_code == 0
    assert "valid (0 virtual routers, 0 frontends, 1 backend, 0 servers)" in result.stdout
    assert "warning: backend.web: no frontend uses this backend" in result.stderr
    assert result.stderr.endswith("2 warnings\n")


@pytest.mark.parametrize("command", ["check", "show-config", "run"])
def test_a_file_that_cannot_be_read_is_a_plain_message(tmp_path, command):
    missing = hapair(command, tmp_path / "none.toml")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert missing.stderr == f"hapair: cannot read {tmp_path / 'none.toml'}: No such file or directory\n"
    assert hapair(command, tmp_path).stderr == f"hapair: cannot read {tmp_path}: Is a directory\n"


@pytest.mark.parametrize("command", ["check", "run"])
def test_a_file_that_is_not_utf8_is_a_problem_with_a_place(tmp_path, command):
    path = tmp_path / "node.toml"
    path.write_bytes(b'[node]\nname = "\xff"\n')
    result = hapair(command, path)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"{path}:2:9: byte 0xff is not UTF-8")
    assert result.stderr.endswith("1 error\n")


def test_a_rule_is_checked_too(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text('[node]\nname = "a"\n[frontend.main]\nbind = "*:80"\nacl.a = "no_such_fetch x"\n')
    result = hapair("check", path)
    assert result.exit_code == 1
    assert f"{path}:5:10: frontend.main.acl.a[0]: unknown fetch" in result.stderr


def test_the_environment_counts(tmp_path, monkeypatch):
    path = tmp_path / "node.toml"
    path.write_text('[node]\nname = "${HAPAIR_TEST_NAME}"\n')
    assert hapair("check", path).exit_code == 1
    monkeypatch.setenv("HAPAIR_TEST_NAME", "lb-x")
    assert 'name = "lb-x"' in hapair("show-config", path).stdout


def test_what_show_config_prints_is_valid(tmp_path):
    shown = hapair("show-config", CONFIGS / "reference.toml")
    assert (shown.exit_code, shown.stderr) == (0, "")
    again = tmp_path / "again.toml"
    again.write_text(shown.stdout)
    assert hapair("check", again).exit_code == 0
    assert hapair("show-config", again).stdout == shown.stdout


def test_show_config_of_a_broken_file_prints_nothing_but_the_problems(tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(BROKEN)
    result = hapair("show-config", path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "2 errors" in result.stderr


def test_a_file_may_come_from_a_pipe():
    """It can be read once only; the source lines are shown all the same."""
    result = subprocess.run(
        [sys.executable, "-m", "hapair", "check", "/dev/stdin"],
        input=BROKEN,
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert result.returncode == 1
    assert "    maxcon = 5\n    ^^^^^^\n" in result.stderr


def test_problems_of_a_file_that_vanished_are_still_told(tmp_path, capsys):
    print_problems([Problem("f", 1, 2, "a", "m")], tmp_path / "gone")
    assert capsys.readouterr().err == "f:1:2: a: m\n1 error\n"
    print_problems([], tmp_path / "gone")
    assert capsys.readouterr().err == ""


def test_the_version():
    assert hapair("--version").stdout == f"hapair {__version__} (plain Python)\n"


def test_start_up_is_quick_because_nothing_heavy_is_imported():
    """Modules, not milliseconds: a shared machine is no clock."""
    code = f"""
import sys
from hapair.cli.main import main
try:
    main(["check", {str(CONFIGS / "reference.toml")!r}])
finally:
    print(sorted({{"trio", "scapy", "pyroute2", "rich", "h11", "ssl", "asyncio"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "[]"


def test_two_files_are_compared_as_a_pair(tmp_path):
    first, second = CONFIGS / "pair/lb-a.toml", CONFIGS / "pair/lb-b.toml"
    result = hapair("check", first, second)
    assert (result.exit_code, result.output.count(": valid (")) == (0, 2)
    odd = tmp_path / "odd.toml"
    odd.write_text(second.read_text().replace("virtual_router_id = 51", "virtual_router_id = 52"))
    assert hapair("check", odd).exit_code == 0
    result = hapair("check", first, odd)
    assert result.exit_code == 1
    assert "vrrp.web.virtual_router_id: it is another one at" in result.output
    assert "1 error" in result.output
