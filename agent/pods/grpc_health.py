"""The gRPC health check (grpc.health.v1.Health/Check) as one unary call over cleartext HTTP/2.

`h2` speaks the protocol; the messages have a field each. Texts are those of pkg/probe/grpc (v1.36).
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from agent.pods.http_get import PROBE_USER_AGENT, describe_failure
from control.api.durations import format_duration
from control.api.protobuf_wire import read_fields, text_field

PATH = "/grpc.health.v1.Health/Check"
STATUSES = ("UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN")
READ_BYTES = 16 * 1024
ANSWER_BYTES_MAX = 64 * 1024
OK, DEADLINE_EXCEEDED, UNIMPLEMENTED, UNAVAILABLE = 0, 4, 12, 14
CODE_NAMES = (
    "OK", "Canceled", "Unknown", "InvalidArgument", "DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
    "ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented", "Internal", "Unavailable",
    "DataLoss", "Unauthenticated",
)  # fmt: skip


class HealthCheckError(Exception):
    """There is no answer about the service's health; the message says why."""


@dataclass(slots=True)
class _Call:
    """What has come of the one stream so far. `code` is the gRPC status, None until the server gives it.

    `is_connected` says that the server has spoken: before that there is no connection to a client of gRPC.
    """

    is_connected: bool = False
    code: int | None = None
    message: str = ""
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def take_headers(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Read `grpc-status` and `grpc-message`, which are in the trailers, or in the only headers of a failure."""
        fields = {name.decode(): value.decode("latin-1") for name, value in headers}
        if fields.get(":status", "200") != "200":
            self.code = UNIMPLEMENTED if fields[":status"] == "404" else UNAVAILABLE
            self.message = f"unexpected HTTP status code received from server: {fields[':status']}"
        elif "grpc-status" in fields and fields["grpc-status"].isdigit():
            self.code = int(fields["grpc-status"])
            self.message = unquote(fields.get("grpc-message", ""))


async def check_health(host: str, port: int, *, service: str, timeout_seconds: float) -> str:
    """Ask for the service's health: SERVING, NOT_SERVING, UNKNOWN or SERVICE_UNKNOWN. Raises HealthCheckError."""
    address = f"{host}:{port}"
    duration = format_duration(timeout_seconds)
    writer: asyncio.StreamWriter | None = None
    call = _Call()
    try:
        async with asyncio.timeout(timeout_seconds):
            reader, writer = await asyncio.open_connection(host, port)
            await _exchange(reader, writer, address, service, call)
    except (OSError, h2.exceptions.ProtocolError) as error:  # TimeoutError is an OSError
        if not call.is_connected:
            # Upstream's client goes on trying until the time is up, whatever kept it from connecting.
            text = f'timeout: failed to connect service "{address}" within {duration}: context deadline exceeded'
            raise HealthCheckError(text) from error
        call.code = DEADLINE_EXCEEDED if isinstance(error, TimeoutError) else UNAVAILABLE
        call.message = f"error reading from server: {describe_failure('tcp://' + address, error)}"
    finally:
        if writer is not None:
            writer.close()
    return _status_of(call, duration)


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, address: str, service: str, call: _Call
) -> None:
    """Ask, and take what comes into `call`."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    connection.initiate_connection()
    stream_id = connection.get_next_available_stream_id()
    headers = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", PATH),
        (":authority", address),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
        ("user-agent", PROBE_USER_AGENT),
    ]
    connection.send_headers(stream_id, headers)
    connection.send_data(stream_id, _frame(_encode_request(service)), end_stream=True)
    while not call.ended:
        writer.write(connection.data_to_send())
        await writer.drain()
        received = await reader.read(READ_BYTES)
        if not received:
            raise ConnectionResetError
        for event in connection.receive_data(received):
            call.is_connected = True
            _take_event(event, call, connection)


def _take_event(event: h2.events.Event, call: _Call, connection: h2.connection.H2Connection) -> None:
    if isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
        call.take_headers(event.headers)
    elif isinstance(event, h2.events.DataReceived):
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        call.body += event.data[: max(0, ANSWER_BYTES_MAX - len(call.body))]
    elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
        call.ended = True
        if call.code is None:
            call.code, call.message = UNAVAILABLE, "connection closed by the server"
    elif isinstance(event, h2.events.StreamEnded):
        call.ended = True


def _status_of(call: _Call, duration: str) -> str:
    code = UNAVAILABLE if call.code is None else call.code
    if code == OK:
        return _decode_status(bytes(call.body))
    if code == UNIMPLEMENTED:
        raise HealthCheckError(
            f"error: this server does not implement the grpc health protocol (grpc.health.v1.Health): {call.message}"
        )
    if code == DEADLINE_EXCEEDED:
        raise HealthCheckError(f"timeout: health rpc did not complete within {duration}")
    name = CODE_NAMES[code] if code < len(CODE_NAMES) else f"Code({code})"
    raise HealthCheckError(f"error: health rpc probe failed: rpc error: code = {name} desc = {call.message}")


# --- messages: a length-prefixed frame around one protobuf field ------------------------------------------------------


def _frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _encode_request(service: str) -> bytes:
    """HealthCheckRequest: field 1 is the service's name."""
    return text_field(1, service) if service else b""


def _decode_status(body: bytes) -> str:
    """HealthCheckResponse: field 1 is an enum; a message without it means UNKNOWN, the enum's zero."""
    message = body[5 : 5 + int.from_bytes(body[1:5], "big")]
    try:
        number = dict(read_fields(message)).get(1, 0)
    except (IndexError, struct.error) as error:
        raise HealthCheckError(
            "error: health rpc probe failed: rpc error: code = Internal desc = grpc: failed to unmarshal the received "
            "message: proto: cannot parse invalid wire-format data"
        ) from error
    if not isinstance(number, int):
        return STATUSES[0]
    return STATUSES[number] if number < len(STATUSES) else str(number)
