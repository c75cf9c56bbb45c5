# SPDX-License-Identifier: BSD-2-Clause
"""Python's ssl as a client that comes back.

client.py PORT PAIRS: for each line "first" on standard input, visits the
server PAIRS times without a session; for each "again", as often with the
sessions of the first visits.  The server's answers go to standard output.
"""
import socket
import ssl
import sys

REQUEST = b"GET / HTTP/1.1\r\n\r\n"
PATIENCE_SECONDS = 20


def visit(context, port, pair, session):
    """Returns the session as it is after the answer: tickets come with it."""
    address = ("127.0.0.1", port)
    with socket.create_connection(address, PATIENCE_SECONDS) as raw:
        with context.wrap_socket(raw, server_hostname=f"pair{pair}.test",
                                 session=session) as tls:
            tls.sendall(REQUEST)
            answer = b"".join(iter(lambda: tls.recv(4096), b""))
            sys.stdout.write(answer.decode())
            sys.stdout.flush()
            return tls.session


def main():
    port, pairs = int(sys.argv[1]), int(sys.argv[2])
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    sessions = [None] * pairs
    for line in sys.stdin:
        if line.strip() == "first":
            sessions = [None] * pairs
        for pair in range(pairs):
            sessions[pair] = visit(context, port, pair, sessions[pair])


main()
