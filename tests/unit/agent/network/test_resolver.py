"""What a Pod's /etc/resolv.conf and /etc/hosts say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.network.pod_files import PodNames, pod_file_mounts, read_host_resolver, write_pod_files
from agent.network.resolver import (
    ClusterDns,
    Resolver,
    compute_resolver,
    format_hosts,
    format_resolver,
    parse_resolver,
    resolver_warnings,
)

HOST = Resolver(nameservers=("127.0.0.53", "192.0.2.53"), searches=("corp.example",), options=("edns0",))
NAMES = PodNames(hostname="web", domain="", kernel_hostname="web")
CLUSTER = ClusterDns(addresses=("10.96.0.10",))
FIRST = "search shop.svc.cluster.local svc.cluster.local cluster.local corp.example\n"


def make_pod(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}, "spec": spec}


@pytest.mark.parametrize(
    ("spec", "cluster", "expected"),
    [
        pytest.param({}, CLUSTER, FIRST + "nameserver 10.96.0.10\noptions ndots:5\n", id="ClusterFirst"),
        pytest.param(
            {}, ClusterDns(), FIRST + "nameserver 192.0.2.53\noptions edns0\n", id="ClusterFirst without cluster DNS"
        ),
        pytest.param(
            {"dnsPolicy": "Default"},
            CLUSTER,
            "search corp.example\nnameserver 192.0.2.53\noptions edns0\n",
            id="Default leaves out the host's loopback",
        ),
        pytest.param(
            {"hostNetwork": True},
            CLUSTER,
            "search corp.example\nnameserver 127.0.0.53\nnameserver 192.0.2.53\noptions edns0\n",
            id="in the host's network ClusterFirst is Default",
        ),
        pytest.param(
            {"hostNetwork": True, "dnsPolicy": "ClusterFirstWithHostNet"},
            CLUSTER,
            FIRST + "nameserver 10.96.0.10\noptions ndots:5\n",
            id="unless asked for",
        ),
        pytest.param(
            {
                "dnsPolicy": "None",
                "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["a"], "options": [{"name": "debug"}]},
            },
            CLUSTER,
            "search a\nnameserver 1.1.1.1\noptions debug\n",
            id="None takes the config alone",
        ),
        pytest.param(
            {"dnsConfig": {"nameservers": ["10.96.0.10", "1.1.1.1"], "options": [{"name": "ndots", "value": "2"}]}},
            CLUSTER,
            FIRST + "nameserver 10.96.0.10\nnameserver 1.1.1.1\noptions ndots:2\n",
            id="the config adds and overrides",
        ),
    ],
)
def test_compute_resolver(spec: dict[str, Any], cluster: ClusterDns, expected: str) -> None:
    assert format_resolver(compute_resolver(make_pod(**spec), HOST, cluster)) == expected


def test_no_more_servers_than_the_c_library_asks() -> None:
    config = {"nameservers": [f"1.1.1.{number}" for number in range(5)]}
    pod = make_pod(dnsPolicy="None", dnsConfig=config)

    assert compute_resolver(pod, HOST, CLUSTER).nameservers == ("1.1.1.0", "1.1.1.1", "1.1.1.2")


def test_parse_resolver_knows_comments_and_the_last_search() -> None:
    text = "# x\nsearch a b\nnameserver 1.1.1.1 # y\n; z\ndomain c\noptions ndots:2 rotate\nnameserver\n"

    assert parse_resolver(text) == Resolver(nameservers=("1.1.1.1",), searches=("c",), options=("ndots:2", "rotate"))


def test_what_goes_beyond_the_limits_is_named() -> None:
    config = {"nameservers": [f"192.0.2.{n}" for n in range(1, 5)], "searches": [f"d{n}" for n in range(33)]}
    pod = make_pod(dnsPolicy="None", dnsConfig=config)
    applied = compute_resolver(pod, HOST, CLUSTER)
    assert resolver_warnings(pod, HOST, CLUSTER) == [
        "Nameserver limits were exceeded, some nameservers have been omitted, "
        "the applied nameserver line is: 192.0.2.1 192.0.2.2 192.0.2.3",
        "Search Line limits were exceeded, some search paths have been omitted, "
        f"the applied search line is: {' '.join(applied.searches)}",
    ]
    assert resolver_warnings(make_pod(), HOST, CLUSTER) == []


def test_a_search_domain_has_no_dot_at_its_end_and_no_more_than_253_characters() -> None:
    host = parse_resolver(f"search a.b. . {'x' * 254} c\nnameserver 192.0.2.1\n")
    assert host.searches == ("a.b", ".", "x" * 254, "c")
    pod = make_pod(dnsPolicy="Default")
    assert compute_resolver(pod, host, CLUSTER).searches == ("a.b", ".", "c")
    (warning,) = resolver_warnings(pod, host, CLUSTER)
    assert warning.endswith("the applied search line is: a.b . c")


def test_the_servers_behind_a_local_stub_are_used(tmp_path: Path) -> None:
    (tmp_path / "stub").write_text("nameserver 127.0.0.53\n")
    (tmp_path / "real").write_text("nameserver 192.0.2.1\n")

    assert read_host_resolver(tmp_path / "stub", tmp_path / "real").nameservers == ("192.0.2.1",)
    assert read_host_resolver(tmp_path / "stub", tmp_path / "missing").nameservers == ("127.0.0.53",)


def test_hosts_name_the_pod_its_domain_and_its_aliases() -> None:
    pod = make_pod(subdomain="db", hostAliases=[{"ip": "10.1.2.3", "hostnames": ["foo", "bar"]}])

    text = format_hosts(pod, pod_ips=["10.244.0.5"], hostname="web", domain="db.shop.svc.cluster.local")

    assert text == (
        "# Kubernetes-managed hosts file.\n"
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "fe00::0\tip6-mcastprefix\n"
        "fe00::1\tip6-allnodes\n"
        "fe00::2\tip6-allrouters\n"
        "10.244.0.5\tweb.db.shop.svc.cluster.local\tweb\n"
        "\n"
        "# Entries added by HostAliases.\n"
        "10.1.2.3\tfoo\tbar\n"
    )


def test_files_are_rewritten_in_place_and_mounted_where_nothing_else_is(tmp_path: Path) -> None:
    def write(pod_ip: str) -> None:
        write_pod_files(tmp_path, make_pod(), names=NAMES, pod_ips=[pod_ip], host_resolver=HOST, cluster=CLUSTER)

    write("10.244.0.5")
    inode = (tmp_path / "etc-hosts").stat().st_ino
    write("10.244.0.6")

    assert (tmp_path / "etc-hosts").stat().st_ino == inode
    assert "10.244.0.6\tweb\n" in (tmp_path / "etc-hosts").read_text()
    assert (tmp_path / "etc-hostname").read_text() == "web\n"
    mounted = [mount.container_path for mount in pod_file_mounts(tmp_path, taken={"/etc/hosts"})]
    assert mounted == ["/etc/hostname", "/etc/resolv.conf"]
