"""Env files, which `fileKeyRef` reads variables from: a strict subset of what a POSIX shell would read. Pure.

A line is `NAME='value'`, blank, or a comment. The value is literal up to the next single quote and may span lines.
Source: KEP-3721 and kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-via-file (v1.36).
"""

from __future__ import annotations

import re

_BLANK = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_VARIABLE = re.compile(r"[ \t]*(?P<name>[!-<>-~]+)='(?P<value>[^']*)'[ \t]*(?:(?<=[ \t])#[^\n]*)?(?:\n|\Z)")


class EnvFileError(Exception):
    """The text is no env file; the message names the line."""


def parse_env_file(text: str) -> dict[str, str]:
    """The variables of a file; of several with one name the last counts, as in a shell. Raises EnvFileError."""
    text = text.replace("\r\n", "\n")
    variables: dict[str, str] = {}
    position = 0
    while position < len(text):
        if blank := _BLANK.match(text, position):
            position = blank.end()
        elif variable := _VARIABLE.match(text, position):
            variables[variable["name"]] = variable["value"]
            position = variable.end()
        else:
            line = text.count("\n", 0, position) + 1
            raise EnvFileError(f"invalid environment variable format at line {line}: NAME='value' is expected")
    return variables
