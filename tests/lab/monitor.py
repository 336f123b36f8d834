#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Ask QEMU's monitor, on the Unix socket of the first argument, the commands that follow."""

import socket
import sys

PROMPT = b"(qemu) "
SECONDS = 5  # a machine that has stopped dead still has a monitor


def read_answer(connection):
    answer = b""
    while not answer.endswith(PROMPT):
        data = connection.recv(65536)
        if not data:
            break
        answer += data
    return answer.removesuffix(PROMPT).decode(errors="replace").replace("\r", "")


def main():
    path, *commands = sys.argv[1:]
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SECONDS)
        connection.connect(path)
        read_answer(connection)
        for command in commands:
            connection.sendall(command.encode() + b"\n")
            # The terminal echoes what is typed, in as many pieces as there are keys.
            print(command + read_answer(connection).partition("\n")[2].join(["\n", ""]), end="")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except OSError as error:
        sys.exit(f"monitor.py: {sys.argv[1]}: {error}")
