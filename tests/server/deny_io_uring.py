"""Runs a program under a seccomp filter that refuses one system call, by number, with EPERM.

The default profiles of container runtimes refuse those of io_uring: 425 to 427, the same on every
architecture but Alpha. Nothing but the standard library.
Usage: deny_io_uring.py NUMBER PROGRAM [ARGUMENT]...
"""

import ctypes
import errno
import os
import struct
import sys

# prctl(2), seccomp(2), linux/filter.h.
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
SECCOMP_RET_ERRNO = 0x0005_0000
SECCOMP_RET_ALLOW = 0x7FFF_0000
LOAD_WORD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
DENIED = int(sys.argv[1])

PROGRAM = [
    # The number of the system call is the first word of struct seccomp_data.
    (LOAD_WORD, 0, 0, 0),
    (JUMP_IF_EQUAL, 0, 1, DENIED),
    (RETURN, 0, 0, SECCOMP_RET_ERRNO | errno.EPERM),
    (RETURN, 0, 0, SECCOMP_RET_ALLOW),
]


class Filter(ctypes.Structure):
    """struct sock_fprog"""

    _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def prctl(option, first, second):
    libc = ctypes.CDLL(None, use_errno=True)
    arguments = (ctypes.c_ulong(first), second, ctypes.c_ulong(0), ctypes.c_ulong(0))
    if libc.prctl(option, *arguments) != 0:
        raise OSError(ctypes.get_errno(), f"prctl {option}")


code = b"".join(struct.pack("HBBI", *instruction) for instruction in PROGRAM)
prctl(PR_SET_NO_NEW_PRIVS, 1, ctypes.c_ulong(0))
prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(Filter(len(PROGRAM), code)))
os.execv(sys.argv[2], sys.argv[2:])
