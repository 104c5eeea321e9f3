"""Programs that outlive a worker, and a worker that starts them, as sources."""

from __future__ import annotations

# Defines run_program() and die() for the code that is put after it.
WORKER = """
import os, signal, sys, threading, time
from datetime import timedelta
from pathlib import Path
from provisioner.host.interrupt import Interrupt, InterruptReason
from provisioner.host.process import run

for _ in range(30):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()

interrupt = Interrupt()

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def run_program(take):
    run(sys.argv[1:], cwd=Path.cwd(), environment={"PATH": os.environ["PATH"]},
        on_stdout=take, on_stderr=print, interrupt=interrupt,
        timeout=timedelta(minutes=1), grace=timedelta(minutes=1))
"""
DIE = "run_program(lambda line: die())"

# It dies of a broken pipe, as Go programs do, and tells what it lived to see.
PROGRAM = """
import os, signal, time
heard = []
def hear(*_):
    heard.append(1)
    os.write(1, b"heard\\n")
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGINT, hear)
print("ready", flush=True)
end = time.monotonic() + 1
while time.monotonic() < end:
    time.sleep(0.01)
print("x" * 1_000_000, flush=True)
with open("draft", "w") as report:
    report.write(str(len(heard)))
os.rename("draft", "report")
"""

# Hears no interrupt, and runs until the file go is there.
STUBBORN = """
trap '' INT
sleep 600 & echo $! $PPID > pids
echo ready
until [ -e go ]; do sleep .01; done
"""
