"""The client of the second origin: every typed line goes to one room, as a frame.

HOST PORT; the room is asked for.
"""

import select
import socket
import sys


def show(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def send(server, room, text):
    server.sendall("<RID:{0}>{1}</RID:{0}>".format(room, text).encode())


def main():
    host, port = sys.argv[1], int(sys.argv[2])
    show("<Room ID> ")
    room = int(sys.stdin.readline())
    server = socket.create_connection((host, port))
    send(server, room, "")
    show("<You> ")
    while True:
        ready, _, _ = select.select([sys.stdin, server], [], [])
        if server in ready:
            data = server.recv(4096)
            if not data:
                show("\nDisconnected from chat server\n")
                return
            show(data.decode() + "<You> ")
        if sys.stdin in ready:
            line = sys.stdin.readline()
            if not line:
                return
            send(server, room, line)
            show("<You> ")


main()
