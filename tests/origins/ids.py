"""The client of the fourth origin: every typed line goes to the id that it asks for.

HOST PORT ID; the id is sent as it is, without a line end.
"""

import select
import socket
import sys


def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def main():
    host, port, own = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    server = socket.create_connection((host, port))
    server.sendall(own.encode())
    while True:
        ready, _, _ = select.select([sys.stdin, server], [], [])
        if server in ready:
            data = server.recv(1024)
            if not data:
                show("\nDisconnected from chat server\n")
                return
            show(data.decode() + "<You> ")
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            show("Please input remote id:")
            remote = sys.stdin.readline().strip()
            server.sendall((remote + "||" + line).encode())
            show("<You> ")


main()
