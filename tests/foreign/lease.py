"""Holds files so that whoever opens one waits, as on a file system that hangs.

Takes a write lease on each file that it is given (fcntl(2)) and does not give it up when the kernel
asks for it. Says `held` when it has all of them, `asked` when somebody waits, and ends with its
stdin.
"""

import fcntl
import os
import signal
import sys


def asked(_signal, _frame):
    os.write(1, b"asked\n")


signal.signal(signal.SIGIO, asked)
files = [os.open(path, os.O_RDWR) for path in sys.argv[1:]]
for file in files:
    fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
os.write(1, b"held\n")
sys.stdin.read()
