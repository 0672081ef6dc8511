"""Runs the cases of one group against a server: run.py GROUP HOST PORT CA [strict]

Says each case that fails on stdout, and at the end how many there were; fails if one did. What was
allowed but is not the best, and what is owed, is said as well, and fails too if it shall be strict.
"""

import importlib
import sys
import time
import traceback

from judge import CASES, NOTES
from peer import Peer, Violation

# Nothing waits for anything here but the network and the machine.
SLOW = 5


def main():
    group, host, port, ca, *strict = sys.argv[1:]
    Peer.where, Peer.ca = (host, int(port)), ca
    importlib.import_module(group)
    failed = 0
    for section, requirement, run, owed in CASES:
        NOTES.clear()
        reason = judged(run)
        if reason is None and NOTES and strict:
            reason = "; ".join(NOTES)
        if reason is not None and (strict or not owed):
            failed += 1
            print(f"FAILED section {section}: {requirement}: {reason}", flush=True)
        elif reason is not None or NOTES:
            print(f"noted in section {section}: {requirement}: {reason or '; '.join(NOTES)}")
    print(f"{len(CASES)} cases, {failed} failed")
    sys.exit(1 if failed else 0)


def judged(run):
    """What is wrong, if anything is."""
    begin = time.monotonic()
    try:
        run()
    except Violation as violation:
        return str(violation)
    except TimeoutError:
        return "nothing comes any more"
    except Exception:
        return traceback.format_exc()
    took = time.monotonic() - begin
    return f"took {took:.1f} s" if took > SLOW else None


main()
