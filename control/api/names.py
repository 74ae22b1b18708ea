"""Rules for names, labels, keys, ports and addresses, with upstream's message texts.

Each `*_errors` function returns what is wrong as a list of sentences, empty when nothing is. The texts are those of
k8s.io/apimachinery/pkg/util/validation and pkg/api/validate/content: clients and tests match on them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

NAME_LENGTH_MAX = 253
LABEL_LENGTH_MAX = 63
ANNOTATIONS_BYTES_MAX = 256 * 1024
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
#: a generated name keeps at most this much of generateName, so that prefix and suffix fit a label
GENERATED_PREFIX_MAX = LABEL_LENGTH_MAX - 5

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_MESSAGE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end"
    " with an alphanumeric character"
)
_SUBDOMAIN = _LABEL + r"(\." + _LABEL + ")*"
_SUBDOMAIN_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    " and end with an alphanumeric character"
)
_LABEL_WITH_UNDERSCORE = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_WITH_UNDERSCORE = _LABEL_WITH_UNDERSCORE + r"(\." + _LABEL_WITH_UNDERSCORE + ")*"
_SUBDOMAIN_WITH_UNDERSCORE_MESSAGE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must"
    " start and end with an alphanumeric character"
)
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_DNS1035_MESSAGE = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character,"
    " and end with an alphanumeric character"
)
_WILDCARD = r"\*\." + _SUBDOMAIN
_WILDCARD_MESSAGE = (
    "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of"
    " lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
)
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUALIFIED_MESSAGE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_LABEL_VALUE = f"({_QUALIFIED})?"
_LABEL_VALUE_MESSAGE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character"
)
_C_IDENTIFIER = "[A-Za-z_][A-Za-z0-9_]*"
_C_IDENTIFIER_MESSAGE = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters"
    " or '_'"
)
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_CONFIG_KEY_MESSAGE = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
_HTTP_HEADER = "[-A-Za-z0-9]+"
_HTTP_HEADER_MESSAGE = "a valid HTTP header must consist of alphanumeric characters or '-'"
_PERCENT = "[0-9]+%"
_PERCENT_MESSAGE = "a valid percent string must be a numeric string followed by an ending '%'"
_STRICT_ENV = "[-._a-zA-Z][-._a-zA-Z0-9]*"
_STRICT_ENV_MESSAGE = (
    "a valid environment variable name must consist of alphabetic characters, digits, '_', '-', or '.', and must not"
    " start with a digit"
)
_RELAXED_ENV_MESSAGE = (
    "a valid environment variable name must consist only of printable ASCII characters other than '='"
)

_label_pattern = re.compile(_LABEL)
_subdomain_pattern = re.compile(_SUBDOMAIN)
_subdomain_with_underscore_pattern = re.compile(_SUBDOMAIN_WITH_UNDERSCORE)
_dns1035_pattern = re.compile(_DNS1035)
_wildcard_pattern = re.compile(_WILDCARD)
_qualified_pattern = re.compile(_QUALIFIED)
_label_value_pattern = re.compile(_LABEL_VALUE)
_c_identifier_pattern = re.compile(_C_IDENTIFIER)
_config_key_pattern = re.compile(_CONFIG_KEY)
_http_header_pattern = re.compile(_HTTP_HEADER)
_percent_pattern = re.compile(_PERCENT)
_strict_env_pattern = re.compile(_STRICT_ENV)
_port_name_pattern = re.compile("[-a-z0-9]+")
_letter_pattern = re.compile("[a-z]")


class Chooser(Protocol):
    """The part of random.Random that name generation needs."""

    def choice(self, seq: str, /) -> str:
        """Return one character."""
        ...


def random_suffix(random: Chooser, length: int = 5) -> str:
    """Return characters that form no words and cannot be misread, as upstream's generateName does."""
    return "".join(random.choice(NAME_ALPHABET) for _ in range(length))


def generate_name(prefix: str, random: Chooser) -> str:
    """Make a name of a generateName prefix, which is cut so that the whole fits 63 characters."""
    return prefix[:GENERATED_PREFIX_MAX] + random_suffix(random)


def _length(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def max_length_error(length: int) -> str:
    """Text for a name that is too long."""
    return f"must be no more than {length} characters"


def max_bytes_error(length: int) -> str:
    """Text for a label key or value that is too long."""
    return f"must be no more than {length} bytes"


def inclusive_range_error(low: int, high: int) -> str:
    """Text for a number out of its range."""
    return f"must be between {low} and {high}, inclusive"


def regex_error(message: str, pattern: str, *examples: str) -> str:
    """Text for a failed pattern; two blanks before `or` are upstream's."""
    if not examples:
        return f"{message} (regex used for validation is '{pattern}')"
    listing = " or ".join(f"'{example}', " for example in examples)
    return f"{message} (e.g. {listing}regex used for validation is '{pattern}')"


def dns1123_label_errors(text: str) -> list[str]:
    """Judge an RFC 1123 label: names of namespaces, containers, volumes."""
    errors = [max_length_error(LABEL_LENGTH_MAX)] if _length(text) > LABEL_LENGTH_MAX else []
    if not _label_pattern.fullmatch(text):
        if _subdomain_pattern.fullmatch(text):
            errors.append("must not contain dots")
        else:
            errors.append(regex_error(_LABEL_MESSAGE, _LABEL, "my-name", "123-abc"))
    return errors


def dns1123_subdomain_errors(text: str) -> list[str]:
    """Judge an RFC 1123 subdomain: names of most objects."""
    errors = [max_length_error(NAME_LENGTH_MAX)] if _length(text) > NAME_LENGTH_MAX else []
    if not _subdomain_pattern.fullmatch(text):
        errors.append(regex_error(_SUBDOMAIN_MESSAGE, _SUBDOMAIN, "example.com"))
    return errors


def dns1123_subdomain_with_underscore_errors(text: str) -> list[str]:
    """Judge a subdomain that may hold underscores: search domains of a Pod's DNS."""
    errors = [max_length_error(NAME_LENGTH_MAX)] if _length(text) > NAME_LENGTH_MAX else []
    if not _subdomain_with_underscore_pattern.fullmatch(text):
        errors.append(regex_error(_SUBDOMAIN_WITH_UNDERSCORE_MESSAGE, _SUBDOMAIN_WITH_UNDERSCORE, "example.com"))
    return errors


def dns1035_label_errors(text: str) -> list[str]:
    """Judge an RFC 1035 label: names that must start with a letter."""
    errors = [max_length_error(LABEL_LENGTH_MAX)] if _length(text) > LABEL_LENGTH_MAX else []
    if not _dns1035_pattern.fullmatch(text):
        errors.append(regex_error(_DNS1035_MESSAGE, _DNS1035, "my-name", "abc-123"))
    return errors


def wildcard_dns1123_subdomain_errors(text: str) -> list[str]:
    """Judge `*.example.com`."""
    errors = [max_length_error(NAME_LENGTH_MAX)] if _length(text) > NAME_LENGTH_MAX else []
    if not _wildcard_pattern.fullmatch(text):
        errors.append(regex_error(_WILDCARD_MESSAGE, _WILDCARD, "*.example.com"))
    return errors


def qualified_name_errors(text: str) -> list[str]:
    """Judge a label key: an optional DNS prefix and `/`, then a name."""
    parts = text.split("/")
    pattern_error = regex_error(_QUALIFIED_MESSAGE, _QUALIFIED, "MyName", "my.name", "123-abc")
    if len(parts) > 2:
        return [
            f"a valid label key {pattern_error} with an optional DNS subdomain prefix and '/'"
            " (e.g. 'example.com/MyName')"
        ]
    errors: list[str] = []
    if len(parts) == 2:
        errors.extend(_label_key_prefix_errors(parts[0]))
    name = parts[-1]
    if not name:
        errors.append("name part must be non-empty")
    elif _length(name) > LABEL_LENGTH_MAX:
        errors.append(f"name part {max_bytes_error(LABEL_LENGTH_MAX)}")
    if not _qualified_pattern.fullmatch(name):
        errors.append(f"name part {pattern_error}")
    return errors


def _label_key_prefix_errors(prefix: str) -> list[str]:
    if not prefix:
        return ["prefix part must be non-empty"]
    errors = [f"prefix part {max_bytes_error(NAME_LENGTH_MAX)}"] if _length(prefix) > NAME_LENGTH_MAX else []
    if not _subdomain_pattern.fullmatch(prefix):
        errors.append("prefix part " + regex_error(_SUBDOMAIN_MESSAGE, _SUBDOMAIN, "example.com"))
    return errors


def label_value_errors(text: str) -> list[str]:
    """Judge a label value."""
    errors = [max_bytes_error(LABEL_LENGTH_MAX)] if _length(text) > LABEL_LENGTH_MAX else []
    if not _label_value_pattern.fullmatch(text):
        errors.append(regex_error(_LABEL_VALUE_MESSAGE, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return errors


def finalizer_errors(text: str, *, needs_prefix: bool = False) -> list[str]:
    """Judge a finalizer: a qualified name; with `needs_prefix` one without a prefix must be a standard one."""
    errors = qualified_name_errors(text)
    if not errors and needs_prefix and "/" not in text and text not in STANDARD_FINALIZERS:
        errors.append("name is neither a standard finalizer name nor is it fully qualified")
    return errors


STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def annotations_size(annotations: Mapping[str, str]) -> int:
    """Bytes of all keys and values; over ANNOTATIONS_BYTES_MAX is too long."""
    return sum(_length(key) + _length(value) for key, value in annotations.items())


def c_identifier_errors(text: str) -> list[str]:
    """Judge a C identifier."""
    if _c_identifier_pattern.fullmatch(text):
        return []
    return [regex_error(_C_IDENTIFIER_MESSAGE, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def env_var_name_errors(text: str) -> list[str]:
    """Judge the name of an environment variable: printable ASCII without `=` (the relaxed rule of 1.36)."""
    errors = [] if text else ["environment variable name must be non-empty"]
    if any(not " " <= character <= "~" or character == "=" for character in text):
        errors.append(_RELAXED_ENV_MESSAGE)
    return errors


def strict_env_var_name_errors(text: str) -> list[str]:
    """Judge the name of an environment variable by the older, narrower rule (keys of envFrom)."""
    errors = []
    if not _strict_env_pattern.fullmatch(text):
        errors.append(regex_error(_STRICT_ENV_MESSAGE, _STRICT_ENV, "my.env-name", "MY_ENV.NAME", "MyEnvName1"))
    return errors + _parent_directory_errors(text)


def config_map_key_errors(text: str) -> list[str]:
    """Judge a key of a ConfigMap or Secret."""
    errors = [max_length_error(NAME_LENGTH_MAX)] if _length(text) > NAME_LENGTH_MAX else []
    if not _config_key_pattern.fullmatch(text):
        errors.append(regex_error(_CONFIG_KEY_MESSAGE, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return errors + _parent_directory_errors(text)


def _parent_directory_errors(text: str) -> list[str]:
    if text in (".", ".."):
        return [f"must not be '{text}'"]
    return ["must not start with '..'"] if text.startswith("..") else []


def http_header_name_errors(text: str) -> list[str]:
    """Judge a header name of a probe."""
    if _http_header_pattern.fullmatch(text):
        return []
    return [regex_error(_HTTP_HEADER_MESSAGE, _HTTP_HEADER, "X-Header-Name")]


def percent_errors(text: str) -> list[str]:
    """Judge `25%`."""
    if _percent_pattern.fullmatch(text):
        return []
    return [regex_error(_PERCENT_MESSAGE, _PERCENT, "1%", "93%")]


def port_name_errors(text: str) -> list[str]:
    """Judge a port name (IANA service name)."""
    errors = [max_length_error(15)] if _length(text) > 15 else []
    if not _port_name_pattern.fullmatch(text):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _letter_pattern.search(text):
        errors.append("must contain at least one letter (a-z)")
    if "--" in text:
        errors.append("must not contain consecutive hyphens")
    if text.startswith("-") or text.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def port_number_errors(port: int) -> list[str]:
    """Judge a port number."""
    return range_errors(port, 1, 65535)


def range_errors(number: int, low: int, high: int) -> list[str]:
    """Judge a number against an inclusive range."""
    return [] if low <= number <= high else [inclusive_range_error(low, high)]


def user_id_errors(number: int) -> list[str]:
    """Judge a Unix user or group id."""
    return range_errors(number, 0, 2**31 - 1)


def path_segment_name_errors(text: str) -> list[str]:
    """Judge a name that must only be usable as one URL path segment (RBAC objects)."""
    if text in (".", ".."):
        return [f"may not be '{text}'"]
    return [f"may not contain '{character}'" for character in "/%" if character in text]
