# SPDX-License-Identifier: MIT
"""Batches: one request for many clones, whose answers come as packets with a header."""

import base64
import socket
import struct

from request import Request

HEADER = struct.Struct("<IIQ")  # index, zero, id of the clone
SIZES = (4, 16, 16, 100)  # the largest is more than may live at once
BYTES_MAX = 60000  # of a batch's requests together


def offered(server):
    """Does that server know batches?"""
    with server.connect() as connection:
        connection.send({"op": "clone", "tag": 1, "count": 1, "request": "x"})
        return "error" not in connection.read_line()


def submit(client, rng):
    """A batch of some size: the same for all, or to each its own."""
    count = rng.randint(1, rng.choice(SIZES))
    members = {}
    if rng.random() < 0.5:
        members["count"] = count
        payloads = [rng.randbytes(rng.randint(1, 1000))] * count
    else:
        payloads = [rng.randbytes(rng.randint(1, BYTES_MAX // count)) for _ in range(count)]
        members["requests_b64"] = [base64.b64encode(payload).decode() for payload in payloads]
    if rng.random() < 0.7:
        members["at_once"] = rng.randint(1, count)
    if rng.random() < 0.5:
        members["spare"] = rng.choice(("any", "never"))
    batch = [Request("batch", payload, members={"count": count}) for payload in payloads]
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    client.watch(ours.fileno(), lambda: _receive(client, ours, batch))
    asked = Request("batch", payloads[0])
    client.send(asked, [theirs.detach()], batch, **members)


def _receive(client, ours, batch):
    try:
        packet = ours.recv(1 << 17)
    except BlockingIOError:
        return
    except ConnectionResetError:
        packet = b""
    if not packet:
        client.unwatch(ours.fileno())
        ours.close()
        for request in batch:
            client.over(request)
        return
    index, zero, clone_id = HEADER.unpack_from(packet) if len(packet) >= HEADER.size else (-1, 0, 0)
    if not 0 <= index < len(batch) or zero:
        client.ledger.fault("a batch's packet with a header that is none", packet[:32].hex())
        return
    request = batch[index]
    request.answer += packet[HEADER.size:]
    request.answer_id = clone_id
