"""The compiled core against the Python codecs, for a minute: the same bytes, cut alike, the same messages and errors.

`make fuzz` runs this too. `SECONDS=5 python fuzz/core.py SEED` takes another time and another beginning. Prints the
seed of a round in which they differ, and the bytes.
"""

from __future__ import annotations

import os
import random
import sys
import time

from socketkit import _core
from support.oracle import NATIVE, compare, random_stream
from support.websocket_oracle import SETTINGS, compare_decoders, compare_sessions, random_frames


def main() -> None:
    """Compare until the time is over."""
    if not _core.native:
        sys.exit("the core is not compiled: there is nothing to compare")
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(2**32)
    end = time.monotonic() + float(os.environ.get("SECONDS", "60"))
    rounds = 0
    while time.monotonic() < end:
        dice = random.Random(seed + rounds)
        framing = dice.choice([*NATIVE, *SETTINGS])
        try:
            if isinstance(framing, str):
                compare(framing, random_stream(dice, framing), has_end=dice.random() < 0.8)
            else:
                pieces = random_frames(dice, framing)
                compare_decoders(framing, pieces)
                compare_sessions(framing, pieces)
        except BaseException:
            print(f"seed {seed + rounds}, {framing}", file=sys.stderr)
            raise
        rounds += 1
    print(f"core: {rounds} streams from seed {seed}: no difference")


if __name__ == "__main__":
    main()
