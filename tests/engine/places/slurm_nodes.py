"""A real Slurm of two nodes on this machine, in a folder of its own."""

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

_PROGRAMS = ("munged", "sbatch", "slurmctld", "slurmd")

_CONFIG = """
ClusterName=test
SlurmctldHost=localhost
SlurmctldPort={ports[0]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SlurmctldPidFile={folder}/ctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/spool-%n
StateSaveLocation={folder}/state
SlurmctldLogFile={folder}/ctld.log
SlurmdLogFile={folder}/%n.log
SlurmdTimeout=20
MessageTimeout=60
UnkillableStepTimeout=600
KillWait=2
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,bf_interval=2,sched_interval=2
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
NodeName=n[1-2] NodeHostname=localhost NodeAddr=127.0.0.1 Port=[{ports[1]}-{ports[2]}] CPUs=1 State=UNKNOWN
NodeName=n3 NodeHostname=localhost NodeAddr=127.0.0.1 Port={ports[3]} CPUs=2 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=urgent Nodes=n[1-2] MaxTime=60 State=UP PriorityTier=10
PartitionName=wide Nodes=n3 MaxTime=60 State=UP PriorityTier=1
"""


class SlurmNodes:
    """The cluster: partition `main` is the default one, and jobs in `urgent` preempt its jobs.

    Partition `wide` has a node of two CPUs, which a test starts if it needs it.
    """

    def __init__(self, folder: Path) -> None:
        """Start the controller and both nodes, and wait until they are idle."""
        self._folder = folder
        self.config = folder / "slurm.conf"
        first = _free_ports(4)
        self.config.write_text(_CONFIG.format(folder=folder, ports=range(first, first + 4)))
        for name in ("state", "spool-n1", "spool-n2", "spool-n3"):
            (folder / name).mkdir()
        _start_munge()
        os.environ["SLURM_CONF"] = str(self.config)
        self._call("slurmctld", "-f", str(self.config))
        for node in ("n1", "n2"):
            self.start(node)

    def start(self, node: str) -> None:
        """Start a node, and wait until it is idle."""
        self._call("slurmd", "-N", node, "-f", str(self.config))
        end = time.monotonic() + 120
        while set(self.ask("sinfo", "--noheader", f"--nodes={node}", "--format=%T").split()) != {"idle"}:
            assert time.monotonic() < end, (self._folder / "ctld.log").read_text()
            time.sleep(0.5)

    def kill(self, node: str) -> None:
        """Kill a node with all that runs on it."""
        jobs = self.ask(
            "squeue", "--noheader", f"--nodelist={node}", "--states=running,completing", "--format=%A"
        ).split()
        pid = self._folder / f"{node}.pid"
        os.kill(int(pid.read_text()), signal.SIGKILL)
        pid.unlink()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                command = (process / "cmdline").read_bytes().decode(errors="replace")
                environment = (process / "environ").read_bytes()
            except OSError:
                continue
            # Another process of pytest may have a cluster of its own, whose nodes and jobs have the same numbers.
            if f"SLURM_CONF={self.config}".encode() not in environment:
                continue
            steps = re.match(r"slurmstepd: \[(\d+)\.", command)
            if (steps and steps[1] in jobs) or f"SLURMD_NODENAME={node}".encode() in environment:
                os.kill(int(process.name), signal.SIGKILL)

    def hurry(self) -> None:
        """Start without its usual delay what Slurm has queued again."""
        for job in self.ask("squeue", "--noheader", "--states=pending", "--format=%A %r").splitlines():
            if job.endswith(" BeginTime"):
                self.ask("scontrol", "update", f"jobid={job.split()[0]}", "starttime=now")

    def ask(self, *command: str) -> str:
        """Return what one of Slurm's programs prints."""
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def stop(self) -> None:
        """End all daemons and jobs."""
        for node in ("n1", "n2", "n3"):
            if (self._folder / f"{node}.pid").exists():
                self.kill(node)
        os.kill(int((self._folder / "ctld.pid").read_text()), signal.SIGTERM)
        del os.environ["SLURM_CONF"]

    def _call(self, *command: str) -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def require_slurm() -> None:
    """Skip the test where Slurm cannot be started; in CI that is a failure."""
    missing = [program for program in _PROGRAMS if shutil.which(program) is None]
    if not missing and os.geteuid() == 0:
        return
    reason = f"needs {' '.join(missing) or 'to be root'}"
    if os.environ.get("NORMBENCH_REQUIRE_OPTIONAL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def _start_munge() -> None:
    """Start the service with which Slurm's programs recognise each other, unless it runs."""
    if subprocess.run(["munge", "-n"], capture_output=True, check=False).returncode == 0:
        return
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge")
    # Another process of pytest may have started it meanwhile.
    subprocess.run(["runuser", "-u", "munge", "--", "munged"], check=False, capture_output=True)
    subprocess.run(["munge", "-n"], check=True, capture_output=True)


def _free_ports(count: int) -> int:
    """Return the first of some free ports in a row, in a range of this process of pytest."""
    start = 17000 + 50 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    for first in range(start, start + 50, count):
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise AssertionError("no free ports")
