#!/usr/bin/env python3
"""Records what a client program sends; the README in this folder says how to use it.

A listener plays the server: it greets, says a line now and then, and refuses every telnet option, or
grants those by which a client sends each key at once. The client runs in a terminal of its own, at
which a script types key by key. Every read of the listener is kept.
"""

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import termios
import time

GREETING = b"You're connected to the chatd chatserver\r\n"
DEADLINE = 10
# Without anybody's settings.
HOME = tempfile.mkdtemp()
# Nothing more comes, once it has been quiet for so long.
QUIET = 0.4
STEP = 0.01

ECHO, SGA = 1, 3
IAC, DONT, DO, WONT, WILL, SB, SE = 255, 254, 253, 252, 251, 250, 240

ENTER = b"\r"
ERASE = b"\x7f"
ESCAPE = b"\x1d"
INTERRUPT = b"\x03"

TALK = [b"hello" + ENTER, b"thex" + ERASE + b"re" + ENTER,
        "grüße, 语言".encode() + ENTER, ENTER]
QUIT = [b"/quit" + ENTER]
LINES = ["hello", "there", "grüße, 语言", "", "/quit"]

# For each client: the package it comes from, the command, the mode in words, what is typed (None: end
# of file), and how often that asks whether the server is there. `terminal` false: between pipes.
# `grant`: the listener echoes and suppresses go-aheads, if it is asked to.
CLIENTS = {
    "telnet-line": dict(
        package="inetutils-telnet", command="telnet 127.0.0.1 PORT",
        mode="line mode, in which it starts on any port but 23",
        keys=TALK + [ESCAPE, b"send ayt" + ENTER] + QUIT, ayt=1),
    "telnet-refused": dict(
        package="inetutils-telnet", command="telnet 127.0.0.1 PORT",
        mode="line mode; character mode was asked for by ^] mode character, and refused",
        keys=[ESCAPE, b"mode character" + ENTER] + TALK
        + [ESCAPE, b"send ayt" + ENTER] + QUIT, ayt=1),
    "telnet-character": dict(
        package="inetutils-telnet", command="telnet 127.0.0.1 PORT", grant=True,
        mode="character mode, by ^] mode character, and granted",
        keys=[ESCAPE, b"mode character" + ENTER] + TALK
        + [ESCAPE, b"send ayt" + ENTER] + QUIT, ayt=1),
    "telnet-keys": dict(
        package="inetutils-telnet", command="telnet 127.0.0.1 PORT", grant=True,
        mode="character mode, granted; ^] send ec, el, ip, brk, nop, synch, and toggle crlf",
        keys=[ESCAPE, b"mode character" + ENTER, b"hellox", ESCAPE, b"send ec" + ENTER, ENTER,
              b"nothing", ESCAPE, b"send el" + ENTER, b"the", ESCAPE, b"send nop" + ENTER,
              b"re" + ENTER, b"nothing", ESCAPE, b"send ip" + ENTER,
              "grüße, 语言".encode() + ENTER, b"nothing", ESCAPE, b"send brk" + ENTER,
              ESCAPE, b"toggle crlf" + ENTER, ENTER] + QUIT, ayt=0),
    "nc": dict(
        package="netcat-openbsd", command="nc 127.0.0.1 PORT", mode="in a terminal",
        keys=TALK + QUIT, ayt=0),
    "nc-crlf": dict(
        package="netcat-openbsd", command="nc -C 127.0.0.1 PORT", mode="CR LF, in a terminal",
        keys=TALK + QUIT, ayt=0),
    "nc-pipe": dict(
        package="netcat-openbsd", command="nc -N 127.0.0.1 PORT",
        mode="between pipes, all lines at once and then the end of file", terminal=False,
        keys=[b"hello\nthere\n" + "grüße, 语言".encode() + b"\n\n/quit\n", None], ayt=0),
    "busybox-line": dict(
        package="busybox", command="busybox telnet 127.0.0.1 PORT",
        mode="line mode, in which it starts",
        keys=TALK + QUIT, ayt=0),
    "busybox-refused": dict(
        package="busybox", command="busybox telnet 127.0.0.1 PORT",
        mode="line mode; character mode was asked for by ^C c, and refused",
        keys=[INTERRUPT, b"c"] + TALK + QUIT, ayt=0),
    "busybox-character": dict(
        package="busybox", command="busybox telnet 127.0.0.1 PORT", grant=True,
        mode="character mode, by ^C c, and granted",
        keys=[INTERRUPT, b"c"] + TALK + QUIT, ayt=0),
    "plink-telnet": dict(
        package="putty-tools", command="plink -telnet -P PORT 127.0.0.1",
        mode="telnet; it negotiates at once, and was refused",
        keys=TALK + QUIT, ayt=0),
    "plink-character": dict(
        package="putty-tools", command="plink -telnet -P PORT 127.0.0.1", grant=True,
        mode="telnet; it negotiates at once, and was granted to send each key by itself",
        keys=TALK + QUIT, ayt=0),
    "plink-raw": dict(
        package="putty-tools", command="plink -raw -P PORT 127.0.0.1", mode="raw",
        keys=TALK + QUIT, ayt=0),
    "socat": dict(
        package="socat", command="socat - TCP:127.0.0.1:PORT", mode="in a terminal",
        keys=TALK + QUIT, ayt=0),
    "socat-raw": dict(
        package="socat", command="socat -,raw,echo=0 TCP:127.0.0.1:PORT",
        mode="each key by itself", keys=TALK + QUIT, ayt=0),
    "socat-crlf": dict(
        package="socat", command="socat - TCP:127.0.0.1:PORT,crnl",
        mode="CR LF, in a terminal", keys=TALK + QUIT, ayt=0),
    "tintin": dict(
        package="tintin++", command="tt++ -G", mode="a session, opened by #session",
        keys=[b"#session chatd 127.0.0.1 PORT" + ENTER] + TALK + QUIT, ayt=0),
}


class Listener:
    """The server's side: keeps what comes, answers options."""

    def __init__(self, grant):
        self.grant = grant
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.connection = None
        self.exchange = []
        self.pending = b""
        self.answered = set()

    def accept(self):
        self.connection, _ = self.socket.accept()
        self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.say(GREETING)

    def say(self, data):
        self.exchange.append(("server", data))
        self.connection.sendall(data)

    def read(self):
        data = self.connection.recv(4096)
        if data:
            self.exchange.append(("client", data))
            self.answer(data)
        return data

    def answer(self, data):
        self.pending += data
        answer = b""
        while (start := self.pending.find(IAC)) >= 0:
            command = self.pending[start:]
            if len(command) < 2 or (command[1] in (DO, WILL) and len(command) < 3):
                break
            if command[1] == SB:
                end = command.find(bytes([IAC, SE]))
                if end < 0:
                    break
                self.pending = command[end + 2:]
                continue
            if command[1] in (DO, WILL) and command[1:3] not in self.answered:
                self.answered.add(command[1:3])
                granted = self.grant and command[2] in (ECHO, SGA)
                verb = {DO: (WONT, WILL), WILL: (DONT, DO)}[command[1]][granted]
                answer += bytes([IAC, verb, command[2]])
            self.pending = command[3 if command[1] >= WILL and command[1] < IAC else 2:]
        else:
            self.pending = b""
        if answer:
            self.say(answer)


def start(command, terminal):
    """The process, and a descriptor that is its keyboard and one that is its screen."""
    environment = dict(os.environ, TERM="vt100", LC_ALL="C.UTF-8", HOME=HOME)
    if not terminal:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   env=environment)
        return process.pid, process.stdin.fileno(), process.stdout.fileno(), process
    pid, terminal = pty.fork()
    if pid == 0:
        os.execvpe(command[0], command, environment)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    return pid, terminal, terminal, None


def record(name, client):
    listener = Listener(client.get("grant", False))
    fill = lambda word: word.replace("PORT", str(listener.port))
    command = [fill(word) for word in client["command"].split()]
    pid, keyboard, screen, process = start(command, client.get("terminal", True))
    keys = [key and key.replace(b"PORT", str(listener.port).encode()) for key in client["keys"]]
    open_screen, seen, typing = True, b"", []
    quiet_since = time.monotonic()
    deadline = quiet_since + DEADLINE + len(keys)
    while time.monotonic() < deadline:
        watched = [listener.socket] if listener.connection is None else [listener.connection]
        ready, _, _ = select.select(watched + [screen] * open_screen, [], [], STEP)
        if ready:
            quiet_since = time.monotonic()
        if listener.socket in ready:
            listener.accept()
        if listener.connection in ready and not listener.read():
            break
        if screen in ready:
            try:
                seen += (shown := os.read(screen, 4096))
                open_screen = bool(shown)
            except OSError:
                open_screen = False
        if typing and not ready:
            os.write(keyboard, typing.pop(0))
            quiet_since = time.monotonic()
        if typing or time.monotonic() - quiet_since < QUIET:
            continue
        if listener.exchange and listener.exchange[-1][0] == "client" and keys[:1] != [None]:
            if b"/quit" in b"".join(data for side, data in listener.exchange if side == "client"):
                break
            listener.say(b"[plato] I hear you\r\n")
        elif keys:
            key = keys.pop(0)
            if key is None:
                process.stdin.close()
            else:
                singly = client.get("terminal", True)
                typing = [bytes([byte]) for byte in key] if singly else [key]
        else:
            break
        quiet_since = time.monotonic()
    if listener.connection is None:
        sys.exit(f"{name} did not connect: {seen.decode(errors='replace')}")
    listener.connection.close()
    try:
        os.kill(pid, signal.SIGTERM)
        os.waitpid(pid, 0)
    except (ProcessLookupError, ChildProcessError):
        pass
    return listener.exchange


def escaped(data):
    """As the test reads it; no quote may stand in it."""
    names = {9: "\\t", 10: "\\n", 13: "\\r", 92: "\\\\"}
    plain = lambda byte: 32 <= byte < 127 and byte not in (34, 39, 92)
    return "".join(names.get(byte) or (chr(byte) if plain(byte) else "\\x%02x" % byte)
                   for byte in data)


def version(package):
    query = ["dpkg-query", "-W", "-f", "${Version}", package]
    return subprocess.run(query, stdout=subprocess.PIPE, check=True).stdout.decode()


def typed(keys):
    return ", ".join("end of file" if key is None else escaped(key) for key in keys)


def write(name, client, exchange):
    lines = ", ".join('"%s"' % line for line in LINES)
    with open(os.path.join(os.path.dirname(__file__) or ".", name + ".toml"), "w") as out:
        out.write(f"program = \"{client['command'].split()[0]}, "
                  f"Debian's {client['package']} {version(client['package'])}\"\n")
        out.write(f"command = \"{client['command']}\"\n")
        out.write(f"mode = \"{client['mode']}\"\n")
        out.write(f"typed = '{typed(client['keys'])}'\n")
        out.write(f"made = \"python3 tests/conformance/record.py {name}\"\n")
        out.write(f"date = {time.strftime('%Y-%m-%d')}\n\n")
        out.write("# What it means.\n")
        out.write(f"lines = [{lines}]\nare_you_there = {client['ayt']}\n\n")
        out.write("# What it sent, and the server that it was recorded with; one entry a read.\n")
        out.write("exchange = [\n")
        for side, data in exchange:
            out.write(f"    {{ {side} = '{escaped(data)}' }},\n")
        out.write("]\n")


def main():
    names = sys.argv[1:] or sorted(CLIENTS)
    for name in names:
        exchange = record(name, CLIENTS[name])
        write(name, CLIENTS[name], exchange)
        print(name, sum(len(data) for side, data in exchange if side == "client"), "bytes")


main()
