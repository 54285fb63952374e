"""The client of the third origin: one room, lines, a prompt.

HOST PORT
"""

import select
import socket
import sys


def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.settimeout(2)
    try:
        server.connect((host, port))
    except OSError:
        show("Unable to connect\n")
        sys.exit(1)
    show("Connected to remote host. Start sending messages\n<You> ")
    while True:
        ready, _, _ = select.select([sys.stdin, server], [], [])
        if server in ready:
            data = server.recv(4096)
            if not data:
                show("\nDisconnected from chat server\n")
                sys.exit(1)
            show(data.decode() + "<You> ")
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            server.sendall(line.encode())
            show("<You> ")


main()
