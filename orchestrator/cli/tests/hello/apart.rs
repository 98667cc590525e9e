//! Mounts that only some commands see: they vanish with the last process that sees them.
#![allow(clippy::print_stderr)] // what is left out is said

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// Whether this process may mount. Where it may not, as in most containers, nobody can install what is
/// missing: the test is left out, and `scripts/test.sh` says so where it is read.
pub fn may_mount() -> bool {
    let mounted = Command::new("unshare")
        .args(["-m", "--propagation", "private", "mount", "-t", "tmpfs", "tmpfs", "/mnt"])
        .output();
    let may = mounted.is_ok_and(|out| out.status.success());
    if !may {
        eprintln!("!!! LEFT OUT: only root may mount the file systems that this test needs");
    }
    may
}

/// Words that run a command where the folder is read-only.
pub fn read_only(folder: &Path) -> Vec<String> {
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let words = ["unshare", "-m", "--propagation", "private", "sh", "-c", script];
    words.iter().map(|w| w.to_string()).chain([folder.display().to_string()]).collect()
}

/// A small file system of its own on a folder.
pub struct SmallDisk {
    holder: Child,
    folder: String,
}

impl SmallDisk {
    pub fn on(folder: &Path, mib: u32) -> Self {
        std::fs::create_dir_all(folder).expect("made");
        let folder = folder.display().to_string();
        let script = "mount -t tmpfs -o size=\"$1\" tmpfs \"$0\" && echo mounted && exec sleep 600";
        let mut holder = Command::new("unshare")
            .args(["-m", "--propagation", "private", "sh", "-c", script, &folder])
            .arg(format!("{mib}m"))
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare runs");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("piped")).read_line(&mut line).expect("read");
        assert_eq!(line, "mounted\n");
        Self { holder, folder }
    }

    /// Words that run a command where it is seen, in this folder.
    pub fn seen_from(&self, folder: &Path) -> Vec<String> {
        let (pid, folder) = (self.holder.id().to_string(), folder.display().to_string());
        let words = ["nsenter", "-t", &pid, "-m", "--", "env", "-C", &folder];
        words.iter().map(|w| w.to_string()).collect()
    }

    /// Takes all the space that is left.
    pub fn fill(&self) {
        self.shell("dd if=/dev/zero of=\"$0/fill\" bs=4k 2>/dev/null; test -s \"$0/fill\"");
    }

    pub fn make_room(&self) {
        self.shell("rm \"$0/fill\"");
    }

    fn shell(&self, script: &str) {
        let words = self.seen_from(Path::new("/"));
        let mut command = Command::new(&words[0]);
        let done = command.args(&words[1..]).args(["sh", "-c", script, &self.folder]).status();
        assert!(done.expect("it runs").success(), "{script}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}
