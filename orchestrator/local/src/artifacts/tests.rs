use super::*;

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("made");
    fs::write(path, text).expect("written");
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

fn project() -> (tempfile::TempDir, StateDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let state = StateDir::create(&folder.path().join("state")).expect("usable");
    write(&folder.path().join("app/server.py"), "print('hello')", 0o755);
    write(&folder.path().join("app/lib/a.py"), "a = 1", 0o644);
    (folder, state)
}

fn digest(folder: &Path) -> Digest {
    digest_artifact(folder, "app", Path::new("/nowhere/tool"), &NoCache).expect("readable")
}

#[test]
fn the_digest_follows_contents_names_and_the_executable_bit_and_nothing_else() {
    let (folder, _) = project();
    let path = folder.path();
    let first = digest(path);
    write(&path.join("app/lib/a.py"), "a = 1", 0o600);
    assert_eq!(digest(path), first, "times and read permissions do not count");
    write(&path.join("app/lib/a.py"), "a = 1", 0o755);
    assert_ne!(digest(path), first);
    write(&path.join("app/lib/a.py"), "a = 2", 0o644);
    assert_ne!(digest(path), first);
    fs::rename(path.join("app/lib/a.py"), path.join("app/lib/b.py")).expect("renamed");
    assert_ne!(digest(path), first);
}

#[test]
fn what_is_stored_outlives_its_source_and_is_not_writable() {
    let (folder, state) = project();
    let planned = digest(folder.path());
    let source = || source(folder.path(), "app", Path::new("/nowhere/tool"));
    store(&state, source, &planned, &NoCache).expect("stored");
    fs::remove_dir_all(folder.path().join("app")).expect("removed");
    store(&state, source, &planned, &NoCache).expect("there already");
    let file = stored(&state, &planned).join("server.py");
    assert_eq!(fs::read_to_string(&file).expect("kept"), "print('hello')");
    assert_eq!(fs::metadata(&file).expect("kept").permissions().mode() & 0o777, 0o555);
    assert_eq!(remove_unneeded(&state, &BTreeSet::from([planned.clone()]), 0), 0);
    assert_eq!(remove_unneeded(&state, &BTreeSet::new(), 1 << 20), 0, "spare room keeps it");
    assert_eq!(remove_unneeded(&state, &BTreeSet::new(), 0), 1);
    assert!(!file.exists());
}

#[test]
fn a_source_that_changed_since_the_plan_is_refused() {
    let (folder, state) = project();
    let planned = digest(folder.path());
    write(&folder.path().join("app/server.py"), "print('other')", 0o755);
    let source = || source(folder.path(), "app", Path::new("/nowhere/tool"));
    let error = store(&state, source, &planned, &NoCache).expect_err("changed");
    assert!(error.to_string().contains("has changed since the plan was made"), "{error}");
    let left = fs::read_dir(state.artifacts()).expect("readable").count();
    assert_eq!(left, 0, "nothing half-done is left");
}

#[test]
fn programs_that_cannot_run_are_named_with_what_to_do() {
    let (folder, _) = project();
    let check = |command: &str| {
        let exe = Path::new("/nowhere/tool");
        check_program(folder.path(), "app", exe, &[command.to_string()]).map_err(|e| e.to_string())
    };
    assert_eq!(check("./server.py"), Ok(()));
    assert!(check("./lib/a.py").expect_err("0644").contains("is not executable"));
    assert!(check("./nothing").expect_err("missing").contains("is not in the artifact"));
    assert!(check("surely-not-installed").expect_err("missing").contains("surely-not-installed"));
    let mut elf = b"\x7fELF\x02\x01\x01".to_vec();
    elf.resize(18, 0);
    elf.extend(if HERE_IS_X86 { 183u16 } else { 62 }.to_le_bytes());
    elf.resize(64, 0);
    fs::write(folder.path().join("app/foreign"), elf).expect("written");
    fs::set_permissions(folder.path().join("app/foreign"), Permissions::from_mode(0o755))
        .expect("set");
    assert!(check("./foreign").expect_err("foreign").contains("is built for"));
    let missing = digest_artifact(folder.path(), "gone", Path::new("/x/y"), &NoCache);
    assert!(missing.expect_err("missing").to_string().contains("is not there"));
    let bundled = digest_artifact(folder.path(), BUNDLED, Path::new("/x/y"), &NoCache);
    assert!(bundled.expect_err("missing").to_string().contains("beside"));
}

const HERE_IS_X86: bool = cfg!(target_arch = "x86_64");
