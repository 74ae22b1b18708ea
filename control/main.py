"""The composition root of the control plane: storage and API server; then `own_parts.py` in the same event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import random
import resource
import signal
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from control.api.clock import Clock, SystemClock
from control.apiserver.app import ApiServer, ApiServerConfig
from control.apiserver.serving import make_server_context, serve
from control.apiserver.version import GIT_VERSION
from control.auth.authenticator import parse_token_file
from control.auth.pki import NODE_CLIENT_FILE, ClusterKeys, ensure_cluster_keys
from control.auth.tokens import SigningKey, TokenIssuer
from control.config import ClusterConfig, ClusterDirectory
from control.credentials import serving_hosts
from control.lifeline import on_supervisor_gone
from control.process_lock import LockHeldError, only_process
from control.storage.protocol import StorageError
from control.storage.sqlite import SqliteStorage

KUBERNETES_VERSION = GIT_VERSION

logger = logging.getLogger("podling")


def run_process(root: Path, *, lifeline: bool) -> int:
    """Run the control plane of the cluster in `root` until SIGTERM, SIGINT or the end of the lifeline."""
    directory = ClusterDirectory(root)
    config = directory.load()
    if config is None:
        print(f"podling: there is no cluster in {root}: podling up makes one", file=sys.stderr)
        return 1
    raise_file_limit()
    # Objects live long here: collecting garbage less often costs little memory and saves a third of the CPU.
    gc.set_threshold(50_000, 20, 100)
    try:
        import uvloop

        with only_process(directory.control_lock):
            uvloop.run(run_control_plane(directory, config, lifeline=lifeline))
    except LockHeldError as error:
        print(f"podling: another control plane runs this cluster: {error}", file=sys.stderr)
        return 1
    except StorageError as error:
        print(f"podling: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"podling: cannot serve at {config.server_url}: {error}", file=sys.stderr)
        return 1
    return 0


def raise_file_limit() -> None:
    """Allow as many open files as the system lets this process have: a watch is a connection, and 1,000 are usual."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # some systems say "unlimited" and mean less
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def run_control_plane(directory: ClusterDirectory, config: ClusterConfig, *, lifeline: bool = False) -> None:
    """Run everything until a signal says stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if lifeline:
        on_supervisor_gone(loop, stop.set)
    keys = ensure_cluster_keys(directory.pki, serving_hosts(config), now=datetime.now(UTC))
    clock = SystemClock()
    storage = await SqliteStorage.open(directory.store_file, clock=clock)
    try:
        await _run_parts(config, keys, storage, clock, stop)
    finally:
        await storage.close()


async def _run_parts(
    config: ClusterConfig, keys: ClusterKeys, storage: SqliteStorage, clock: Clock, stop: asyncio.Event
) -> None:
    server = make_api_server(config, keys, storage, clock)
    await server.start()
    async with AsyncExitStack() as cleanup:
        cleanup.push_async_callback(server.stop)
        listener = await serve(
            server.endpoint,
            host=config.host,
            port=config.port,
            ssl_context=make_server_context(
                certificate_file=str(keys.serving_certificate_path),
                key_file=str(keys.serving_key_path),
                client_ca_pem=keys.authority.certificate_pem.decode(),
            ),
        )
        cleanup.push_async_callback(listener.close)
        logger.info("Serving the API url=%s profile=%s", config.server_url, config.profile)
        if config.controllers or config.scheduler:
            # A quarter of all that is imported; the API answers meanwhile.
            run_own_parts = await asyncio.to_thread(_import_own_parts)
            await run_own_parts(config, keys, server, clock, stop)
        else:
            await stop.wait()
    logger.info("Stopped")


def _import_own_parts() -> Callable[..., Awaitable[None]]:
    from control.own_parts import run_own_parts

    return run_own_parts


def make_api_server(config: ClusterConfig, keys: ClusterKeys, storage: SqliteStorage, clock: Clock) -> ApiServer:
    """Build the API server of a cluster. Raises OSError if the token file cannot be read."""
    tokens = parse_token_file(Path(config.token_auth_file).read_text()) if config.token_auth_file else {}
    return ApiServer(
        config=ApiServerConfig(
            profile=config.profile,
            service_cidr=config.service_cidr,
            static_tokens=tokens,
            server_address=f"{config.host}:{config.port}",
            client_ca_pem=keys.authority.certificate_pem.decode(),
            serves_metrics=config.serves_metrics,
            node_ssl_context=make_node_context(keys, verifies=config.node_verification),
            unverified_node_ssl_context=make_node_context(keys, verifies=False),
        ),
        storage=storage,
        random=random.Random(),
        clock=clock,
        token_issuer=TokenIssuer(SigningKey(keys.token_key_pem)),
    )


def make_node_context(keys: ClusterKeys, *, verifies: bool) -> ssl.SSLContext:
    """TLS with which the API server calls agents: its own client certificate, and the cluster's CA or no question."""
    context = ssl.create_default_context(cafile=str(keys.ca_path))
    context.load_cert_chain(keys.directory / f"{NODE_CLIENT_FILE}.crt", keys.directory / f"{NODE_CLIENT_FILE}.key")
    if not verifies:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
