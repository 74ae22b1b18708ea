"""SPDY frames: what goes out comes back, however it is cut, and garbage is refused rather than believed."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.server.spdy.frames import (
    CONTROL_BYTES_MAX,
    Data,
    Frame,
    FrameFormatter,
    FrameParser,
    GoAway,
    Headers,
    Ping,
    RstStream,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)
from agent.server.spdy.header_dictionary import HEADER_DICTIONARY

STREAM_IDS = st.integers(1, 2**31 - 1)
WORDS = st.integers(0, 2**31 - 1)
HEADER_MAPS = st.dictionaries(
    st.text(st.characters(codec="ascii", exclude_categories=["Lu"]), min_size=1, max_size=20),
    st.text(max_size=40),
    max_size=6,
)
FRAMES = st.one_of(
    st.builds(SynStream, STREAM_IDS, HEADER_MAPS, st.booleans(), st.booleans(), WORDS, st.integers(0, 7)),
    st.builds(SynReply, STREAM_IDS, HEADER_MAPS, st.booleans()),
    st.builds(Headers, STREAM_IDS, HEADER_MAPS, st.booleans()),
    st.builds(Data, STREAM_IDS, st.binary(max_size=300), st.booleans()),
    st.builds(RstStream, STREAM_IDS, WORDS),
    st.builds(Settings, st.dictionaries(st.integers(0, 2**24 - 1), WORDS, max_size=4)),
    st.builds(Ping, WORDS),
    st.builds(GoAway, WORDS, WORDS),
    st.builds(WindowUpdate, WORDS, WORDS),
)


def join_data(frames: list[Frame]) -> list[Frame]:
    """Put the pieces of data frames together again."""
    joined: list[Frame] = []
    for frame in frames:
        last = joined[-1] if joined else None
        if isinstance(frame, Data) and isinstance(last, Data) and frame.stream_id == last.stream_id and not last.fin:
            joined[-1] = Data(frame.stream_id, last.content + frame.content, frame.fin)
        else:
            joined.append(frame)
    return joined


def test_the_dictionary_is_the_one_of_the_protocol() -> None:
    assert (len(HEADER_DICTIONARY), zlib.adler32(HEADER_DICTIONARY)) == (1423, 0xE3C6A7C2)


@pytest.mark.parametrize(
    ("frame", "wire"),
    [
        pytest.param(Data(5, b"abc", fin=True), "00000005 01000003 616263", id="data that is the last"),
        pytest.param(Data(5, b""), "00000005 00000000", id="empty data"),
        pytest.param(RstStream(7, 5), "80030003 00000008 00000007 00000005", id="a cancelled stream"),
        pytest.param(Ping(3), "80030006 00000004 00000003", id="a ping"),
        pytest.param(GoAway(9, 0), "80030007 00000008 00000009 00000000", id="a farewell"),
        pytest.param(WindowUpdate(1, 65536), "80030009 00000008 00000001 00010000", id="a window"),
        pytest.param(Settings({4: 100}), "80030004 0000000c 00000001 00000004 00000064", id="settings"),
    ],
)
def test_frames_without_headers_have_their_wire_form(frame: Frame, wire: str) -> None:
    assert FrameFormatter().format(frame) == bytes.fromhex(wire)
    assert FrameParser().feed(bytes.fromhex(wire)) == [frame]


def test_headers_are_compressed_with_the_dictionary() -> None:
    wire = FrameFormatter().format(SynStream(1, {"streamType": "error"}))
    assert wire[:18] == bytes.fromhex("80030001 000000") + bytes([len(wire) - 8]) + bytes.fromhex(
        "00000001 00000000 0000"
    )
    assert wire[20:24] == bytes.fromhex("e3c6a7c2"), "the zlib stream names the dictionary by its checksum"
    plain = zlib.decompressobj(zdict=HEADER_DICTIONARY).decompress(wire[18:])
    assert plain == struct.pack(">II", 1, 10) + b"streamtype" + struct.pack(">I", 5) + b"error"


@given(st.lists(FRAMES, max_size=8), st.data())
def test_frames_survive_the_wire_however_it_is_cut(frames: list[Frame], data: st.DataObject) -> None:
    formatter, parser = FrameFormatter(), FrameParser()
    wire = b"".join(formatter.format(frame) for frame in frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=6)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    parsed = [frame for piece in pieces for frame in parser.feed(piece)]
    assert join_data(parsed) == join_data(list(frames))


@given(st.lists(st.binary(max_size=200), max_size=5))
def test_garbage_is_refused_or_understood_and_never_crashes(pieces: list[bytes]) -> None:
    parser = FrameParser()
    try:
        for piece in pieces:
            parser.feed(piece)
    except SpdyError:
        pass


@given(st.lists(FRAMES, min_size=1, max_size=4), st.data())
def test_damage_is_refused_or_understood_and_never_crashes(frames: list[Frame], data: st.DataObject) -> None:
    formatter = FrameFormatter()
    wire = bytearray(b"".join(formatter.format(frame) for frame in frames))
    for position in data.draw(st.lists(st.integers(0, len(wire) - 1), min_size=1, max_size=4)):
        wire[position] = data.draw(st.integers(0, 255))
    try:
        FrameParser().feed(bytes(wire))
    except SpdyError:
        pass


def test_content_is_handed_on_before_its_frame_is_complete() -> None:
    parser = FrameParser()
    assert parser.feed(struct.pack(">II", 3, 1 << 24 | 10) + b"12345") == [Data(3, b"12345", fin=False)]
    assert parser.feed(b"67890") == [Data(3, b"67890", fin=True)]


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        pytest.param("00000000 00000001 00", "data for stream 0", id="data without a stream"),
        pytest.param("80020001 00000000", "version 2 of SPDY is not supported", id="an old version"),
        pytest.param("80030001 00ffffff", "a control frame of 16777215 bytes is too long", id="an endless frame"),
        pytest.param("80030003 00000004 00000001", "type 3 is cut short or too long", id="half a reset"),
        pytest.param("80030003 00000008 00000000 00000001", "stream 0 cannot be", id="a reset of stream 0"),
        pytest.param("80030004 00000004 00000009", "another length than its entries", id="missing settings"),
        pytest.param("80030002 00000008 00000001 ffffffff", "cannot be decompressed", id="headers that are no zlib"),
    ],
)
def test_what_is_not_spdy_is_refused(wire: str, message: str) -> None:
    with pytest.raises(SpdyError, match=message):
        FrameParser().feed(bytes.fromhex(wire))


def test_a_header_block_that_swells_is_refused() -> None:
    compressor = zlib.compressobj(level=9, zdict=HEADER_DICTIONARY)
    block = compressor.compress(b"\0" * (8 << 20)) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert len(block) < CONTROL_BYTES_MAX
    with pytest.raises(SpdyError, match="too long"):
        FrameParser().feed(struct.pack(">HHII", 0x8003, 2, 4 + len(block), 1) + block)


def test_an_unknown_control_frame_is_skipped() -> None:
    assert FrameParser().feed(bytes.fromhex("8003000b 00000002 abcd") + FrameFormatter().format(Ping(1))) == [Ping(1)]
