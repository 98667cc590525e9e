use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

#[test]
fn the_key_is_made_once_private_and_outside_the_state() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("keys/project.key");
    let state = folder.path().join("state");
    let first = Key::open_or_make(&path, &state).expect("made");
    let again = Key::open_or_make(&path, &state).expect("read");
    assert_eq!(first.version("a"), again.version("a"));
    assert_ne!(first.version("a"), first.version("b"));
    assert_eq!(first.version("a").len(), 16);
    assert_eq!(fs::metadata(&path).expect("made").permissions().mode() & 0o777, 0o600);
    let inside = Key::open_or_make(&state.join("key"), &state);
    assert!(matches!(inside, Err(KeyError::Inside { .. })));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
    assert!(matches!(Key::open(&path), Err(KeyError::Exposed { mode: 0o644, .. })));
}

#[test]
fn what_is_sealed_needs_the_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let key = Key::open_or_make(&folder.path().join("a"), &state).expect("made");
    let other = Key::open_or_make(&folder.path().join("b"), &state).expect("made");
    let sealed = key.seal(b"hush").expect("sealed");
    assert!(!sealed.windows(4).any(|w| w == b"hush"));
    assert_eq!(key.unseal(&sealed).as_deref(), Some(&b"hush"[..]));
    assert_eq!(other.unseal(&sealed), None);
    assert_ne!(key.version("x"), other.version("x"));
}

#[test]
fn references_are_read_and_errors_name_them_without_values() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("token"), "s3cret\n").expect("written");
    fs::write(folder.path().join("binary"), b"\xff\xfe").expect("written");
    let key = Key::open_or_make(&folder.path().join("key"), Path::new("/state")).expect("made");
    let source = SecretSource::new(folder.path(), key);
    assert_eq!(source.read("file:token").expect("read"), "s3cret");
    for (reference, says) in [
        ("env:SURELY_NOT_SET_HERE", "the variable is not set"),
        ("file:gone", "No such file"),
        ("file:binary", "it is not UTF-8"),
        ("vault:x", "no such kind"),
    ] {
        let error = source.version(reference).expect_err("unreadable");
        assert!(error.contains(reference) && error.contains(says), "{error}");
        assert!(error.contains("hint:"), "{error}");
    }
}
