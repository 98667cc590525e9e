//! Many manifests: what they cost in requests.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::project::{Project, config};

/// `count` objects of each of six kinds.
fn six_kinds(count: usize) -> String {
    let rbac = "rbac.authorization.k8s.io";
    let each = (0..count).map(|n| {
        let binding = format!(
            "{{apiVersion: {rbac}/v1, kind: RoleBinding, metadata: {{name: o{n}}}, roleRef: {{apiGroup: {rbac}, kind: Role, \
             name: o{n}}}, subjects: [{{kind: ServiceAccount, name: o{n}}}]}}"
        );
        let deployment = format!(
            "{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: o{n}}}, spec: {{replicas: 0, selector: {{matchLabels: \
             {{a: o{n}}}}}, template: {{metadata: {{labels: {{a: o{n}}}}}, spec: {{containers: [{{name: c, image: 'c:1'}}]}}}}}}}}"
        );
        let role = format!(
            "{{apiVersion: {rbac}/v1, kind: Role, metadata: {{name: o{n}}}, rules: [{{apiGroups: [''], resources: [pods], \
             verbs: [get]}}]}}"
        );
        let service = format!(
            "{{apiVersion: v1, kind: Service, metadata: {{name: o{n}}}, spec: {{selector: {{a: o{n}}}, ports: [{{port: 80}}]}}}}"
        );
        let account = format!("{{apiVersion: v1, kind: ServiceAccount, metadata: {{name: o{n}}}}}");
        let parts = [service, account, role, binding, deployment].join("\n---\n");
        format!("{}{parts}\n---\n", config(&format!("o{n}"), "x", "1"))
    });
    each.collect()
}

#[test]
fn a_plan_without_changes_asks_once_a_kind_however_many_objects_there_are() {
    let Some(project) = Project::new("cheap") else { return };
    project.write("kubernetes/all.yaml", &six_kinds(20));
    project.apply(0);
    let counted = Counted::beside(&project);
    let requests = counted.during(|kubeconfig| {
        let out = project
            .command(&["plan", "staging", "--detailed-exitcode"])
            .env("KUBECONFIG", kubeconfig)
            .output()
            .expect("it runs");
        assert_eq!(out.status.code(), Some(0), "{}", String::from_utf8_lossy(&out.stderr));
    });
    let (kinds, more) = (6, 5);
    assert!(requests >= kinds, "{requests} requests: they were not counted");
    assert!(requests <= kinds + more, "{requests} requests for {kinds} kinds");
}

/// A way to the API server on which requests are counted: a plain port before `kubectl proxy`.
struct Counted {
    proxy: Child,
    kubeconfig: tempfile::NamedTempFile,
    requests: Arc<AtomicUsize>,
}

impl Counted {
    fn beside(project: &Project) -> Self {
        let mut proxy = project
            .kubectl_command(&["proxy", "--port=0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let mut said = Vec::new();
        let out = proxy.stdout.as_mut().expect("a pipe");
        let mut byte = [0];
        while said.last() != Some(&b'\n') && out.read(&mut byte).is_ok_and(|read| read > 0) {
            said.push(byte[0]);
        }
        // "Starting to serve on 127.0.0.1:43219"
        let said = String::from_utf8_lossy(&said).trim().to_string();
        let behind = said.rsplit(' ').next().expect("an address").to_string();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = requests.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (behind, counter) = (behind.clone(), counter.clone());
                std::thread::spawn(move || pass_on(stream, &behind, &counter));
            }
        });
        let mut kubeconfig = tempfile::NamedTempFile::new().expect("a file");
        write!(
            kubeconfig,
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             users: [{{name: u, user: {{}}}}], clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]}}"
        )
        .expect("written");
        Self { proxy, kubeconfig, requests }
    }

    fn during(&self, work: impl FnOnce(&std::path::Path)) -> usize {
        let before = self.requests.load(Ordering::SeqCst);
        work(self.kubeconfig.path());
        self.requests.load(Ordering::SeqCst) - before
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let _ = self.proxy.kill();
        let _ = self.proxy.wait();
    }
}

/// One connection, on which the ends of request lines are counted.
fn pass_on(mut client: TcpStream, behind: &str, requests: &AtomicUsize) {
    let Ok(mut server) = TcpStream::connect(behind) else { return };
    let (mut answers, mut back) =
        (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut answers, &mut back);
        let _ = back.shutdown(Shutdown::Both);
    });
    let (mark, mut matched, mut part) = (b" HTTP/1.1\r\n", 0, [0; 4096]);
    while let Ok(read @ 1..) = client.read(&mut part) {
        for byte in &part[..read] {
            matched =
                if *byte == mark[matched] { matched + 1 } else { usize::from(*byte == mark[0]) };
            if matched == mark.len() {
                requests.fetch_add(1, Ordering::SeqCst);
                matched = 0;
            }
        }
        if server.write_all(&part[..read]).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}
