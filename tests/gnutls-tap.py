#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""What stands between a TLS client and the server of gnutls.sh.

gnutls-tap.py hold DIR       pass on one connection; keep the second waiting,
                             after DIR/held was made, until there is DIR/go
gnutls-tap.py capture DIR    pass on one connection; keep what the client
                             sends first on the second in DIR/flight
gnutls-tap.py replay DIR N   send DIR/flight in N connections at once, and
                             wait until the server has closed them all

The port of the server is in DIR/port when a connection comes; ours is put
into DIR/tap.  Each step gives up after a minute.
"""
import os
import select
import socket
import sys
import time

PATIENCE = 60  # seconds
SILENCE = 0.3  # seconds after which a client has said what it wants to say


def connect(directory):
    with open(os.path.join(directory, "port"), encoding="ascii") as port:
        address = ("127.0.0.1", int(port.read()))
    return socket.create_connection(address, PATIENCE)


def listen(directory):
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(PATIENCE)
    name = os.path.join(directory, "tap")
    with open(name + ".new", "w", encoding="ascii") as port:
        port.write("%d\n" % listener.getsockname()[1])
    os.rename(name + ".new", name)
    return listener


def read_some(peer):
    try:
        return peer.recv(65536)
    except ConnectionResetError:
        return b""


def pass_on(client, server):
    """Until one of them closes the connection."""
    peers = {client: server, server: client}
    while True:
        ready = select.select(list(peers), [], [], PATIENCE)[0]
        if not ready:
            sys.exit("the tap has waited for too long")
        for peer in ready:
            data = read_some(peer)
            if not data:
                return
            peers[peer].sendall(data)


def forward(client, directory):
    with client, connect(directory) as server:
        pass_on(client, server)


def hold(client, directory):
    with open(os.path.join(directory, "held"), "w", encoding="ascii"):
        pass
    deadline = time.monotonic() + PATIENCE
    while not os.path.exists(os.path.join(directory, "go")):
        if time.monotonic() > deadline:
            sys.exit("nobody said go")
        time.sleep(0.05)
    forward(client, directory)


def capture(client, directory):
    flight = b""
    client.settimeout(PATIENCE)
    with client, open(os.path.join(directory, "flight"), "wb") as out:
        try:
            while True:
                data = client.recv(65536)
                if not data:
                    break
                flight += data
                client.settimeout(SILENCE)
        except socket.timeout:
            pass
        out.write(flight)


def replay(directory, count):
    with open(os.path.join(directory, "flight"), "rb") as file:
        flight = file.read()
    servers = [connect(directory) for _ in range(count)]
    for server in servers:
        server.sendall(flight)
    for server in servers:
        server.shutdown(socket.SHUT_WR)
    for server in servers:
        while read_some(server):
            pass
        server.close()


def main():
    command, directory = sys.argv[1:3]
    if command == "replay":
        replay(directory, int(sys.argv[3]))
        return
    second = {"hold": hold, "capture": capture}[command]
    with listen(directory) as listener:
        forward(listener.accept()[0], directory)
        second(listener.accept()[0], directory)


main()
