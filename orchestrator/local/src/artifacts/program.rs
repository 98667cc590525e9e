//! Whether a command can be run at all: there, executable, and for this machine.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::{ArtifactError, source};

/// `e_machine` and `EI_CLASS` of programs that run here.
#[cfg(target_arch = "x86_64")]
const HERE: (u16, &str) = (62, "x86_64");
#[cfg(target_arch = "aarch64")]
const HERE: (u16, &str) = (183, "aarch64");
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const HERE: (u16, &str) = (0, std::env::consts::ARCH);

/// Checks the program of a command that runs inside the artifact. One that is looked up in PATH
/// is looked up here too.
pub fn check_program(
    project: &Path,
    artifact: &str,
    exe: &Path,
    command: &[String],
) -> Result<(), ArtifactError> {
    let Some(program) = command.first() else { return Ok(()) };
    let source = source(project, artifact, exe)?;
    let path = if program.contains('/') {
        if source.is_dir() {
            source.join(program.trim_start_matches("./"))
        } else if Path::new(program).file_name() == source.file_name() {
            source
        } else {
            return Err(ArtifactError::NoProgram { path: program.into() });
        }
    } else {
        match in_path(program) {
            Some(path) => path,
            None => return Err(ArtifactError::NoProgram { path: program.into() }),
        }
    };
    let Ok(found) = fs::metadata(&path) else { return Err(ArtifactError::NoProgram { path }) };
    if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
        return Err(ArtifactError::NotExecutable { path });
    }
    match elf_machine(&path) {
        Some(machine) if HERE.0 != 0 && machine != HERE.0 => {
            Err(ArtifactError::Architecture { path, found: machine_name(machine), here: HERE.1 })
        }
        _ => Ok(()),
    }
}

/// The variables of the system that a program gets, from the environment of this process.
pub fn environment_for_programs() -> Vec<(String, String)> {
    ["PATH", "HOME", "LANG", "TZ"]
        .into_iter()
        .filter_map(|name| Some((name.to_string(), std::env::var(name).ok()?)))
        .collect()
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|p| p.is_file())
}

/// The machine that an ELF program is for; `None` for scripts and whatever else.
fn elf_machine(path: &Path) -> Option<u16> {
    let mut head = [0; 20];
    File::open(path).ok()?.read_exact(&mut head).ok()?;
    if &head[..4] != b"\x7fELF" {
        return None;
    }
    let machine = [head[18], head[19]];
    Some(if head[5] == 2 { u16::from_be_bytes(machine) } else { u16::from_le_bytes(machine) })
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86".into(),
        40 => "arm".into(),
        62 => "x86_64".into(),
        183 => "aarch64".into(),
        243 => "riscv64".into(),
        other => format!("machine {other}"),
    }
}
