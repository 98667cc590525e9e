//! A real OpenBao keeps the wrapping key. `NEUROCA_TEST_BAO` names its program; `scripts/test.sh` says loudly when
//! there is none.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::harness::database::Database;
use super::harness::{REQUIRED, Running};
use super::{KEY, MISCONFIGURED, rekeyed, search, stolen, tell, text};

const PATIENCE: Duration = Duration::from_secs(30);

struct Bao {
    child: Child,
    address: String,
    program: String,
}

impl Bao {
    /// With a transit engine and a key, or nothing if there is no program.
    fn start(dir: &std::path::Path) -> Option<Self> {
        let program = std::env::var("NEUROCA_TEST_BAO").ok()?;
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").expect("a port");
            free.local_addr().expect("an address").port()
        };
        let listen = format!("-dev-listen-address=127.0.0.1:{port}");
        let child = Command::new(&program)
            .args(["server", "-dev", "-dev-root-token-id=root", "-dev-no-store-token", &listen])
            .env("HOME", dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("bao runs");
        let bao = Self { child, address: format!("http://127.0.0.1:{port}"), program };
        let begun = Instant::now();
        while !bao.does(&["secrets", "enable", "transit"]) {
            assert!(begun.elapsed() < PATIENCE, "bao does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        assert!(bao.does(&["write", "-f", "transit/keys/neuroca"]));
        Some(bao)
    }

    fn does(&self, words: &[&str]) -> bool {
        let mut command = Command::new(&self.program);
        command.args(words).env("BAO_ADDR", &self.address).env("BAO_TOKEN", "root");
        command.output().expect("bao runs").status.success()
    }

    fn signal(&self, name: &str) {
        let words = [format!("-{name}"), self.child.id().to_string()];
        assert!(Command::new("kill").args(words).status().expect("kill runs").success());
    }

    fn env<'a>(&'a self, token: &'a str) -> [(&'a str, &'a str); 3] {
        [
            ("NEUROCA_KMS_URL", &self.address),
            ("NEUROCA_KMS_KEY", "neuroca"),
            ("NEUROCA_KMS_TOKEN_PATH", token),
        ]
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn token(database: &Database, tenant: &str) -> String {
    let mut command = database.command("keys");
    command.args(["create", "--tenant", tenant, "--name", "k", "--role", "agent"]);
    format!("Bearer {}", text(&command.output().expect("it runs")).trim())
}

fn told(running: &Running, token: &str) -> (u16, Option<u64>) {
    let answer = tell(running, "Ann likes tea", &[("authorization", token)]);
    let retry = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
    (answer.status, retry)
}

#[test]
fn a_key_that_never_leaves_its_keeper_wraps_those_of_tenants() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(bao) = Bao::start(dir.path()) else { return };
    let file = dir.path().join("token");
    std::fs::write(&file, "root\n").expect("written");
    let file = file.to_str().expect("UTF-8").to_owned();
    let env: Vec<_> = bao.env(&file).into_iter().chain([REQUIRED]).collect();
    for (database, rotated) in Database::each_with(&env).into_iter().zip(2..) {
        let [old, new, late] = ["old", "new", "late"].map(|name| token(&database, name));
        let running = database.serve(&[]);
        assert_eq!(told(&running, &old), (201, None));

        // Its keeper is gone: who has a key goes on, who needs one is told when to come again.
        bao.signal("STOP");
        assert_eq!(told(&running, &old), (201, None));
        let (status, retry) = told(&running, &new);
        assert_eq!(status, 503);
        assert!(retry.is_some_and(|seconds| seconds > 0), "{retry:?}");
        assert_eq!(running.get("/health/ready").status, 200);
        bao.signal("CONT");
        let begun = Instant::now();
        while told(&running, &new).0 != 201 {
            assert!(begun.elapsed() < PATIENCE, "it does not recover");
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(running);

        // A service that starts meanwhile waits for it.
        bao.signal("STOP");
        let mut waiting = Running::start(database.command("serve"));
        waiting.line("waiting for the key");
        bao.signal("CONT");
        waiting.line("ready");
        drop(waiting);

        // The keeper's key is rotated, and a token that may not use it is told at the start.
        assert!(bao.does(&["write", "-f", "transit/keys/neuroca/rotate"]));
        rekeyed(&database, &[]);
        let sql = "SELECT CAST(wrapped AS TEXT) FROM data_keys";
        let sql = match database.url.starts_with("sqlite") {
            true => sql.to_owned(),
            false => "SELECT convert_from(wrapped, 'UTF8') FROM data_keys".to_owned(),
        };
        let wrapped = stolen::column(&database, &sql);
        assert_eq!(wrapped.len(), 2);
        let by = format!("vault:v{rotated}:");
        assert!(wrapped.iter().all(|wrapped| wrapped.starts_with(&by)), "{by} {wrapped:?}");
        std::fs::write(&file, "wrong").expect("written");
        let refused = database.command("serve").output().expect("it runs");
        assert_eq!(refused.status.code(), Some(MISCONFIGURED), "{}", text(&refused));
        assert!(text(&refused).contains("does not let the token"), "{}", text(&refused));
        std::fs::write(&file, "root").expect("written");
        assert_eq!(told(&database.serve(&[]), &late), (201, None));
    }
}

#[test]
fn a_secret_is_replaced_by_a_key_in_a_keeper() {
    let dir = tempfile::tempdir().expect("a folder");
    let Some(bao) = Bao::start(dir.path()) else { return };
    let file = dir.path().join("token");
    std::fs::write(&file, "root").expect("written");
    let file = file.to_str().expect("UTF-8").to_owned();
    for database in Database::each_with(&[KEY]) {
        assert_eq!(tell(&database.serve(&[]), "Ann likes tea", &[]).status, 201);
        let kms = bao.env(&file);
        let both: Vec<_> =
            kms.into_iter().chain([("NEUROCA_SECRET_KEY_PREVIOUS", KEY.1)]).collect();
        let database = database.with(&both);
        rekeyed(&database, &[]);
        let database = database.with(&kms);
        assert_eq!(search(&database.serve(&[]), "tea"), ["Ann likes tea"]);
    }
}
