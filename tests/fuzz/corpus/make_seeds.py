#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Write the seed corpora beside this file: a few inputs a target, each for a path of its own.

The seeds are checked in; this is how they were made, and how to make more.
"""

import os
import struct

HERE = os.path.dirname(os.path.abspath(__file__))

# System V ABI, "Object Files" and "Program Loading".
PT_LOAD, PT_INTERP, PT_NOTE = 1, 3, 4
ET_EXEC, ET_DYN = 2, 3
EM_X86_64, EM_AARCH64 = 62, 183
LOAD = 0x100000


def elf(segments, kind=ET_EXEC, machine=EM_X86_64, entry=LOAD, bits=2, data=b""):
    ident = b"\x7fELF" + bytes([bits, 1, 1]) + bytes(9)
    header = ident + struct.pack(
        "<HHIQQQIHHHHHH", kind, machine, 1, entry, 64, 0, 0, 64, 56, len(segments), 0, 0, 0)
    table = b"".join(
        struct.pack("<IIQQQQQQ", s["type"], 7, s["offset"], s["gpa"], s["gpa"], s["file"],
                    s["memory"], 4096)
        for s in segments)
    return header + table + data


def load(offset, gpa=LOAD, file=16, memory=32):
    return {"type": PT_LOAD, "offset": offset, "gpa": gpa, "file": file, "memory": memory}


def note(offset, file):
    return {"type": PT_NOTE, "offset": offset, "gpa": 0, "file": file, "memory": 0}


def forkvm_note(version=1, needs=1):
    return struct.pack("<III", 7, 8, 1) + b"forkvm\0\0" + struct.pack("<II", version, needs)


def elf_seeds():
    text = b"\x90" * 15 + b"\xf4"
    one, two = 64 + 56, 64 + 2 * 56
    ours, other = forkvm_note(), struct.pack("<III", 4, 4, 3) + b"GNU\0" + b"idid"
    good = elf([load(one)], data=text)
    return {
        "good": good,
        "empty": b"",
        "truncated-header": good[:40],
        "truncated-table": good[:90],
        "truncated-segment": good[:-1],
        "aarch64": elf([load(one)], machine=EM_AARCH64, data=text),
        "class32": elf([load(one)], bits=1, data=text),
        "dynamic": elf([load(two), {**load(0), "type": PT_INTERP}], data=text),
        "pie": elf([load(one)], kind=ET_DYN, data=text),
        "no-segments": elf([]),
        "offset-wraps": elf([load(2**64 - 8)], data=text),
        "gpa-wraps": elf([load(one, gpa=2**64 - 16)], data=text),
        "low": elf([load(one, gpa=0x1000)], data=text),
        "large": elf([load(one, memory=2**40)], data=text),
        "shrinks": elf([load(one, memory=8)], data=text),
        "entry-outside": elf([load(one)], entry=2**63, data=text),
        "note": elf([load(two), note(two + 16, len(ours))], data=text + ours),
        "note-other-abi": elf([load(two), note(two + 16, 28)], data=text + forkvm_note(9)),
        "note-behind-another": elf([load(two), note(two + 16, len(other + ours))],
                                   data=text + other + ours),
        "note-huge-name": elf([load(two), note(two + 16, 12)],
                              data=text + struct.pack("<III", 0xffffffff, 0xffffffff, 1)),
        "note-outside": elf([load(two), note(two + 16, 2**32)], data=text + ours),
    }


def xen_note(entry=LOAD + 16, kind=18, size=8):
    return struct.pack("<III", 4, size, kind) + b"Xen\0" + struct.pack("<Q", entry)[:size]


def vmlinux_seeds():
    text = b"\x90" * 32
    two = 64 + 2 * 56

    def kernel(notes, **of_file):
        return elf([load(two, file=32), note(two + 32, len(notes))], data=text + notes, **of_file)

    return {
        "good": kernel(xen_note()),
        "entry-32": kernel(xen_note(size=4)),
        "entry-odd-size": kernel(xen_note(size=5) + b"\0\0\0"),
        "entry-outside": kernel(xen_note(entry=2**40)),
        "entry-in-high-ram": kernel(xen_note(entry=2**32)),
        "behind-another": kernel(xen_note(kind=6) + xen_note()),
        "twice": kernel(xen_note(entry=2**63) + xen_note()),
        "with-a-stubs": kernel(forkvm_note() + xen_note()),
        "no-note": elf([load(64 + 56)], data=text),
        "truncated": kernel(xen_note())[:-1],
        "relocatable": kernel(xen_note(), kind=ET_DYN),
    }


# Documentation/arch/x86/boot.rst of Linux, "The Real-Mode Kernel Header": (offset, format) by name.
SETUP_HEADER = {
    "setup_sects": (0x1f1, "B"), "syssize": (0x1f4, "I"), "boot_flag": (0x1fe, "H"),
    "jump": (0x200, "H"), "header": (0x202, "4s"), "version": (0x206, "H"),
    "loadflags": (0x211, "B"), "initrd_addr_max": (0x22c, "I"), "kernel_alignment": (0x230, "I"),
    "relocatable_kernel": (0x234, "B"), "xloadflags": (0x236, "H"), "cmdline_size": (0x238, "I"),
    "pref_address": (0x258, "Q"), "init_size": (0x260, "I"),
}
GOOD_HEADER = {
    "setup_sects": 1, "syssize": 64, "boot_flag": 0xaa55, "jump": 0x6aeb, "header": b"HdrS",
    "version": 0x20f, "loadflags": 1, "initrd_addr_max": 0x7fffffff, "kernel_alignment": 0x200000,
    "relocatable_kernel": 1, "xloadflags": 3, "cmdline_size": 2047, "pref_address": 0x1000000,
    "init_size": 0x100000,
}


def bzimage(payload=1024, **changed):
    data = bytearray(1024) + b"\x90" * payload
    for name, value in {**GOOD_HEADER, **changed}.items():
        offset, form = SETUP_HEADER[name]
        struct.pack_into("<" + form, data, offset, value)
    return bytes(data)


def bzimage_seeds():
    return {
        "good": bzimage(),
        "truncated": bzimage()[:-1],
        "truncated-setup": bzimage()[:1000],
        "truncated-header": bzimage()[:0x230],
        "empty": b"",
        "signed": bzimage(payload=1500),
        "low": bzimage(pref_address=0x200000),
        "fixed": bzimage(relocatable_kernel=0, pref_address=0x123000),
        "fixed-nowhere": bzimage(relocatable_kernel=0, pref_address=0x1000),
        "pref-wraps": bzimage(pref_address=2**64 - 1),
        "large": bzimage(init_size=2**32 - 1),
        "tiny": bzimage(init_size=1),
        "alignment": bzimage(kernel_alignment=0x3000),
        "alignment-large": bzimage(kernel_alignment=2**31),
        "four-sectors": bzimage(payload=3072, setup_sects=0),
        "no-payload": bzimage(syssize=0),
        "syssize-large": bzimage(syssize=2**32 - 1),
        "short-header": bzimage(jump=0x62eb),
        "shortest-header": bzimage(jump=0x00eb),
        "old": bzimage(version=0x204),
        "bits-32": bzimage(xloadflags=0),
        "zimage": bzimage(loadflags=0),
        "initrd-low": bzimage(xloadflags=1, initrd_addr_max=0),
        "gzip": b"\x1f\x8b\x08" + bytes(61),
        "zboot": b"MZ\0\0zimg" + bytes(56),
        "arm64": b"MZ" + bytes(54) + b"ARM\x64" + bytes(4),
    }


# Steps of doorbells.c. BOOTED with the value MAILBOX: bit 5 of the access's first byte.
BOOTED, TEMPLATE, READY, PARK, DONE, CONSOLE = range(0, 24, 4)
GOOD = b"\x01" + struct.pack("<III", 0x20000, 0x40000, 0x60000) + b"\x00\x01\x00" * 2 + b"\x00\x01"


def ring(bell, value=None, how=0):
    if value is None:
        return bytes([3, how | 0x20, bell])
    return bytes([3, how, bell]) + struct.pack("<I", value)


def deliver(length):
    return b"\x02" + struct.pack("<H", length)


def doorbell_seeds():
    booted = GOOD + ring(BOOTED)
    template = booted + ring(TEMPLATE, 0)
    serving = template + deliver(8)
    ready = serving + ring(READY, 16) + b"\x00"
    return {
        "life": ready + ring(PARK, 0) + b"\x05\x00" + ring(READY, 1) + b"\x00" + ring(DONE, 3),
        "no-more-requests": ready + ring(PARK, 0) + b"\x00\x00",
        "sink-fails": serving + ring(READY, 16) + b"\x01",
        "park-fails": ready + ring(PARK, 0) + b"\x01\x00",
        "park-too-long": ready + ring(PARK, 0) + b"\xff\xff" + ring(READY, 0) + b"\x00",
        "console": booted + ring(CONSOLE, 200) + b"\x00" + ring(CONSOLE, 257),
        "answer-too-long": serving + ring(READY, 257) + ring(READY, 0xffffffff),
        "request-too-long": template + deliver(257),
        "order": ring(READY, 0) + booted + ring(PARK, 0) + ring(BOOTED) + ring(TEMPLATE, 0),
        "wild-mailbox": ring(BOOTED, 0xffffffc0) + ring(BOOTED, 0x1fffc0) + ring(BOOTED, 0x10001),
        "zero-mailbox": ring(BOOTED),
        "wild-areas": b"\x01" + b"\xff" * 20 + ring(BOOTED),
        "area-at-the-end": b"\x01" + struct.pack("<III", 0x1f0000, 0x1f0000, 0x1ff000)
                           + b"\x00\x00\x01" * 2 + b"\x00\x10" + ring(BOOTED),
        "no-areas": b"\x01" + b"\xff" * 12 + b"\0" * 8 + ring(BOOTED) + ring(TEMPLATE, 0)
                    + deliver(0) + ring(READY, 0) + b"\x00" + ring(DONE, 0),
        "spare": template + deliver(0xffff) + ring(READY, 0) + ring(CONSOLE, 0) + b"\x00"
                 + ring(PARK, 0) + b"\x05\x00" + ring(READY, 1) + b"\x00" + ring(PARK, 0) + b"\0\0",
        "spare-park-fails": template + deliver(0xffff) + ring(PARK, 0) + b"\x01\x00",
        "spare-frozen-early": booted + deliver(0xffff) + ring(TEMPLATE, 0) + ring(PARK, 0) + b"\0\0",
        "sizes": ring(BOOTED, 0, 1) + ring(BOOTED, 0, 2) + ring(BOOTED, 0, 4)
                 + ring(BOOTED, 0, 8 | 0x20) + ring(1, 0) + ring(24, 0),
        "rewrite-mailbox": template + b"\x00\x00\x00\x00\x38" + b"\xff" * 56 + deliver(3)
                           + ring(READY, 5) + b"\x00",
    }


# Steps of virtqueue.c. A start's byte: features from bit 28 up (2 bits), log2 of the queue's size.
INDIRECT, EVENT_IDX = 1, 2
F_NEXT, F_WRITE, F_INDIRECT = 1, 2, 4
ALL = b"\xfc"  # how a notification is handled: everything is completed at once
NOTIFY, FORK = b"\x04", b"\x07"


def start(features=0, log_size=3, more=0):
    return bytes([0, features | log_size << 2 | more])


def desc(index, addr, length, flags=0, follow=0, table=0):
    return bytes([2, index | table]) + struct.pack("<I", addr)[:3] + \
        struct.pack("<HBB", length, flags, follow)


def offer(*heads, log_size=3):
    return bytes([3, len(heads) | log_size << 3, *heads])


def index(value):
    return b"\x03\x40" + struct.pack("<H", value)


def register(offset, value):
    return bytes([6, 1, offset]) + struct.pack("<I", value)


def virtqueue_seeds():
    one = desc(0, 0x10000, 64, F_WRITE)
    both = desc(0, 0x10000, 16, F_NEXT, 1) + desc(1, 0x11000, 512, F_NEXT | F_WRITE, 2) + \
        desc(2, 0x12000, 1, F_WRITE)
    table = desc(0, 0x10000, 16, F_NEXT, 1, 0x80) + desc(1, 0x11000, 16, F_WRITE, 0, 0x80)
    three = one + desc(1, 0x11000, 64, F_WRITE) + desc(2, 0x12000, 64, F_WRITE)
    far = bytes([2, 0, 0, 0, 0, 4, 0, 0x82, 0]) + struct.pack("<Q", 0xffff)
    long = bytes([2, 0, 0, 0, 1, 0xff, 0xff, 0x42, 0, 0xff, 0xff])
    return {
        "good": start() + both + offer(0) + NOTIFY + ALL,
        "event-index": start(EVENT_IDX) + three + offer(0, 1, 2) + NOTIFY + ALL
                       + b"\x01\x14\x20\x02\x03\x00" + offer(0) + NOTIFY + ALL,
        "indirect": start(INDIRECT) + table + desc(0, 0x8008, 32, F_INDIRECT) + offer(0)
                    + NOTIFY + ALL,
        "indirect-not-negotiated": start() + table + desc(0, 0x8008, 32, F_INDIRECT) + offer(0)
                                   + NOTIFY + ALL,
        "indirect-in-indirect": start(INDIRECT) + desc(0, 0x8008, 16, F_INDIRECT, 0, 0x80)
                                + desc(0, 0x8008, 16, F_INDIRECT) + offer(0) + NOTIFY + ALL,
        "in-flight": start() + three + offer(0, 1, 2) + NOTIFY + b"\x00" + b"\x15" + b"\x25"
                     + offer(2) + NOTIFY + ALL,
        "fork": start(EVENT_IDX) + three + offer(0, 1) + NOTIFY + b"\x00" + offer(2) + FORK,
        "offered-twice": start() + one + offer(0, 0) + NOTIFY + ALL,
        "loop": start() + desc(0, 0x10000, 1, F_NEXT, 0) + offer(0) + NOTIFY + ALL,
        "head-outside": start() + offer(200) + NOTIFY + ALL,
        "next-outside": start() + desc(0, 0x10000, 1, F_NEXT, 8) + offer(0) + NOTIFY + ALL,
        "no-bytes": start() + desc(0, 0x10000, 0) + offer(0) + NOTIFY + ALL,
        "order": start() + desc(0, 0x10000, 1, F_NEXT | F_WRITE, 1) + desc(1, 0x10000, 1)
                 + offer(0) + NOTIFY + ALL,
        "far": start() + far + offer(0) + NOTIFY + ALL,
        "long": start() + long + offer(0) + NOTIFY + ALL,
        "too-many-segments": start() + desc(0, 0x10000, 1, F_NEXT, 1)
                             + desc(1, 0x10000, 1, F_NEXT, 2) + desc(2, 0x10000, 1, F_NEXT, 3)
                             + desc(3, 0x10000, 1) + offer(0) + NOTIFY + b"\x02",
        "index-jumps": start() + index(9) + NOTIFY + ALL,
        "index-back": start() + one + offer(0) + NOTIFY + ALL + index(0) + NOTIFY + ALL,
        "reset-in-flight": start() + one + offer(0) + NOTIFY + b"\x00" + register(0x70, 0)
                           + start() + offer(0) + NOTIFY + ALL,
        "stop-in-flight": start() + one + offer(0) + NOTIFY + b"\x00" + register(0x44, 0)
                          + b"\x15" + register(0x44, 1) + NOTIFY + ALL,
        "both-queues": start() + start(0, 3, 0xc0) + one + offer(0) + b"\x0c" + ALL,
        "too-large": start(0, 7), "layout": start(0, 3, 0x20) + register(0x44, 0)
        + register(0x80, 8) + register(0x44, 1),
        "config": b"\x06\x03\x00" + b"\x06\x23\x02\x41" + b"\x06\x3e\x00",
    }


# Steps of blk.c.
IN, OUT, FLUSH, GET_ID, DISCARD, ZEROES, UNKNOWN = 0, 1, 3, 4, 5, 6, 7
PIECES, MERGED, INDIRECTLY = 8, 16, 32
BLK_FORK = b"\x03"


def blk(kind, sector=0, sectors=0, seed=1, how=0, segments=1):
    return bytes([0, kind | how, segments - 1, sector, sectors, seed])


def blk_ranges(kind, *ranges, how=0):
    listed = b"".join(bytes([sector, sectors, 0]) for sector, sectors in ranges)
    return blk(kind, how=how) + bytes([len(ranges) - 1]) + listed


def blk_desc(index, addr, length, flags=0, follow=0):
    return bytes([5, index]) + struct.pack("<I", addr)[:3] + \
        struct.pack("<HBB", length, flags, follow)


def blk_offer(*heads):
    return bytes([6, len(heads), *heads])


def blk_seeds():
    write, read = blk(OUT, 16, 16), blk(IN, 0, 63)
    flush = b"\x04\x00\x60\x00\x10" + struct.pack("<IIQ", 4, 0, 0)
    header, status = blk_desc(0, 0x6000, 16, F_NEXT, 1), blk_desc(1, 0x6800, 1, F_WRITE)
    again = b"\x80\x00\x0a\x00\x00" + write[1:]
    return {
        "write-read": b"\x0b" + write + read,
        "polled": b"\x03" + write + read,
        "one-record": b"\x08" + write + read + write,
        "sectors": b"\x0b" + write + blk(OUT, 19, 1, 2) + blk(OUT, 126, 1, 3) + read
                   + blk(IN, 64, 63),
        "layouts": b"\x0b" + b"".join(
            blk(kind, 8, 20, how, how, segments) for how in range(0, 64, 8)
            for segments in (1, 7) for kind in (OUT, IN)),
        "others": b"\x0b" + blk(FLUSH) + blk(GET_ID, 0, 1) + blk(UNKNOWN, 0, 1),
        "ranges": b"\x0b" + blk(OUT, 0, 63) + blk_ranges(DISCARD, (8, 20), (40, 1))
                  + blk_ranges(ZEROES, (3, 5), (50, 9), (60, 0)) + read,
        "end": b"\x0b" + blk(OUT, 120, 7) + blk_ranges(DISCARD, (112, 15)) + blk(IN, 112, 15)
               + blk(OUT, 120, 8) + blk(IN, 127, 0) + blk(IN, 128, 0),
        "forks": b"\x0b" + write + BLK_FORK + blk(OUT, 20, 3, 5) + BLK_FORK
                 + blk_ranges(DISCARD, (16, 8)) + BLK_FORK + read,
        "cache": b"\x0b" + b"\x07\x23\x20\x00" + again + read,
        "no-status": b"\x03" + header[:-2] + b"\x00\x00" + flush + blk_offer(0) + write + read,
        "flush": b"\x03" + header + status + flush + blk_offer(0, 0) + write,
        "short-header": b"\x03" + blk_desc(0, 0x6000, 15, F_NEXT, 1) + status + blk_offer(0),
        "reset": b"\x03" + header + status + flush + blk_offer(0) + b"\x07\x01\x70\0\0\0\0"
                 + write + read,
    }


def request_seeds():
    return {
        "hello": b'{"op":"hello","protocol":1}\n',
        "hello-other": b'{"op":"hello","protocol":2,"tag":"a"}\n',
        "clone": b'{"op":"clone","tag":7,"answer":true,"request":"text","timeout_ms":1000}\n',
        "clone-b64": b'{"op":"clone","answer":true,"console":true,"session":true,'
                     b'"detach":false,"progress":true,"request_b64":"AAEC/w=="}\n',
        "spare": b'{"op":"clone","spare":"only"}\n{"op":"clone","spare":"none"}\n',
        "clone-batch": b'{"op":"clone","answer":true,"count":9,"at_once":2,"request":"a"}\n',
        "clone-each": b'{"op":"clone","requests":["a","","bc"],"tag":1}\n',
        "clone-each-b64": b'{"op":"clone","requests_b64":["YQ==","AAEC/w=="]}\n',
        "clone-both": b'{"op":"clone","request":"a","request_b64":"YQ=="}\n',
        "clone-unknown": b'{"op":"clone","timeout":1}\n',
        "list": b'{"op":"list","after":500}\n',
        "inspect": b'{"op":"inspect","id":1}\n',
        "kill": b'{"op":"kill","id":9223372036854775807}\n{"op":"kill","all":true}\n',
        "kill-neither": b'{"op":"kill"}\n',
        "stats-stop": b'{"op":"stats"}\n{"op":"stop"}\n',
        "freeze": b'{"op":"freeze","tag":"f"}\n{"op":"freeze","id":1}\n',
        "escapes": b'{"op":"clone","request":"\\u0000\\ud83d\\ude00\\"\\\\"}\n',
        "types": b'{"op":1}\n{"op":"clone","answer":1}\n{"op":"list","after":-1}\n[]\n1\n""\n',
        "duplicate": b'{"op":"stop","op":"stats"}\n',
        "not-json": b"GET / HTTP/1.0\r\n\r\n",
        "deep": b"[" * 300 + b"\n",
        "half": b'{"op":"clo',
        "base64": b"AAEC/w==",
    }


# Registers of a 16550A.
DATA, IER, FCR, LCR, MCR, LSR, MSR = range(7)
# What the backend does with a write; what is typed when there is space again.
TAKEN, REFUSE, FAIL = b"\x00", b"\x80", b"\xff"
NOTHING = b"\x00"


def port_out(reg, *values):
    """One OUT, or a string of them."""
    how = bytes([reg]) if len(values) == 1 else bytes([reg | 0x80, len(values)])
    return b"\x06" + how + bytes(values)


def port_in(reg):
    return b"\x04" + bytes([reg])


def serial_seeds():
    typed, ready, interrupt, clone, no_backend = b"\x00\x05", b"\x01", b"\x02", b"\x0b", b"\x03"
    fifos = port_out(FCR, 0x87) + NOTHING
    enabled = fifos + port_out(IER, 15)
    blocked = enabled + port_out(DATA, *b"abc") + REFUSE
    return {
        "print": port_out(DATA, 65) + TAKEN + fifos + port_out(DATA, *b"hello, world\r\n") + TAKEN,
        "type": enabled + typed + (interrupt + NOTHING) * 6,
        "priorities": enabled + port_out(MCR, 0x1f) + port_out(DATA, *b"0123456789abcde") * 2
                      + interrupt * 9,
        "blocked": blocked + port_out(DATA, *b"0123456789abcde") + ready + b"\x83" + REFUSE
                   + ready + TAKEN + interrupt,
        "fails": enabled + port_out(DATA, *b"abc") + b"\x81" + FAIL + port_out(DATA, 65),
        "clone": blocked + clone + TAKEN + interrupt + port_out(DATA, 65) + TAKEN,
        "clone-without": blocked + no_backend + interrupt + port_out(DATA, 65),
        "blocked-loopback": blocked + port_out(MCR, 0x10) + port_in(DATA) + port_out(DATA, 65)
                            + port_out(MCR, 0) + NOTHING,
        "blocked-clear": blocked + port_out(FCR, 5) + port_out(FCR, 0) + port_out(DATA, 65) + ready,
        "divisor": port_out(LCR, 0x83) + port_out(DATA, 1, 2) + port_out(IER, 0) + port_in(DATA)
                   + interrupt + port_out(LCR, 3),
        "wide": b"\x06\x18A\x0f\x07\x03" + TAKEN + b"\x04\x1f" + b"\x06\x97\x02AAAABBBB"
                + b"\x04\x90\x03" + port_in(LSR) + port_in(MSR),
    }


def overlay(blocks=8, flags=1, magic=0x3159414c52564b, block=4096, size=8 * 4096, above=1,
            lower=(0, 0, 0), origin=b"", bitmap=b"\x0a"):
    """For tests/fuzz/overlay.c: blocks of data, what to put in order, a header, a bitmap."""
    return struct.pack("<BB7Q", blocks - 1, flags, magic, block, size, above, *lower) + \
        origin.ljust(64, b"\0") + bitmap


def overlay_seeds():
    return {
        "good": overlay(),
        "odd-size": overlay(size=8 * 4096 - 512),
        "on-nothing": overlay(flags=0, above=0),
        "stale": overlay(flags=0, origin=b"/etc/hostname"),
        "on-itself": overlay(flags=2, above=2),
        "size-wraps": overlay(size=2**64 - 512),
        "size-of-another": overlay(size=4096),
        "other-magic": overlay(magic=1),
        "other-block": overlay(block=512),
        "above-what": overlay(above=3),
        "relative-origin": overlay(flags=0, origin=b"../fd/0"),
        "empty": b"",
    }


def main():
    seeds = {"blk": blk_seeds(), "bzimage": bzimage_seeds(), "doorbells": doorbell_seeds(),
             "elf": elf_seeds(), "overlay": overlay_seeds(), "request": request_seeds(),
             "serial": serial_seeds(),
             "virtqueue": virtqueue_seeds(), "vmlinux": vmlinux_seeds()}
    for target, inputs in seeds.items():
        folder = os.path.join(HERE, target)
        os.makedirs(folder, exist_ok=True)
        for name, data in inputs.items():
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
        print(f"{target}: {len(inputs)} seeds")


if __name__ == "__main__":
    main()
