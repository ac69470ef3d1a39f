"""A slow wire: passes frames between two network devices, later, perhaps twice, perhaps in another order.

    wire.py DEVICE DEVICE DELAY_MS JITTER_MS DUPLICATE SEED

DUPLICATE is the share of frames sent twice, 0 to 1. PACKET_VNET_HDR keeps what the kernel left undone in a frame (segmentation,
checksum), so that it can finish on the other side.
"""
import heapq
import random
import select
import socket
import sys
import time

SOL_PACKET, PACKET_VNET_HDR, ETH_P_ALL, PACKET_OUTGOING = 263, 15, 3, 4
FRAME_MAX = 70000
QUEUE_MAX = 20000 # frames on their way; more are lost, as on any wire


def open_device(name):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    s.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    s.bind((name, ETH_P_ALL))
    s.setblocking(False)
    return s


def main():
    one, other = open_device(sys.argv[1]), open_device(sys.argv[2])
    delay, jitter, duplicate = float(sys.argv[3]) / 1000, float(sys.argv[4]) / 1000, float(sys.argv[5])
    rng = random.Random(int(sys.argv[6]))
    opposite = {one: other, other: one}
    waiting, count = [], 0
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, to, frame = heapq.heappop(waiting)
            try:
                to.send(frame)
            except OSError:
                pass # no buffer space, device gone: a lost frame
        timeout = max(0, waiting[0][0] - now) if waiting else None
        for s in select.select([one, other], [], [], timeout)[0]:
            try:
                frame, source = s.recvfrom(FRAME_MAX)
            except OSError:
                continue
            if source[2] == PACKET_OUTGOING:
                continue
            for _ in range(2 if rng.random() < duplicate else 1):
                if len(waiting) < QUEUE_MAX:
                    count += 1
                    heapq.heappush(waiting, (time.monotonic() + delay + rng.uniform(0, jitter), count, opposite[s], frame))


main()
