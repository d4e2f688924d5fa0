"""Runs a program between two pipes instead of on a socket, as ssh does: pipes.py PROGRAM... carries what comes on its own standard
input, a socket, to the program, and back. Ends when the program does, with its exit code."""
import os
import socket
import subprocess
import sys
import threading

process = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
connection = socket.socket(fileno=0)


def carry(read, write, end):
    try:
        while data := read():
            write(data)
    except OSError:
        pass  # the other side has left
    try:
        end()
    except OSError:
        pass


threading.Thread(target=carry, daemon=True, args=(
    lambda: connection.recv(65536), lambda data: os.write(process.stdin.fileno(), data), process.stdin.close)).start()
carry(lambda: os.read(process.stdout.fileno(), 65536), connection.sendall, lambda: connection.shutdown(socket.SHUT_WR))
code = process.wait()
connection.shutdown(socket.SHUT_RDWR)
os._exit(code)
