"""Runs the embedding program, connects to the port that it listens on, and shows what its guest sends.

client.py PROGRAM"""
import re
import socket
import subprocess
import sys
import threading

SECONDS = 60

program = subprocess.Popen([sys.argv[1], "tcp:127.0.0.1:0"], stderr=subprocess.PIPE, text=True)
watchdog = threading.Timer(SECONDS, program.kill)
watchdog.start()
try:
    lines = []
    port = None
    while port is None:
        line = program.stderr.readline()
        if not line:
            sys.exit(f"the program ended without a port: {''.join(lines)}")
        lines.append(line)
        port = re.search(r"serial0 listens on tcp:127\.0\.0\.1:(\d+)$", line)
    with socket.create_connection(("127.0.0.1", int(port[1])), timeout=SECONDS) as client:
        output = b"".join(iter(lambda: client.recv(4096), b""))
    lines += program.stderr.readlines()
    if program.wait(SECONDS) != 0:
        sys.exit(f"exit code {program.returncode}: {''.join(lines)}")
    sys.stdout.write(output.decode())
finally:
    watchdog.cancel()
    program.kill()
    program.wait()
