"""A FUSE file system that answers INIT, GETATTR and ACCESS, and nothing else; its process makes it its root."""
import os
import struct
import subprocess
import sys
import time

place = sys.argv[1]
fuse = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={fuse},rootmode=40000,user_id=0,group_id=0,allow_other"
server = os.fork()
if server == 0:
    while True:
        try:
            request = os.read(fuse, 1 << 17)
        except PermissionError:  # not mounted yet
            time.sleep(0.01)
            continue
        _, opcode, unique = struct.unpack_from("<IIQ", request)
        if opcode == 26:  # FUSE_INIT
            body = struct.pack("<IIIIHHIIHH8I", 7, 31, 0, 0, 8, 6, 4096, 1, 1, 0, *[0] * 8)
        elif opcode == 3:  # FUSE_GETATTR of a directory
            body = struct.pack("<QIIQQQQQQIIIIIIIIII", 3600, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o40755, 2, 0, 0, 0, 4096, 0)
        elif opcode == 34:  # FUSE_ACCESS is not served: the kernel asks no more
            os.write(fuse, struct.pack("<IiQ", 16, -38, unique))
            continue
        else:
            continue
        os.write(fuse, struct.pack("<IiQ", 16 + len(body), 0, unique) + body)
subprocess.run(["mount", "-i", "-t", "fuse", "tw-chaos", place, "-o", options], pass_fds=[fuse], check=True)
os.chroot(place)
while True:
    time.sleep(1)
