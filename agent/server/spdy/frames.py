"""SPDY/3.1 frames as records, and their wire form. Pure: bytes in, records out, and back.

Header blocks are compressed with one zlib state per direction for the life of a connection, so every frame that has
one must pass through the same parser (or formatter) in order. A data frame may be 16 MiB long: its content is handed
on as it arrives, in several `Data` records of which only the last may carry `fin`.
Reference: draft-mbelshe-httpbis-spdy-00; WINDOW_UPDATE for stream 0 is what makes it 3.1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from agent.server.spdy.header_dictionary import HEADER_DICTIONARY

VERSION = 3
FLAG_FIN, FLAG_UNIDIRECTIONAL = 0x01, 0x02

#: Statuses of RST_STREAM.
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, UNSUPPORTED_VERSION, CANCEL, INTERNAL_ERROR = 1, 2, 3, 4, 5, 6
#: Statuses of GOAWAY.
GOAWAY_OK, GOAWAY_PROTOCOL_ERROR = 0, 1

DATA_BYTES_MAX = (1 << 24) - 1
CONTROL_BYTES_MAX = 64 * 1024
HEADER_BLOCK_BYTES_MAX = 256 * 1024
_FRAME_HEAD_BYTES = 8
_STREAM_ID_MASK = 0x7FFFFFFF


class FrameType(IntEnum):
    """The types of control frames."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class SpdyError(Exception):
    """What arrived is not SPDY/3: nothing that follows on the connection can be understood."""


@dataclass(frozen=True, slots=True)
class SynStream:
    """The peer opens a stream. Header names are lower-case."""

    stream_id: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False
    unidirectional: bool = False
    associated_to: int = 0
    priority: int = 0


@dataclass(frozen=True, slots=True)
class SynReply:
    """A stream is accepted."""

    stream_id: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Headers:
    """More headers of a stream."""

    stream_id: int
    headers: Mapping[str, str] = field(default_factory=dict)
    fin: bool = False


@dataclass(frozen=True, slots=True)
class Data:
    """Content of a stream; `fin` says that no more comes from this side."""

    stream_id: int
    content: bytes
    fin: bool = False


@dataclass(frozen=True, slots=True)
class RstStream:
    """A stream ends at once, in both directions."""

    stream_id: int
    status: int


@dataclass(frozen=True, slots=True)
class Settings:
    """Identifiers and values."""

    values: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ping:
    """To be sent back by the side whose ids have the other parity."""

    ping_id: int


@dataclass(frozen=True, slots=True)
class GoAway:
    """No new streams, please."""

    last_stream_id: int
    status: int = GOAWAY_OK


@dataclass(frozen=True, slots=True)
class WindowUpdate:
    """More room at the receiver of a stream, or of the connection (stream 0)."""

    stream_id: int
    delta: int


Frame = SynStream | SynReply | Headers | Data | RstStream | Settings | Ping | GoAway | WindowUpdate


class FrameFormatter:
    """Makes bytes of frames, for one direction of one connection."""

    def __init__(self) -> None:
        self._compressor = zlib.compressobj(level=9, zdict=HEADER_DICTIONARY)

    def format(self, frame: Frame) -> bytes:
        """The wire form. Raises ValueError if a frame is too long."""
        match frame:
            case Data():
                if len(frame.content) > DATA_BYTES_MAX:
                    raise ValueError("a data frame holds less than 16 MiB")
                flags = FLAG_FIN if frame.fin else 0
                return struct.pack(">II", frame.stream_id, flags << 24 | len(frame.content)) + frame.content
            case SynStream():
                flags = (FLAG_FIN if frame.fin else 0) | (FLAG_UNIDIRECTIONAL if frame.unidirectional else 0)
                head = struct.pack(">IIBB", frame.stream_id, frame.associated_to, frame.priority << 5, 0)
                return _control(FrameType.SYN_STREAM, flags, head + self._block(frame.headers))
            case SynReply() | Headers():
                kind = FrameType.SYN_REPLY if isinstance(frame, SynReply) else FrameType.HEADERS
                head = struct.pack(">I", frame.stream_id)
                return _control(kind, FLAG_FIN if frame.fin else 0, head + self._block(frame.headers))
            case RstStream():
                return _control(FrameType.RST_STREAM, 0, struct.pack(">II", frame.stream_id, frame.status))
            case Settings():
                pairs = b"".join(struct.pack(">II", name, value) for name, value in frame.values.items())
                return _control(FrameType.SETTINGS, 0, struct.pack(">I", len(frame.values)) + pairs)
            case Ping():
                return _control(FrameType.PING, 0, struct.pack(">I", frame.ping_id))
            case GoAway():
                return _control(FrameType.GOAWAY, 0, struct.pack(">II", frame.last_stream_id, frame.status))
            case WindowUpdate():
                return _control(FrameType.WINDOW_UPDATE, 0, struct.pack(">II", frame.stream_id, frame.delta))

    def _block(self, headers: Mapping[str, str]) -> bytes:
        parts = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode("utf-8"), value.encode("utf-8")):
                parts += (struct.pack(">I", len(text)), text)
        return self._compressor.compress(b"".join(parts)) + self._compressor.flush(zlib.Z_SYNC_FLUSH)


def _control(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload


class FrameParser:
    """Makes frames of bytes, however they are cut, for one direction of one connection."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(zdict=HEADER_DICTIONARY)
        self._pending = b""
        self._data_stream_id = self._data_bytes_left = 0
        self._data_fin = False

    def feed(self, content: bytes) -> list[Frame]:
        """Take what arrived and return the frames that are complete. Raises SpdyError."""
        view, position = self._pending + content, 0
        frames: list[Frame] = []
        while (step := self._parse_one(view, position)) is not None:
            frame, position = step
            if frame is not None:
                frames.append(frame)
        self._pending = view[position:]
        return frames

    def _parse_one(self, view: bytes, position: int) -> tuple[Frame | None, int] | None:
        """The next frame, if it is one to hand on, and where it ends; None if more bytes are needed."""
        if self._data_bytes_left:
            return self._parse_content(view, position)
        if len(view) - position < _FRAME_HEAD_BYTES:
            return None
        first, second = struct.unpack_from(">II", view, position)
        flags, length = second >> 24, second & 0xFFFFFF
        start = position + _FRAME_HEAD_BYTES
        if not first >> 31:
            return self._begin_data(first, flags, length), start
        if length > CONTROL_BYTES_MAX:
            raise SpdyError(f"a control frame of {length} bytes is too long")
        if len(view) < start + length:
            return None
        return self._parse_control(first, flags, view[start : start + length]), start + length

    def _begin_data(self, stream_id: int, flags: int, length: int) -> Frame | None:
        if stream_id == 0:
            raise SpdyError("data for stream 0")
        self._data_stream_id, self._data_bytes_left, self._data_fin = stream_id, length, bool(flags & FLAG_FIN)
        return None if length else Data(stream_id, b"", self._data_fin)

    def _parse_content(self, view: bytes, position: int) -> tuple[Frame, int] | None:
        piece = view[position : position + self._data_bytes_left]
        if not piece:
            return None
        self._data_bytes_left -= len(piece)
        return Data(self._data_stream_id, piece, self._data_fin and not self._data_bytes_left), position + len(piece)

    def _parse_control(self, word: int, flags: int, payload: bytes) -> Frame | None:
        """One control frame; None for a type that SPDY/3 does not know, which is to be ignored."""
        version, kind = word >> 16 & 0x7FFF, word & 0xFFFF
        if version != VERSION:
            raise SpdyError(f"version {version} of SPDY is not supported")
        try:
            match kind:
                case FrameType.SYN_STREAM:
                    stream_id, associated, priority, _ = struct.unpack_from(">IIBB", payload)
                    headers = self._parse_block(payload[10:])
                    fin, one_way = bool(flags & FLAG_FIN), bool(flags & FLAG_UNIDIRECTIONAL)
                    return SynStream(
                        _valid(stream_id), headers, fin, one_way, associated & _STREAM_ID_MASK, priority >> 5
                    )
                case FrameType.SYN_REPLY | FrameType.HEADERS:
                    stream_id = _valid(struct.unpack_from(">I", payload)[0])
                    record = SynReply if kind == FrameType.SYN_REPLY else Headers
                    return record(stream_id, self._parse_block(payload[4:]), bool(flags & FLAG_FIN))
                case FrameType.RST_STREAM:
                    stream_id, status = struct.unpack(">II", payload)
                    return RstStream(_valid(stream_id), status)
                case FrameType.SETTINGS:
                    return _parse_settings(payload)
                case FrameType.PING:
                    return Ping(struct.unpack(">I", payload)[0])
                case FrameType.GOAWAY:
                    last, status = struct.unpack(">II", payload)
                    return GoAway(last & _STREAM_ID_MASK, status)
                case FrameType.WINDOW_UPDATE:
                    stream_id, delta = struct.unpack(">II", payload)
                    return WindowUpdate(stream_id & _STREAM_ID_MASK, delta & _STREAM_ID_MASK)
        except struct.error as error:
            raise SpdyError(f"a control frame of type {kind} is cut short or too long") from error
        return None

    def _parse_block(self, block: bytes) -> dict[str, str]:
        try:
            plain = self._decompressor.decompress(block, HEADER_BLOCK_BYTES_MAX)
        except zlib.error as error:
            raise SpdyError("a header block cannot be decompressed") from error
        if self._decompressor.unconsumed_tail or self._decompressor.eof:
            raise SpdyError("a header block is too long, or ends its compression")
        headers: dict[str, str] = {}
        (count,) = struct.unpack_from(">I", plain)
        position = 4
        for _ in range(count):
            name, position = _parse_text(plain, position)
            value, position = _parse_text(plain, position)
            headers[name.lower()] = value
        return headers


def _parse_text(plain: bytes, position: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">I", plain, position)
    start, end = position + 4, position + 4 + length
    if end > len(plain):
        raise SpdyError("a header block is cut short")
    return plain[start:end].decode("utf-8", "replace"), end


def _parse_settings(payload: bytes) -> Settings:
    (count,) = struct.unpack_from(">I", payload)
    if len(payload) != 4 + 8 * count:
        raise SpdyError("a settings frame has another length than its entries")
    pairs = struct.iter_unpack(">II", payload[4:])
    return Settings({name & 0xFFFFFF: value for name, value in pairs})


def _valid(stream_id: int) -> int:
    if not stream_id & _STREAM_ID_MASK:
        raise SpdyError("stream 0 cannot be opened, answered or reset")
    return stream_id & _STREAM_ID_MASK
