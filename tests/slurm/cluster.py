"""A Slurm of one controller and two nodes on this machine, without accounting, in a folder of its own.

The commands of Slurm read /etc/slurm unless SLURM_CONF says otherwise, and a job that is submitted with it loses it:
so /etc/slurm/slurm.conf is a link to this folder for as long as the cluster runs.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "srun", "scontrol", "scancel")
NODES = ("node1", "node2")
CPUS, MEMORY = 4, 12_000  # of a node, whatever the machine has; MB
LINKS = [Path("/etc/slurm", name) for name in ("slurm.conf", "gres.conf")]
START = 60  # seconds

CONFIGURATION = """\
ClusterName=convergent
SlurmctldHost={host}
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
ReturnToService=2
MinJobAge=3600
KillWait=5
SchedulerParameters=batch_sched_delay=0,sched_interval=5
GresTypes=gpu
NodeName=node1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs={cpus} RealMemory={memory} Gres=gpu:1
NodeName=node2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs={cpus} RealMemory={memory}
PartitionName=cpu Nodes=node1,node2 Default=YES MaxTime=INFINITE DefMemPerCPU=500
PartitionName=gpu Nodes=node1 MaxTime=INFINITE DefMemPerCPU=500
"""


@dataclass
class Cluster:
    """What runs; stopped by process id."""

    folder: Path
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, *command: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_node(self, node: str) -> None:
        self.start(node, "slurmd", "-D", "-N", node, "-f", str(self.folder / "slurm.conf"))

    def wait(self) -> None:
        """Until both nodes are idle; what went wrong otherwise."""
        end = time.monotonic() + START
        while time.monotonic() < end:
            dead = [name for name, process in self.processes.items() if process.poll() is not None]
            if dead:
                break
            states = subprocess.run(["sinfo", "-h", "-N", "-o", "%N %T"], capture_output=True, text=True, check=False)
            if {line for line in states.stdout.splitlines() if line.endswith(" idle")} >= {f"{n} idle" for n in NODES}:
                return
            time.sleep(0.2)
        logs = "\n".join(f"{path}:\n{path.read_text()[-2000:]}" for path in sorted(self.folder.glob("*.[lo]*")))
        raise RuntimeError(f"no Slurm after {START} s\n{logs}")

    def drain(self, node: str) -> None:
        """What an administrator does before a repair: what runs there goes on, nothing new begins."""
        self._update(node, "drain", "reason=repair")

    def resume(self, node: str) -> None:
        self._update(node, "resume")

    def _jobs(self) -> str:
        command = ["squeue", "--noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=self._own()).stdout

    def _own(self) -> dict[str, str]:
        """The environment of commands that must reach no Slurm but this one."""
        return os.environ | {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def _update(self, node: str, state: str, *more: str) -> None:
        subprocess.run(["scontrol", "update", f"nodename={node}", f"state={state}", *more], check=True)

    def stop(self) -> None:
        """End jobs, which would outlive the nodes' daemons, and then what `start` began."""
        if "slurmctld" in self.processes:
            subprocess.run(["scancel", "--state=PENDING"], check=False, env=self._own())
            subprocess.run(["scancel", "--full", "--signal=KILL", "--state=RUNNING"], check=False, env=self._own())
            end = time.monotonic() + START
            while self._jobs() and time.monotonic() < end:
                time.sleep(0.2)
        for name in reversed(list(self.processes)):  # the controller before munge
            process = self.processes.pop(name)
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def missing() -> list[str]:
    """The commands that are not there."""
    return [name for name in COMMANDS if shutil.which(name) is None]


@contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A cluster whose nodes are idle; it is stopped, and nothing of it left, whatever happens."""
    if "SLURM_CONF" in os.environ:
        raise RuntimeError(f"SLURM_CONF is {os.environ['SLURM_CONF']}: a Slurm is configured on this machine")
    folder.chmod(0o755)
    host = socket.gethostname().split(".")[0]
    user = "root" if os.getuid() == 0 else os.environ["USER"]
    text = CONFIGURATION.format(host=host, user=user, folder=folder, ports=_ports(3), cpus=CPUS, memory=MEMORY)
    (folder / "slurm.conf").write_text(text)
    device = folder / "gpu0"
    device.touch()
    (folder / "gres.conf").write_text(f"NodeName=node1 Name=gpu File={device}\n")
    for name in ("state", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    with (folder / "munge.key").open("wb") as file:
        file.write(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    linked: list[Path] = []
    cluster = Cluster(folder)
    try:
        for link in LINKS:
            if link.is_symlink() and "pytest" in os.readlink(link) and not _serves(link.resolve().parent):
                link.unlink()  # of a test that was killed
            if link.exists() or link.is_symlink():
                raise RuntimeError(f"{link} is there already: a Slurm is configured on this machine")
            link.symlink_to(folder / link.name)
            linked.append(link)
        munge = [f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "key-file", "pid-file")]
        munge += [f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]
        cluster.start("munged", "munged", "--foreground", "--force", *munge)
        while not (folder / "munge.socket").exists() and cluster.processes["munged"].poll() is None:
            time.sleep(0.05)
        cluster.start("slurmctld", "slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        for node in NODES:
            cluster.start_node(node)
        cluster.wait()
        yield cluster
    finally:
        cluster.stop()
        for link in linked:
            link.unlink()


def _serves(folder: Path) -> bool:
    """Whether the controller of a cluster in a folder is alive."""
    try:
        os.kill(int((folder / "slurmctld.pid").read_text()), 0)
    except (OSError, ValueError):
        return False
    return True


def _ports(count: int) -> list[int]:
    """Free ports."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
