"""Collecting the output of a command that is run for its result (probes, hooks): merged, and bounded."""

from __future__ import annotations

from agent.runtime.protocol import ExecStream

OUTPUT_BYTES_MAX = 10 * 1024  # the kubelet's limit for probe output


async def collect_output(stream: ExecStream) -> bytes:
    """Read to the end; what exceeds the limit is read too, so that the command never blocks, and dropped."""
    output = bytearray()
    while (chunk := await stream.read()) is not None:
        room = OUTPUT_BYTES_MAX - len(output)
        if room > 0:
            output += chunk[1][:room]
    return bytes(output)
