//! `make install` and `make uninstall`, below a DESTDIR.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Runs a script of the repository; returns what it printed, or what it refused.
fn script(name: &str, destdir: &Path) -> Result<String, String> {
    let output = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name))
        .arg("/opt/local")
        .env("DESTDIR", destdir)
        .env("PVECT_PROGRAM", env!("CARGO_BIN_EXE_pvect"))
        .output()
        .expect("the script starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// Every path below a directory.
fn tree(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left = vec![root.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in std::fs::read_dir(&directory).expect("a directory can be read").flatten() {
            let path = entry.path();
            found.insert(path.strip_prefix(root).expect("it is below").display().to_string());
            if path.is_dir() {
                left.push(path);
            }
        }
    }
    found
}

#[test]
fn what_was_installed_is_removed_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    let at = |path: &str| dir.path().join("opt/local").join(path);
    let refused = script("uninstall", dir.path()).expect_err("nothing is installed");
    assert!(refused.contains("nothing was installed below"), "{refused}");
    std::fs::create_dir_all(at("share/man/man1")).expect("a directory can be made");
    std::fs::write(at("share/man/man1/other.1"), "of somebody else").expect("a file can be written");
    let before = tree(dir.path());

    script("install", dir.path()).expect("it installs");
    let installed = tree(dir.path());
    for path in ["bin/pvect", "share/man/man1/pvect-node.1", "share/fish/vendor_completions.d/pvect.fish"] {
        assert!(installed.contains(&format!("opt/local/{path}")), "{path}");
    }
    for (unit, command) in
        [("pvect-node", "--standalone node up"), ("pvect-serve", "--standalone -v node serve")]
    {
        let text = std::fs::read_to_string(at(&format!("lib/systemd/system/{unit}.service")))
            .expect("the unit is there");
        assert!(text.contains(&format!("ExecStart=/opt/local/bin/pvect {command}")), "{text}");
        assert!(!text.contains("/usr/bin/pvect"), "{text}");
        // The condition is about Proxmox VE's own pct, wherever pvect is.
        assert!(text.contains("ConditionPathExists=!/usr/bin/pct"), "{text}");
    }

    // A file of an older version goes with the next install; directories that were made stay known as made.
    std::fs::write(at("share/man/man1/pvect-old.1"), "").expect("a file can be written");
    let list = at("share/pvect/installed");
    let text = std::fs::read_to_string(&list).expect("the list is there");
    std::fs::write(&list, format!("/opt/local/share/man/man1/pvect-old.1\n{text}"))
        .expect("it can be written");
    script("install", dir.path()).expect("it installs again");
    assert_eq!(tree(dir.path()), installed);

    let said = script("uninstall", dir.path()).expect("it is removed");
    assert!(said.contains("left as they are:") && said.contains("/var/lib/pvect"), "{said}");
    assert_eq!(tree(dir.path()), before);
}

#[test]
fn a_list_that_names_other_files_is_refused() {
    let dir = tempfile::tempdir().expect("a directory can be made");
    script("install", dir.path()).expect("it installs");
    let list = dir.path().join("opt/local/share/pvect/installed");
    let installed = tree(dir.path());
    for line in ["/etc/passwd", "/opt/local/../../etc/passwd", "/etc/", "relative"] {
        std::fs::write(&list, format!("{line}\n")).expect("it can be written");
        let refused = script("uninstall", dir.path()).expect_err(line);
        assert!(refused.contains("is not a path of ours"), "{line}: {refused}");
        assert_eq!(tree(dir.path()), installed, "{line}");
    }
}
