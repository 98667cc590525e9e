"""What the figures of this area share: a control plane of their own, its API, and projects of manifests.

Knows no figure and no target number.
"""

import http.client
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import urllib.parse
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from harness import REPO, say, scratch  # noqa: E402

TOOL = REPO / "tests" / "cluster" / "cluster.sh"


class Cluster:
    """One of tests/cluster, in a folder of its own; gone at the end. `settings` are variables for its scripts."""

    def __init__(self, profile, state, **settings):
        self.profile, self.state = profile, Path(state)
        self.environ = {**os.environ, "CLUSTER_STATE": str(state), **settings}

    def __enter__(self):
        up = subprocess.run([TOOL, "up", self.profile], env=self.environ, check=True, stdout=subprocess.PIPE, text=True)
        self.kubeconfig = up.stdout.strip().splitlines()[-1]
        return self

    def __exit__(self, *_):
        subprocess.run([TOOL, "down", self.profile], env=self.environ, check=False, stdout=sys.stderr)

    def kubectl(self, *words, check=True, stdin=None):
        done = subprocess.run(
            [TOOL, "kubectl", self.profile, *map(str, words)], env=self.environ, capture_output=True, text=True, input=stdin
        )  # fmt: skip
        if check and done.returncode:
            raise RuntimeError(f"kubectl {words}: {done.stderr}")
        return done.stdout

    def api(self):
        config = json.loads(self.kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
        return Api(config["clusters"][0]["cluster"], config["users"][0]["user"])

    def project(self, binary, namespace):
        return Own(self, binary, namespace)


class ControlPlane(Cluster):
    """etcd, API server and controller manager, on ports of their own."""

    def __init__(self, name):
        super().__init__("light", scratch(f"cluster-{name}"))


class Sealed(Cluster):
    """A cluster with pods and a gateway, in namespaces of its own. It takes root."""

    def __init__(self, name):
        super().__init__("sealed", scratch(f"sealed-{name}"), CLUSTER_INSTANCE=str(free_instance()))


def free_instance():
    """A number that no other sealed cluster has."""
    free = [n for n in range(8, 0, -1) if not Path(f"/sys/class/net/nclu{n}").exists()]
    if not free:
        raise RuntimeError("there are eight sealed clusters already")
    return free[0]


class Api:
    """One connection to the API server, as the cluster's administrator."""

    def __init__(self, cluster, user):
        import base64

        files = tempfile.mkdtemp(prefix="prove-api-")
        try:
            paths = {}
            for key, text in (
                ("ca", cluster["certificate-authority-data"]),
                ("cert", user["client-certificate-data"]),
                ("key", user["client-key-data"]),
            ):
                paths[key] = Path(files) / key
                paths[key].write_bytes(base64.b64decode(text))
            self.context = ssl.create_default_context(cafile=paths["ca"])
            self.context.load_cert_chain(paths["cert"], paths["key"])
        finally:
            shutil.rmtree(files)
        self.server = urllib.parse.urlparse(cluster["server"])
        self.connection = self.connect()

    def connect(self, timeout=60):
        return http.client.HTTPSConnection(
            self.server.hostname, self.server.port, context=self.context, timeout=timeout
        )  # fmt: skip

    def ask(self, method, path, body=None, kind="application/json"):
        """(status, answer); the answer is JSON where the server says so."""
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, {"Content-Type": kind, "Accept": "application/json, */*"})
        answer = self.connection.getresponse()
        data = answer.read()
        is_json = (answer.headers.get("Content-Type") or "").startswith("application/json")
        return answer.status, json.loads(data) if is_json and data else data.decode(errors="replace")

    def requests_served(self):
        """How many requests the server has counted, without its own looking after itself and this look."""
        total = 0
        for line in self.ask("GET", "/metrics")[1].splitlines():
            if not line.startswith("apiserver_request_total{"):
                continue
            labels, value = line.rsplit(" ", 1)
            if 'resource="leases"' not in labels and "/metrics" not in labels and "/readyz" not in labels:
                total += float(value)
        return int(total)

    def watch(self, path, version):
        """Events after a version, as they come; on a connection of its own."""
        connection = self.connect(timeout=None)
        connection.request("GET", f"{path}?watch=1&allowWatchBookmarks=true&resourceVersion={version}")
        answer = connection.getresponse()
        while line := answer.readline():
            yield json.loads(line)


class Own:
    """A project of manifests alone, in a namespace of its own."""

    def __init__(self, plane, binary, name):
        self.plane, self.binary, self.namespace = plane, binary, name
        self.dir = Path(tempfile.mkdtemp(prefix="prove-own-"))
        (self.dir / "environments").mkdir()
        (self.dir / "kubernetes").mkdir()
        (self.dir / "environments" / "staging.yaml").write_text(
            f"project: own\ntarget: kubernetes\nkubernetes: {{namespace: {name}}}\ncomponents: {{}}\n"
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.dir, ignore_errors=True)

    def argv(self, *words):
        state = self.dir / "state"
        return [str(self.binary), "--project", str(self.dir), "--state-dir", str(state), *map(str, words)]

    def environ(self):
        return {**os.environ, "KUBECONFIG": self.plane.kubeconfig}

    def run(self, *words, expect=None):
        done = subprocess.run(self.argv(*words), env=self.environ(), capture_output=True, text=True)
        if expect is not None and done.returncode != expect:
            raise RuntimeError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done


def mixed(count, namespace, changed=None, without=0):
    """`count` objects of six kinds; one of them changed, the last ones left out."""
    kinds = ["ConfigMap"] * 5 + ["Service", "ServiceAccount", "Role", "RoleBinding", "Deployment"]
    objects = []
    for n in range(count - without):
        kind, name = kinds[n % len(kinds)], f"o-{n:05}"
        made = {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}}
        rbac = "rbac.authorization.k8s.io"
        if kind == "ConfigMap":
            made["data"] = {"key": "changed" if n == changed else "x" * 200}
        elif kind == "Service":
            made["spec"] = {"clusterIP": "None", "selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
        elif kind == "Role":
            made["apiVersion"] = f"{rbac}/v1"
            made["rules"] = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
        elif kind == "RoleBinding":
            made["apiVersion"] = f"{rbac}/v1"
            made["roleRef"] = {"apiGroup": rbac, "kind": "Role", "name": f"o-{n - 1:05}"}
            made["subjects"] = [{"kind": "ServiceAccount", "name": f"o-{n - 2:05}", "namespace": namespace}]
        elif kind == "Deployment":
            made["apiVersion"] = "apps/v1"
            container = {"name": "c", "image": "example.com/c:1", "resources": {"requests": {"cpu": "1000m"}}}
            made["spec"] = {
                "replicas": 0,
                "selector": {"matchLabels": {"app": name}},
                "template": {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}},
            }
        objects.append(made)
    return objects


PLURALS = {
    "ConfigMap": "configmaps", "Service": "services", "ServiceAccount": "serviceaccounts",
    "Role": "roles", "RoleBinding": "rolebindings", "Deployment": "deployments",
}  # fmt: skip


def folder_of(made):
    """The path of an object's kind in its namespace."""
    version = made["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return f"{root}/namespaces/{made['metadata']['namespace']}/{PLURALS[made['kind']]}"


def manifest(objects):
    """One file for all of them. JSON is YAML, and the first line says so to who guesses."""
    return "".join(f"---\n{json.dumps(made)}\n" for made in objects)


__all__ = ["ControlPlane", "Sealed", "Api", "Own", "mixed", "manifest", "folder_of", "say"]
