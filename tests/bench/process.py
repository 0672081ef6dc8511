"""Processes of the benchmark: started on one core, measured with their children, ended by pid.

Owns CPU time, resident memory and life of what it started, and touches nothing else on the
machine. Refuses to know what a process is for.
"""

import os
import resource
import signal
import socket
import subprocess
import time

START_TIME_MAX = 20.0
STOP_TIME_MAX = 5.0


def raise_file_limit(wanted):
    """As many open files as the run needs, if the machine lets us; what children inherit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, max(wanted, hard)))
    except (ValueError, PermissionError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def start(command, core, log=None, **pipes):
    """Starts a command on one core, in a process group of its own."""
    def settle_in():
        if core is not None:
            os.sched_setaffinity(0, {core})
    output = pipes or {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
    return subprocess.Popen(command, preexec_fn=settle_in, start_new_session=True, **output)


def stop(process):
    """Ends what was started as `process`: kindly, so that it ends its own children, then all."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=STOP_TIME_MAX)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def free_port():
    """A TCP port of loopback that nobody had a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(process, port):
    """Waits until the port is open; false if the process ended or the time is over."""
    deadline = time.monotonic() + START_TIME_MAX
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return True
        except OSError:
            time.sleep(0.05)
    return False


def tree(pid):
    """The process and all its descendants that are alive."""
    found = [pid]
    for parent in found:
        try:
            for thread in os.listdir(f"/proc/{parent}/task"):
                with open(f"/proc/{parent}/task/{thread}/children", encoding="ascii") as file:
                    found.extend(int(child) for child in file.read().split())
        except FileNotFoundError:
            continue
    return found


def cpu_ns(pids):
    """User and system time of all these processes, with the threads that have ended, in ns.

    This is the clock of `clock_getcpuclockid(3)`, whose number is made of the process's: the
    kernel's own sum of run times, not the ten milliseconds of `/proc/PID/stat`.
    """
    return sum(time.clock_gettime_ns((~pid << 3) | 2) for pid in pids)


def settled_cpu_ns(pids):
    """The same as soon as it has stopped moving: what is still being closed is counted too."""
    last, quiet = cpu_ns(pids), 0
    for _ in range(100):
        time.sleep(0.01)
        now = cpu_ns(pids)
        quiet = quiet + 1 if now - last < 50_000 else 0
        last = now
        if quiet == 3:
            break
    return last


def resident_bytes(pids):
    """Resident memory of all these processes; what they share is counted once for each."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            total += int(file.read().split()[1]) * resource.getpagesize()
    return total
