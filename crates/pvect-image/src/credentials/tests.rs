use std::cell::RefCell;
use std::fs;

use secrecy::ExposeSecret;

use super::*;

fn file(directory: &Path, text: &str) -> PathBuf {
    let path = directory.join("config.json");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    path
}

fn find(files: &CredentialFiles, text: &str) -> Result<Option<String>, String> {
    let found = files.find(&Reference::parse(text).unwrap(), &|_| {});
    let found = found.map_err(|error| error.to_string())?;
    Ok(found.map(|found| match found {
        Credentials::Password { username, password } => format!("{username}:{}", password.expose_secret()),
        Credentials::Identity(token) => format!("token {}", token.expose_secret()),
    }))
}

#[test]
fn the_entry_that_fits_best_counts() {
    let directory = tempfile::tempdir().unwrap();
    let auth = |pair: &str| STANDARD.encode(pair);
    let text = serde_json::json!({ "auths": {
        "https://index.docker.io/v1/": { "auth": auth("hub:p:w") },
        "ghcr.io": { "auth": auth("host:x") },
        "ghcr.io/a": { "auth": auth("team:y") },
        "token.lan": { "auth": auth("n:p"), "identitytoken": "t" },
        "empty.lan": {},
    } });
    let files = CredentialFiles::new(vec![file(directory.path(), &text.to_string())], Vec::new());
    assert_eq!(find(&files, "nginx"), Ok(Some("hub:p:w".to_owned())));
    assert_eq!(find(&files, "ghcr.io/a/b"), Ok(Some("team:y".to_owned())));
    assert_eq!(find(&files, "ghcr.io/ab/b"), Ok(Some("host:x".to_owned())));
    assert_eq!(find(&files, "token.lan/x"), Ok(Some("token t".to_owned())));
    assert_eq!(find(&files, "empty.lan/x"), Ok(None));
    assert_eq!(find(&files, "ghcr.io.evil.lan/a/b"), Ok(None));
}

#[test]
fn no_error_shows_what_is_in_the_file() {
    let directory = tempfile::tempdir().unwrap();
    for text in [r#"{"auths":{"x.lan":{"auth":"hunter22"}}}"#, r#"{"auths":{"x.lan":{"auth":hunter22}}}"#] {
        let files = CredentialFiles::new(vec![file(directory.path(), text)], Vec::new());
        let error = find(&files, "x.lan/a").unwrap_err();
        assert!(!error.contains("hunter22"), "{error}");
    }
}

#[test]
fn a_file_that_others_can_change_is_refused_and_one_that_they_can_read_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(directory.path(), "{}");
    let files = CredentialFiles::new(vec![path.clone()], Vec::new());
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = RefCell::new(Vec::new());
    let place = Reference::parse("x.lan/a").unwrap();
    files.find(&place, &|text| warnings.borrow_mut().push(text.to_owned())).unwrap();
    assert!(warnings.borrow()[0].contains("chmod 600"));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    assert!(find(&files, "x.lan/a").unwrap_err().contains("is not used"));
}

#[test]
fn helpers_are_asked_and_only_those_of_root() {
    if !rustix::process::geteuid().is_root() {
        // Only root can make a helper that root owns.
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("docker-credential-test");
    let script = "#!/bin/sh\nread -r host\ncase $host in x.lan) echo '{\"Username\":\"u\",\"Secret\":\"s\"}';; \
                  t.lan) echo '{\"Username\":\"<token>\",\"Secret\":\"i\"}';; bad.lan) echo hunter22;; *) exit 1;; esac\n";
    fs::write(&program, script).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let files = CredentialFiles::new(vec![file(directory.path(), r#"{"credsStore":"test"}"#)], Vec::new());
    let files = files.helpers_in(vec![directory.path().to_owned()]);
    assert_eq!(find(&files, "x.lan/a"), Ok(Some("u:s".to_owned())));
    assert_eq!(find(&files, "t.lan/a"), Ok(Some("token i".to_owned())));
    assert_eq!(find(&files, "none.lan/a"), Ok(None));
    assert!(!find(&files, "bad.lan/a").unwrap_err().contains("hunter22"));
    fs::set_permissions(&program, fs::Permissions::from_mode(0o777)).unwrap();
    assert!(find(&files, "x.lan/a").unwrap_err().contains("others than root"));
    for name in ["../x", "", "a b", "absent"] {
        let text = serde_json::json!({ "credHelpers": { "x.lan": name } }).to_string();
        let files = CredentialFiles::new(vec![file(directory.path(), &text)], Vec::new());
        assert!(find(&files, "x.lan/a").is_err(), "{name}");
    }
}
