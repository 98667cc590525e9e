//! What people see who need help or gave bad input; no server is needed for any of it.

use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;

struct Project {
    dir: tempfile::TempDir,
}

impl Project {
    /// What `init` makes, with a small artifact.
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let project = Self { dir };
        let done = project.run(&["init", "--name", "demo", "."]);
        assert!(done.status.success(), "{}", text(&done.stderr));
        project
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn write(&self, name: &str, content: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("folders");
        std::fs::write(path, content).expect("a file");
    }

    /// A folder with a program that can be run.
    fn app(&self) {
        use std::os::unix::fs::PermissionsExt;
        self.write("app/neuroca", "#!/bin/sh\n");
        let path = self.path().join("app/neuroca");
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_neuroca-deploy"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("NEUROCA_DEPLOY_STATE_DIR", self.path().join("state"));
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().expect("the binary runs")
    }

    /// Exit code, stdout and stderr, without what differs between machines.
    fn told(&self, args: &[&str]) -> String {
        self.told_by(self.run(args))
    }

    fn told_by(&self, out: Output) -> String {
        let dir = self.path().canonicalize().expect("it is there");
        let clean = |bytes: &[u8]| {
            text(bytes)
                .replace(&dir.display().to_string(), "[DIR]")
                .replace(&self.path().display().to_string(), "[DIR]")
                .trim_end()
                .to_string()
        };
        let mut told = format!("exit {}\n", out.status.code().unwrap_or(-1));
        for (name, bytes) in [("stdout", &out.stdout), ("stderr", &out.stderr)] {
            let text = clean(bytes);
            if !text.is_empty() {
                told.push_str(&format!("--- {name}\n{text}\n"));
            }
        }
        told
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn help_is_one_screen_with_examples() {
    assert_snapshot!(Project::new().told(&["--help"]));
}

#[test]
fn a_short_help_of_a_command() {
    assert_snapshot!(Project::new().told(&["apply", "-h"]));
}

#[test]
fn an_unknown_command_is_a_usage_error() {
    assert_snapshot!(Project::new().told(&["aply", "production"]));
}

#[test]
fn an_unknown_command_for_a_script_is_one_document() {
    assert_snapshot!(Project::new().told(&["--json", "aply", "production"]));
}

#[test]
fn an_unknown_environment_says_which_are_known() {
    let project = Project::new();
    assert_snapshot!(project.told(&["plan", "prodution"]));
    assert_snapshot!("unknown_environment_json", project.told(&["--json", "status", "nowhere"]));
}

#[test]
fn base_is_no_environment() {
    assert_snapshot!(Project::new().told(&["plan", "base"]));
}

#[test]
fn without_a_project_the_way_to_one_is_told() {
    let project = Project::new();
    std::fs::create_dir(project.path().join("empty")).expect("a folder");
    assert_snapshot!(project.told(&["--project", "empty", "plan", "production"]));
    assert_snapshot!("no_state", project.told(&["--project", "empty", "rollback", "production"]));
}

#[test]
fn all_mistakes_of_a_file_come_at_once() {
    let project = Project::new();
    project.write(
        "environments/wrong.yaml",
        "extends: base.yaml\nrolout: {}\ncomponents:\n  api:\n    replicas: many\n    env:\n      NEUROCA_LOG_LEVLE: debug\n",
    );
    assert_snapshot!(project.told(&["validate", "wrong"]));
    assert_snapshot!("mistakes_json", project.told(&["--json", "validate", "wrong"]));
}

#[test]
fn an_extended_file_that_is_not_there() {
    let project = Project::new();
    project.write("environments/lost.yaml", "extends: nobody.yaml\n");
    assert_snapshot!(project.told(&["config", "lost"]));
}

#[test]
fn files_that_extend_each_other() {
    let project = Project::new();
    project.write("environments/a.yaml", "extends: b\n");
    project.write("environments/b.yaml", "extends: a\n");
    assert_eq!(project.run(&["config", "a"]).status.code(), Some(64));
}

#[test]
fn a_template_with_a_mistake_is_told_with_its_place() {
    let project = Project::new();
    project.write("templates/notes.txt.tera", "one\n{{ nobody }}\n");
    let told = project.told(&["render", "development"]);
    assert!(told.starts_with("exit 64\n"), "{told}");
    assert!(told.contains("error: templates/notes.txt.tera:2:4: Variable `nobody`"), "{told}");
}

#[test]
fn a_release_that_does_not_exist() {
    let project = Project::new();
    project.write("artifacts/1.4.0.yaml", "api: app\n");
    assert_snapshot!(project.told(&["validate", "development", "--release", "1.4.1"]));
}

#[test]
fn a_release_of_a_component_that_does_not_exist() {
    let project = Project::new();
    project.app();
    project.write("artifacts/1.4.0.yaml", "apii: app\n");
    assert_snapshot!(project.told(&["plan", "development", "--release", "1.4.0"]));
}

#[test]
fn an_artifact_whose_digest_is_not_what_the_release_says() {
    let project = Project::new();
    project.app();
    project.write(
        "artifacts/1.4.0.yaml",
        "api: {path: app, digest: 'sha256:0123456789abcdef'}\nworker: app\n",
    );
    let out = project.run(&["plan", "development", "--release", "1.4.0"]);
    assert_eq!(out.status.code(), Some(7), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("hint:"), "{}", text(&out.stderr));
}

#[test]
fn a_plan_that_is_no_plan() {
    let project = Project::new();
    project.write("a.plan", "{}");
    assert_snapshot!(project.told(&["show", "a.plan"]));
    assert_snapshot!("no_plan_file", project.told(&["apply", "--plan", "b.plan"]));
}

#[test]
fn nobody_to_ask_means_nothing_is_done() {
    let project = Project::new();
    project.app();
    let out = project.run(&[
        "apply",
        "development",
        "--set",
        "components.api.artifact=app",
        "--set",
        "components.worker.artifact=app",
    ]);
    assert_eq!(out.status.code(), Some(64), "{}", text(&out.stderr));
    let stderr = text(&out.stderr);
    assert!(stderr.contains("nobody is there to ask"), "{stderr}");
    assert!(stderr.contains("hint: pass -y"), "{stderr}");
}

#[test]
fn secrets_that_cannot_be_read_are_told_together() {
    let project = Project::new();
    project.app();
    let told = project.told(&[
        "plan",
        "development",
        "--set",
        "components.api.artifact=app",
        "--set",
        "components.worker.artifact=app",
        "--set",
        "components.api.secrets.NEUROCA_SECRET_KEY=env:NOT_THERE",
        "--set",
        "components.api.secrets.NEUROCA_LLM_API_KEY=file:nowhere",
    ]);
    assert_snapshot!(told);
}

#[test]
fn a_first_plan_shows_what_is_set_and_where() {
    let project = Project::new();
    project.app();
    project.write(
        "environments/base.yaml",
        "project: demo\ncomponents:\n  api:\n    artifact: app\n    command: [./neuroca, serve]\n",
    );
    let args = ["plan", "development", "--set", "components.worker=null"];
    let told = project.told(&args);
    assert!(told.starts_with("exit 0\n"), "{told}");
    for line in [
        "demo/development  nothing → r-",
        "  + api\n",
        "(environments/base.yaml:4)",
        "(environments/development.yaml:",
        "defaults; -v shows them",
        "Components: 1 new.",
        "Plan digest: ",
    ] {
        assert!(told.contains(line), "{line} is not in\n{told}");
    }
}

#[test]
fn variables_stand_for_flags_and_flags_win() {
    let project = Project::new();
    let shown = |env: &[(&str, &str)], args: &[&str]| {
        let mut command = project.command(args);
        for (name, value) in env {
            command.env(name, value);
        }
        text(&command.output().expect("runs").stdout)
    };
    assert!(shown(&[("NEUROCA_DEPLOY_JSON", "1")], &["version"]).contains("\"kind\": \"version\""));
    assert!(!shown(&[("NEUROCA_DEPLOY_JSON", "0")], &["version"]).contains("kind"));
    let env = [("NEUROCA_DEPLOY_SET_A", "edge.listen=127.0.0.1:1")];
    let args = ["config", "development", "--explain"];
    assert!(shown(&env, &args).contains("variable NEUROCA_DEPLOY_SET_A"));
    let args = ["config", "development", "--explain", "--set", "edge.listen=127.0.0.1:2"];
    let explained = shown(&env, &args);
    let line = explained.lines().find(|l| l.starts_with("edge.listen")).expect("the setting");
    assert!(line.contains("127.0.0.1:2") && line.contains("--set"), "{line}");
}

#[test]
fn init_leaves_what_differs_alone() {
    let project = Project::new();
    project.write("environments/base.yaml", "project: mine\n");
    assert_snapshot!(project.told(&["init", "."]));
    let kept = std::fs::read_to_string(project.path().join("environments/base.yaml"));
    assert_eq!(kept.expect("it is there"), "project: mine\n");
}

#[test]
fn completions_and_man_pages_are_made() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish"] {
        let out = project.run(&["completion", shell]);
        assert!(out.status.success() && text(&out.stdout).contains("rollback"), "{shell}");
    }
    assert!(text(&project.run(&["man"]).stdout).contains(".TH neuroca-deploy"));
    assert!(project.run(&["man", "--out", "man"]).status.success());
    assert!(project.path().join("man/neuroca-deploy-rollback.1").is_file());
    assert!(project.path().join("man/neuroca-deploy-rollout-abort.1").is_file());
    let pages = std::fs::read_dir(project.path().join("man")).expect("there").flatten();
    let of_help = pages.filter(|p| p.file_name().to_string_lossy().contains("-help-")).count();
    assert_eq!(of_help, 0, "a page for each command is enough");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::new();
    let mut command = project.command(&["config", "--schema"]);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("runs");
    drop(child.stdout.take());
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}
