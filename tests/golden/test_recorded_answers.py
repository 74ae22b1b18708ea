"""Replays recorded exchanges of a real kube-apiserver 1.36 against a server of `podling up`, group by group."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import yaml

from tests.cluster import Cluster, run
from tests.recordings import FOLDER, needs_recordings

pytestmark = needs_recordings

REPLAYER = FOLDER.parent / "replay.py"
TOKENS = FOLDER.parent / "tokens.csv"
TOKEN = "golden-admin-token"  # of the identity in the token file that the exchanges were recorded with
#: of each group; below it something broke that is no accident of timing
PASSING_SHARE_MIN = 0.98

GROUPS = (
    "admission",
    "apply",
    "auth",
    "conflict",
    "crud",
    "defaulting",
    "delete",
    "discovery",
    "dryrun",
    "generatename",
    "list",
    "namespace",
    "patch",
    "selectors",
    "status",
    "subresource",
    "table",
    "validation",
    "watch",
)

_LINE_NUMBERS = (
    "shows line numbers of a whole Pod: the recording server put 18 more lines into it (a volume source of a fork)"
)
_CUSTOM = "waits for what establishes custom resources, which are not served yet"
_POLICY = "needs CEL, which validating admission policies are not judged with yet"

#: scenarios that cannot pass, and why
DEVIATIONS = {
    "admission/vap-deny": _POLICY,
    "admission/vap-messageexpression": _POLICY,
    "admission/vap-warn-audit": _POLICY,
    "admission/webhook-unreachable": "admission webhooks are not called yet",
    "apply/pod": _LINE_NUMBERS,
    "crud/apiextensions.k8s.io-v1-customresourcedefinition-create": _CUSTOM,
    "crud/apiextensions.k8s.io-v1-customresourcedefinition-list-delete": _CUSTOM,
    "subresource/ephemeralcontainers": _LINE_NUMBERS,
    "subresource/resize": _LINE_NUMBERS,
    "table/apiextensions.k8s.io-v1-customresourcedefinition": _CUSTOM,
    "validation/update-crd-scope": _CUSTOM,
    "validation/update-pod-env": _LINE_NUMBERS,
    "validation/update-pod-spec-forbidden": _LINE_NUMBERS,
    "validation/vap-bad": _POLICY,
}

#: scenarios that find what an earlier pass of themselves has left (`missing-one`), as the recording server had it
SECOND_PASS = (
    "crud/node.k8s.io-v1-runtimeclass-update",
    "crud/rbac.authorization.k8s.io-v1-clusterrole-update",
    "crud/rbac.authorization.k8s.io-v1-clusterrolebinding-update",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an API server that nothing else writes to."""
    cluster = Cluster(tmp_path_factory.mktemp("recorded"))
    arguments = ("--no-controllers", "--no-scheduler", "--profile", "upstream", "--service-cidr", "10.96.0.0/16")
    try:
        cluster.up("--nodes", "0", *arguments, "--token-auth-file", str(TOKENS))
        url = yaml.safe_load((cluster.directory / "kubeconfig").read_text())["clusters"][0]["cluster"]["server"]
        replay(url, [argument for name in SECOND_PASS for argument in ("--only", name)])
        yield url
    finally:
        cluster.delete()


def replay(url: str, arguments: Sequence[str]) -> str:
    """Run the replayer and return what it printed."""
    command = [sys.executable, str(REPLAYER), str(FOLDER), "--server", url, "--token", TOKEN, "--phase", "api"]
    return run([*command, "--quiet", *arguments], check=False).stdout


@pytest.mark.parametrize("group", GROUPS)
def test_answers_are_those_of_a_real_api_server(server: str, group: str) -> None:
    skipped = [argument for name in DEVIATIONS for argument in ("--skip", name)]
    output = replay(server, ["--only", f"{group}/*", "--diff", *skipped])
    print(output)
    passed, failed = _counts(output)
    assert passed >= PASSING_SHARE_MIN * (passed + failed), output


def test_every_deviation_names_a_recorded_scenario() -> None:
    unknown = [name for name in (*DEVIATIONS, *SECOND_PASS) if not Path(FOLDER, f"{name}.json").is_file()]
    assert not unknown


def _counts(output: str) -> tuple[int, int]:
    """What the last line says: `N passed, M failed`."""
    words = output.strip().splitlines()[-1].replace(",", "").split()
    assert words[1::2] == ["passed", "failed"], output
    return int(words[0]), int(words[2])
