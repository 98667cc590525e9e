//! Whoever drives is killed, or stopped and woken up too late; somebody goes on elsewhere. All kinds of effects are killed
//! at by figure 4 of `tests/prove/kubernetes`.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::project::{Project, told};

const TWO: [&str; 6] = [
    "apply",
    "staging",
    "-y",
    "--set",
    "components.web.env.SPECIMEN_VERSION=two",
    // Longer than a lock is good for whose holder is silent.
    "--lock-timeout=15s",
];

impl Project {
    /// The command on another machine: no state of its own, and it sees no process of the first one.
    fn elsewhere(&self, words: &[&str]) -> Command {
        let here = self.command_in(&self.folder.path().join("elsewhere"), words);
        let mut apart = Command::new("unshare");
        apart.args(["--pid", "--fork", "--mount-proc", "--kill-child", "--"]);
        apart.arg(here.get_program()).args(here.get_args());
        apart.env("KUBECONFIG", &self.kubeconfig);
        apart
    }

    fn kill_point(&self, words: &str) {
        let place = self.state().join("specimen/staging");
        std::fs::write(place.join("kill-point"), words).expect("written");
    }

    /// A manifest of the user's own beside the component.
    fn own(&self, value: &str) {
        let text = format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: own}}\ndata: {{value: {value}}}\n"
        );
        self.write("kubernetes/own.yaml", &text);
    }

    /// The first release, and the files of the second one.
    fn first_release(&self) {
        self.own("one");
        self.apply(0, &[]);
        self.own("two");
    }

    /// What an operator sees of the environment, without the names of revisions.
    fn end_state(&self) -> Value {
        let document = |words: &[&str]| -> Value {
            let out = self.elsewhere(words).output().expect("it runs");
            serde_json::from_str(&told(&out, 0, words)).expect("JSON")
        };
        let observed = &document(&["--json", "status", "staging"])["observed"];
        let revisions: Vec<Value> = observed["revisions"]
            .as_object()
            .expect("revisions")
            .values()
            .map(|seen| json!([seen["ready"], seen["wanted"], seen["warm_until_ms"].is_null()]))
            .collect();
        let shares = observed["traffic"]["shares"]["web"].as_array().expect("shares");
        let weights: Vec<&Value> = shares.iter().map(|share| &share["weight"]).collect();
        let history = document(&["--json", "history", "staging"]);
        let entries = history["entries"].as_array().expect("entries");
        let current: Vec<&Value> = entries.iter().map(|entry| &entry["current"]).collect();
        let own = self.kubectl(&["get", "configmap", "own", "-o", "jsonpath={.data.value}"]);
        json!({ "revisions": revisions, "weights": weights, "current": current, "own": own })
    }

    fn epoch(&self) -> u64 {
        let path = "jsonpath={.items[0].spec.leaseTransitions}";
        self.kubectl(&["get", "leases", "-o", path]).parse().expect("a number")
    }

    /// The versions of all that the tool may write.
    fn versions(&self) -> String {
        let kinds = "deployments,services,configmaps,secrets,httproutes,leases";
        let columns = "custom-columns=K:.kind,N:.metadata.name,V:.metadata.resourceVersion";
        self.kubectl(&["get", kinds, "-l", "app.kubernetes.io/managed-by", "-o", columns])
    }

    /// The versions once nobody has written for a second: a gateway and a kubelet end what they do.
    fn versions_at_rest(&self) -> String {
        let (mut last, mut since) = (self.versions(), Instant::now());
        for _ in 0..300 {
            if since.elapsed() >= Duration::from_secs(1) {
                return last;
            }
            std::thread::sleep(Duration::from_millis(100));
            let now = self.versions();
            if now != last {
                (last, since) = (now, Instant::now());
            }
        }
        panic!("it does not come to rest:\n{last}");
    }

    /// Writes as the tool would with this epoch; gives what the API server says against it.
    fn write_as(&self, epoch: u64) -> Result<(), String> {
        let object = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {
                "name": "late",
                "namespace": self.namespace,
                "annotations": { "neuroca-deploy/epoch": epoch.to_string() },
            },
        });
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("--kubeconfig").arg(&self.kubeconfig);
        kubectl.args(["apply", "--server-side", "--field-manager", "neuroca-deploy", "-f", "-"]);
        kubectl.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = kubectl.spawn().expect("kubectl runs");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(object.to_string().as_bytes()).expect("written");
        drop(stdin);
        let out = child.wait_with_output().expect("it ends");
        match out.status.success() {
            true => Ok(()),
            false => Err(String::from_utf8_lossy(&out.stderr).into_owned()),
        }
    }

    /// What an administrator applies once, the policy that fences drivers among it.
    fn allow(&self) {
        let file = self.folder.path().join("rbac.yaml");
        std::fs::write(&file, self.run(0, &["rbac", "staging"])).expect("written");
        self.kubectl(&["apply", "--server-side", "-f", &file.to_string_lossy()]);
    }
}

#[test]
fn another_machine_ends_what_a_killed_driver_began() {
    let name = |n: usize| format!("kill-{n}");
    let Some(calm) = Project::new(&name(0), "strategy: blue_green") else { return };
    calm.first_release();
    told(&calm.elsewhere(&TWO).output().expect("it runs"), 0, &TWO);
    let expected = calm.end_state();
    let points = ["after start_revision", "before route", "after route", "before record"];
    std::thread::scope(|scope| {
        for (n, point) in points.iter().enumerate() {
            let expected = &expected;
            scope.spawn(move || {
                let project =
                    Project::new(&name(n + 1), "strategy: blue_green").expect("a cluster");
                project.first_release();
                project.kill_point(&format!("command {point}"));
                let ((), _, failed) = project.under_load(|| {
                    let dead =
                        project.command_in(&project.state(), &TWO).output().expect("it runs");
                    assert_eq!(dead.status.signal(), Some(9), "{point} was not reached: {dead:?}");
                    let died = Instant::now();
                    let out = project.elsewhere(&TWO).output().expect("it runs");
                    told(&out, 0, &TWO);
                    assert!(died.elapsed() < Duration::from_secs(60), "{point}");
                });
                assert_eq!(failed, [0u16; 0], "{point}");
                assert_eq!(project.end_state(), *expected, "{point}");
                assert_eq!(project.ask(""), (200, "two".into()), "{point}");
            });
        }
    });
}

#[test]
fn who_was_stopped_and_succeeded_writes_nothing_when_it_wakes_up() {
    let Some(project) = Project::new("wake", "strategy: blue_green") else { return };
    project.allow();
    project.apply(0, &[]);
    project.kill_point("command before route stop");
    let mut command = project.command_in(&project.state(), &TWO);
    let sleeper = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it runs");
    let is_stopped = || {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", sleeper.id())).expect("it lives");
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    };
    let began = Instant::now();
    while !is_stopped() {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not stop itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (stopped, epoch) = (Instant::now(), project.epoch());
    let successor = project.elsewhere(&TWO).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let mut successor = successor.expect("it runs");
    while project.epoch() == epoch {
        assert!(stopped.elapsed() < Duration::from_secs(15), "a silent holder keeps the lock");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(successor.wait().expect("it ends").success());
    let before = project.versions_at_rest();
    let id = rustix::process::Pid::from_child(&sleeper);
    rustix::process::kill_process(id, rustix::process::Signal::CONT).expect("it lives");
    let out = sleeper.wait_with_output().expect("it ends");
    assert!(!out.status.success(), "it does not know that it was succeeded");
    assert_eq!(project.versions_at_rest(), before, "{}", String::from_utf8_lossy(&out.stderr));
    // And a write that was under way at that moment: the API server itself refuses it.
    let refused = project.write_as(epoch).expect_err("its epoch is over");
    assert!(refused.contains("another driver took the lock over"), "{refused}");
    assert_eq!(project.write_as(project.epoch()), Ok(()));
}
