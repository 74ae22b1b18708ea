"""The short notation of the policy tables: `verbs | groups | resources`, and `| names` where a rule names objects.

`core` stands for the core group. A rule for URLs is `verbs | urls`. Lists are separated by blanks.
"""

from __future__ import annotations

from control.api.objects import Object

EVENTS = "create patch update | core events.k8s.io | events"


def parse_rule(text: str) -> Object:
    """Expand one line of a policy table to an RBAC PolicyRule, lists sorted as upstream keeps them."""
    parts = [sorted(part.split()) for part in text.split("|")]
    if len(parts) == 2:
        return {"verbs": parts[0], "nonResourceURLs": parts[1]}
    rule: Object = {
        "verbs": parts[0],
        "apiGroups": ["" if group == "core" else group for group in parts[1]],
        "resources": parts[2],
    }
    if len(parts) == 4:
        rule["resourceNames"] = parts[3]
    return rule


def parse_rules(lines: tuple[str, ...]) -> list[Object]:
    """Expand the lines of one role."""
    return [parse_rule(line) for line in lines]
