"""What the figures with real pods share: a cluster with a gateway, projects on it, and other machines' views of them.

Knows no figure and no target number.
"""

import base64
import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from cluster import TOOL, Cluster, free_instance  # noqa: E402
from harness import say, scratch  # noqa: E402

# Given, a cluster that is there already is used and left: for tries.
GIVEN = "NEUROCA_TEST_CLUSTER"


class Pods(Cluster):
    """A sealed cluster with pods and a gateway; its images hold the programs of `bin_dir`."""

    def __init__(self, name, bin_dir):
        self.given = os.environ.get(GIVEN)
        state = Path(self.given).parents[1] if self.given else scratch(f"cluster-{name}")
        self.gateway = os.environ.get("NEUROCA_TEST_GATEWAY") if self.given else f"10.245.{free_instance()}.2:80"
        super().__init__("sealed", state, CLUSTER_INSTANCE=self.gateway.split(".")[2], CLUSTER_PROGRAMS=str(bin_dir))

    def __enter__(self):
        if not self.given:
            return super().__enter__()
        self.kubeconfig = self.given
        return self

    def __exit__(self, *words):
        if not self.given:
            super().__exit__(*words)

    def shell(self, *words, check=True):
        """A command inside of the cluster's namespaces."""
        return subprocess.run([TOOL, "shell", *map(str, words)], env=self.environ, check=check, capture_output=True)

    def objects(self, namespace, kind, selector=""):
        return json.loads(self.kubectl("-n", namespace, "get", kind, "-l", selector, "-o", "json"))["items"]

    def access_log(self, host):
        """What the gateway itself noted of requests for this host: (second, pod's address, status)."""
        found = []
        for line in (self.state / "log" / "access.log").read_text(errors="replace").splitlines():
            # The last line may be half written.
            if f'"{host}"' in line and line.endswith("}"):
                noted = json.loads(line)
                address = noted.get("ServiceAddr", "").split(":")[0]
                found.append((seconds_of(noted["StartUTC"]), address, noted["DownstreamStatus"]))
        return found


class OnPods:
    """A project whose one environment is a namespace of the cluster, deployed to as the account of `rbac` may."""

    def __init__(self, pods, binary, name, rollout, component, more=None, files=None):
        self.pods, self.binary = pods, binary
        self.namespace = f"{name}-{os.getpid()}"
        self.host = f"{self.namespace}.example.com"
        self.dir = Path(tempfile.mkdtemp(prefix="prove-pods-"))
        gateway = {"name": "public", "namespace": "gateways", "hosts": [self.host], "address": pods.gateway}
        environment = {
            "project": "specimen",
            "target": "kubernetes",
            "kubernetes": {"namespace": self.namespace, "gateway": gateway},
            "rollout": {"watch": "0s", "deadline": "5m", "rollback_window": "1h", **rollout},
            "components": {**({"web": specimen(component)} if component is not None else {}), **(more or {})},
        }
        (self.dir / "environments").mkdir()
        (self.dir / "environments" / "staging.yaml").write_text(json.dumps(environment))
        for path, text in (files or {}).items():
            (self.dir / path).parent.mkdir(exist_ok=True)
            (self.dir / path).write_text(text)
        self.environ = {**os.environ, "KUBECONFIG": pods.kubeconfig, "HOME": str(self.dir)}
        self.released = 0

    def __enter__(self):
        try:
            self.admit()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # The policy stays, without anything that it would hold for: where a cluster's last one goes, its API server (1.34)
        # follows no lock for those that come later. The cluster itself is thrown away.
        self.pods.kubectl("delete", "namespace", self.namespace, "--wait=false", "--ignore-not-found", check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def admit(self):
        """What an administrator does once; from then on nobody here is one."""
        allowed = self.ok("rbac", "staging").stdout
        self.pods.kubectl("apply", "--server-side", "-f", "-", stdin=allowed)
        token = self.pods.kubectl("-n", self.namespace, "create", "token", "neuroca-deploy", "--duration", "8h").strip()
        config = json.loads(self.pods.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        config["users"] = [{"name": "deployer", "user": {"token": token}}]
        context = {"cluster": config["clusters"][0]["name"], "user": "deployer"}
        config["contexts"] = [{"name": "deployer", "context": context}]
        config["current-context"] = "deployer"
        file = self.dir / "deployer.kubeconfig"
        file.write_text(json.dumps(config))
        file.chmod(0o600)
        self.environ["KUBECONFIG"] = str(file)

    def argv(self, *words, machine="here"):
        """A command of the tool as it is given on one of several machines, each with a state folder of its own.

        All but the first one do not even see each other's processes.
        """
        words = [str(self.binary), "--project", str(self.dir), "--state-dir", str(self.dir / machine), *map(str, words)]
        apart = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", "--"]
        return words if machine == "here" else apart + words

    def run(self, *words, machine="here", timeout=300, env=None):
        return subprocess.run(
            self.argv(*words, machine=machine), env={**self.environ, **(env or {})}, capture_output=True, text=True,
            timeout=timeout, stdin=subprocess.DEVNULL,
        )  # fmt: skip

    def ok(self, *words, expect=0, **how):
        done = self.run(*words, **how)
        if done.returncode != expect:
            raise RuntimeError(f"{words} ended with {done.returncode}, not {expect}:\n{done.stdout}{done.stderr}")
        return done

    def start(self, *words, machine="here"):
        return subprocess.Popen(
            self.argv(*words, machine=machine), env=self.environ, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def kubectl(self, *words, stdin=None):
        """As the account that deploys, and as nobody else."""
        words = ["--kubeconfig", self.environ["KUBECONFIG"], "-n", self.namespace, *map(str, words)]
        return subprocess.run(
            [TOOL, "kubectl", "sealed", *words], env=self.pods.environ, input=stdin, capture_output=True, text=True
        )  # fmt: skip

    def status(self):
        return json.loads(self.ok("--json", "status", "staging").stdout)

    def rollout(self):
        return json.loads(self.ok("--json", "rollout", "status", "staging").stdout)


def seconds_of(text):
    """Since 1970, of a time in UTC with up to nine digits behind the second."""
    whole, _, rest = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{rest or 0}")


def specimen(settings):
    """The component: `tests/specimen` in its image."""
    env = {"SPECIMEN_HOST": "0.0.0.0", **settings.pop("env", {})}
    return {
        "artifact": "none",
        "command": ["./specimen"],
        "replicas": 2,
        "drain": "2s",
        "health": {"path": "/health/ready", "interval": "1s"},
        **settings,
        "env": {name: str(value) for name, value in env.items()},
        "kubernetes": {"image": "cluster.test/specimen:1", "cpu": "10m", "memory": "32MiB"},
    }


def sets(*settings):
    return [word for setting in settings for word in ("--set", setting)]


class Client:
    """Requests through the gateway, one after the other on kept connections, never one twice."""

    def __init__(self, project, threads=2, pause=0.004, path="/"):
        self.address, self.host, self.path = project.pods.gateway, project.host, path
        self.pause, self.over, self.lock = pause, threading.Event(), threading.Lock()
        # (when asked, when answered, version or None, what went wrong)
        self.answers = []
        self.threads = [threading.Thread(target=self.ask_on, daemon=True) for _ in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()

    def ask_on(self):
        address, port = self.address.split(":")
        connection = http.client.HTTPConnection(address, int(port), timeout=20)
        while not self.over.is_set():
            asked = time.time()
            version, wrong = None, None
            try:
                connection.request("GET", self.path, headers={"Host": self.host})
                answer = connection.getresponse()
                answer.read()
                version = answer.headers.get("x-nca-revision")
                wrong = None if answer.status == 200 else str(answer.status)
            except (OSError, http.client.HTTPException) as error:
                wrong = type(error).__name__
                connection.close()
            with self.lock:
                self.answers.append((asked, time.time(), version, wrong))
            time.sleep(self.pause)

    def failed(self):
        with self.lock:
            return [answer for answer in self.answers if answer[3]]

    def last_of(self, version):
        """When the last answer of a version came; nothing when there was none."""
        with self.lock:
            return max((answer[1] for answer in self.answers if answer[2] == version), default=None)

    def shares(self):
        with self.lock:
            counts = {}
            for _, _, version, wrong in self.answers:
                key = version if not wrong else f"failed: {wrong}"
                counts[key] = counts.get(key, 0) + 1
            return counts


def decoded(secret):
    return {name: base64.b64decode(value) for name, value in (secret.get("data") or {}).items()}


__all__ = ["Pods", "OnPods", "Client", "sets", "seconds_of", "specimen", "decoded", "say"]
