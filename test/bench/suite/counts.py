"""How much of each thing is done for one value."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """Counts of accesses are multiples of 16, as guests/exits.S wants them."""
    rounds: int         # unless somebody says otherwise
    round_trips: int    # accesses
    fakes: int          # accesses without KVM
    hand_overs: int     # accesses
    writes: int         # accesses; a multiple of 64
    of_each_vcpu: int   # accesses
    serial_bytes: int   # a multiple of 4,000
    echoes: int         # bytes, one after the other
    disk_reads: int     # requests
    console_chunks: int  # of 2 KiB
    frames: int
    steps: int
    conditions: int     # so many times a condition is looked at
    machines: tuple     # so many in one process
    window: int         # milliseconds that many machines are watched for
    instructions: bool = False  # time is counted in instructions, one a nanosecond


FULL = Counts(9, 2_400, 300_000, 10_000, 400_000, 20_000, 100_000, 500, 20_000, 20_000, 50_000, 2_000, 1_000, (1, 10, 100, 1000), 2_000)
QUICK = Counts(3, 2_400, 300_000, 3_200, 200_000, 4_800, 20_000, 200, 5_000, 5_000, 10_000, 500, 200, (1, 10, 100), 500)
# On an emulated processor each instruction is counted, so that little is enough; and it is slow.
EMULATED = Counts(3, 1_600, 16_000, 1_600, 32_000, 1_600, 20_000, 100, 1_000, 500, 1_000, 50, 20, (1, 10, 100), 500, instructions=True)
