"""Env files: what is read, what is refused, and that a shell reads the same."""

from __future__ import annotations

import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.pods.env_file import EnvFileError, parse_env_file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", {}, id="an empty file"),
        pytest.param("A='1'\nB='2'", {"A": "1", "B": "2"}, id="a line each, the last without its end"),
        pytest.param("\n  \n# no\n  A='1'\n", {"A": "1"}, id="blank lines, comments and indentation do not count"),
        pytest.param("A='1' # why\nB='2'  \n", {"A": "1", "B": "2"}, id="a comment may follow a value"),
        pytest.param("A='1'\nA='2'\n", {"A": "2"}, id="the last of two counts"),
        pytest.param("A='one\n two\n'\n", {"A": "one\n two\n"}, id="a value may span lines"),
        pytest.param("A=' $B \\n \"x\" # '", {"A": ' $B \\n "x" # '}, id="a value is literal"),
        pytest.param("A=''", {"A": ""}, id="a value may be empty"),
        pytest.param("A='1'\r\nB='2'\r\n", {"A": "1", "B": "2"}, id="lines may end as on Windows"),
        pytest.param("app.kubernetes.io/name='x'", {"app.kubernetes.io/name": "x"}, id="names are printable ASCII"),
    ],
)
def test_files(text: str, expected: dict[str, str]) -> None:
    assert parse_env_file(text) == expected


@pytest.mark.parametrize(
    ("text", "line"),
    [
        pytest.param("A=1", 1, id="without quotes"),
        pytest.param('A="1"', 1, id="other quotes"),
        pytest.param("A='1'\nB = '2'", 2, id="space around the sign"),
        pytest.param("A='1'\n\nB='2'x", 3, id="text after the value"),
        pytest.param("A='1'#x", 1, id="a comment that a shell would add to the value"),
        pytest.param("A='1\nB=2", 1, id="a value that never ends"),
        pytest.param("export A='1'", 1, id="a command"),
        pytest.param("A", 1, id="no value"),
    ],
)
def test_what_a_file_may_not_say(text: str, line: int) -> None:
    with pytest.raises(EnvFileError, match=f"at line {line}:"):
        parse_env_file(text)


names = st.from_regex(r"v_[a-z0-9]{1,5}", fullmatch=True)
values = st.text(st.characters(codec="ascii", exclude_characters="'\0\r"), max_size=20)


@settings(max_examples=25)
@given(st.lists(st.tuples(names, values), min_size=1, max_size=4))
def test_a_shell_reads_the_same(variables: list[tuple[str, str]]) -> None:
    text = "".join(f"{name}='{value}'\n" for name, value in variables)
    script = text + "".join(f"printf '%s\\0' \"${name}\"\n" for name, _ in variables)
    printed = subprocess.run(["sh", "-c", script], capture_output=True, check=True).stdout.decode("ascii")
    parsed = parse_env_file(text)
    assert [parsed[name] for name, _ in variables] == printed.split("\0")[:-1]
