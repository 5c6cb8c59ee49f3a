"""Opens connections, asks once over each, and holds them: hold.py HOST:PORT COUNT SECONDS.

Prints how many are open, and at the end how many still are. Many client addresses of 127.0.0.0/8, since each has no more than
its ports.
"""

import resource
import select
import socket
import sys
import time

EACH = 20_000

host, port = sys.argv[1].split(":")
count, seconds = int(sys.argv[2]), float(sys.argv[3])
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
request = f"GET /good HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
held = []
for number in range(count):
    connection = socket.socket()
    connection.bind((f"127.0.1.{1 + number // EACH}", 0))
    connection.connect((host, int(port)))
    connection.sendall(request)
    connection.recv(4096)
    held.append(connection)
print(len(held), flush=True)
time.sleep(seconds)
poll = select.poll()
for connection in held:
    poll.register(connection, select.POLLIN)
print(len(held) - len(poll.poll(0)))
