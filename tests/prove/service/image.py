"""The service as its image holds it: scripts/image.sh makes the folder, and this runs what is in it as a container engine
would, with that folder as a root that cannot be written to, as a user who is not root. Needs root and util-linux.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import harness
import nca

# A shell of the machine and not of the image: it is gone when the executable starts, under the same pid. Its mounts
# are its own and go with it; /dev and /proc are what every engine adds.
RUN = r"""#!/bin/sh
exec unshare --mount --propagation private /bin/sh -c '
    mount --bind "$0" "$0" && mount --bind "$1" "$0/data" && mount --bind /proc "$0/proc" &&
        mount -t tmpfs -o mode=755 dev "$0/dev" && mknod -m 666 "$0/dev/null" c 1 3 && mknod -m 444 "$0/dev/random" c 1 8 &&
        mknod -m 444 "$0/dev/urandom" c 1 9 &&
        mount -o remount,bind,ro "$0" || exit 70
    root=$0; shift
    exec setpriv --no-new-privs --clear-groups "$(command -v unshare)" \
        --root "$root" --wd /data --setgid 65532 --setuid 65532 /neuroca "$@"
' '{root}' '{data}' "$@"
"""


class Image:
    """The folder, and the program that runs what is in it."""

    def __init__(self):
        if os.getuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
            sys.exit("prove: the image is looked at as root, with unshare and setpriv (Debian: util-linux)")
        self.root = nca.image()
        for name in ("dev", "proc"):
            (self.root / name).mkdir(exist_ok=True)
        self.data = harness.scratch("data")
        os.chown(self.data, 65532, 65532)
        self.program = harness.scratch("run") / "neuroca"
        self.program.write_text(RUN.replace("{root}", str(self.root)).replace("{data}", str(self.data)))
        self.program.chmod(0o755)

    def files(self):
        return sorted(path for path in self.root.rglob("*") if path.is_file())

    def size(self):
        return sum(path.stat().st_size for path in self.files())

    def is_static(self):
        told = subprocess.run(["ldd", self.root / "neuroca"], capture_output=True, text=True)
        return "statically linked" in told.stdout or "not a dynamic executable" in told.stderr + told.stdout

    def database(self):
        """Where a file can be, as the process sees it."""
        return "sqlite:///data/nca.db"

    def verbs(self):
        """What each verb came to, and who the process is: {what: whether it is so}."""
        database = self.database()
        with nca.Service(self.program, database) as service:
            client = nca.Client(service.port)
            made, memory = client.ask("POST", "/v1/memories", {"content": "kept in a container", "tier": "long_term"})
            status = Path(f"/proc/{service.process.pid}/status").read_text()
            worker = service.spawn("worker")
            _, task = client.ask("POST", "/v1/consolidations")
            harness.until(
                "the worker's work", lambda: client.ask("GET", f"/v1/consolidations/{task['id']}")[1]["state"] == "done", 60
            )
            worker.terminate()
            seen = {
                "serve": made == 201 and client.ask("GET", f"/v1/memories/{memory['id']}")[0] == 200,
                "worker": worker.wait(timeout=60) == 0,
                "keys": "nca." in service.run("keys", "create", "--tenant", "a", "--name", "k", "--role", "agent"),
                "openapi": '"openapi"' in service.run("openapi"),
                "user_is_65532": "\nUid:\t65532\t65532\t65532\t65532\n" in status,
                "no_capabilities": "\nCapEff:\t0000000000000000\n" in status,
                "no_shell": not any(path.name in ("sh", "bash", "busybox") for path in self.files()),
            }
            service.stop()
            seen["stops_with_0"] = service.process.returncode == 0
        try:
            nca.Service(self.program, "sqlite:///elsewhere.db")
            seen["root_is_read_only"] = False
        except RuntimeError as error:
            harness.say(f"outside of /data: {str(error).strip()}")
            seen["root_is_read_only"] = not (self.root / "elsewhere.db").exists()
        return seen
