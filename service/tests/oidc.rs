//! Tokens of a real OpenID provider (oidc-provider of npm) open what they say. `NEUROCA_TEST_OIDC_PROVIDER` names the
//! folder of node modules that has it; `scripts/test.sh` says loudly when there is none.

mod harness;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use harness::tap::free_port;
use harness::{Connection, Running, migrated};
use serde_json::Value;

struct Provider {
    child: Child,
    address: String,
}

impl Provider {
    fn start() -> Option<Self> {
        std::env::var_os("NEUROCA_TEST_OIDC_PROVIDER")?;
        let port = free_port();
        let mut child = Command::new("node")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/harness/oidc-provider.mjs"))
            .arg(port.to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node runs");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let provider = Self { child, address: format!("127.0.0.1:{port}") };
        assert!(stdout.lines().map_while(Result::ok).any(|line| line == "ready"), "it ends");
        Some(provider)
    }

    fn token(&self, client: &str) -> String {
        let basic = format!("Basic {}", STANDARD.encode(format!("{client}:secret")));
        let headers = [
            ("authorization", basic.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("connection", "close"),
        ];
        let mut connection = Connection::open(&self.address).expect("connects");
        let answer =
            connection.request("POST", "/token", &headers, "grant_type=client_credentials");
        assert_eq!(answer.status, 200, "{answer:?}");
        format!("Bearer {}", answer.json()["access_token"].as_str().expect("a token"))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_token_of_a_real_provider_opens_its_tenant_as_its_role() {
    let Some(provider) = Provider::start() else { return };
    let dir = migrated();
    let issuer = format!("http://{}", provider.address);
    let service = |audience: &str| {
        let env = [("NEUROCA_OIDC_ISSUER", issuer.as_str()), ("NEUROCA_OIDC_AUDIENCE", audience)];
        Running::serve(dir.path(), &env)
    };
    let ask = |service: &Running, client: &str, method: &str, body: &str| {
        let token = provider.token(client);
        let answer = service.connect().request(
            method,
            "/v1/memories",
            &[("authorization", token.as_str()), ("content-type", "application/json")],
            body,
        );
        (answer.status, answer)
    };
    let running = service("urn:nca");
    let told = r#"{"content": "of acme"}"#;
    assert_eq!(ask(&running, "acme.agent", "POST", told).0, 201);
    assert_eq!(ask(&running, "acme.viewer", "POST", told).0, 403);
    let seen = |client: &str| {
        let (status, answer) = ask(&running, client, "GET", "");
        assert_eq!(status, 200, "{answer:?}");
        answer.json()["items"].as_array().map(Vec::len)
    };
    assert_eq!(seen("acme.viewer"), Some(1));
    assert_eq!(seen("other.agent"), Some(0));
    drop(running);
    let (status, refused) = ask(&service("urn:other"), "acme.agent", "GET", "");
    assert_eq!(status, 401, "a token for another audience");
    let problem: Value = refused.json();
    assert_eq!(problem["status"], 401);
}
