//! From the configuration of an OCI image to that of a container.
//!
//! What the image says stands above what create was told, as with the real pct. Source: `restore_oci_archive` of
//! pve-container.

use pvect_core::ContainerConfig;
use pvect_core::property::NetInterface;

use crate::setup::Guest;
use crate::unpack::oci::ImageConfig;
use crate::{Failure, NodeResult};

/// The signal that stops the program if the image does not name one.
const STOP_SIGNAL: &str = "SIGTERM";

/// The files of the guest that an image was unpacked into.
pub(crate) trait GuestFiles {
    /// Reads these files; `None` where there is none.
    fn read_both(&self, paths: [&str; 2]) -> NodeResult<[Option<Vec<u8>>; 2]>;
    /// Makes directories that are missing.
    fn make_dirs(&self, paths: Vec<String>) -> NodeResult<()>;
}

impl GuestFiles for Guest<'_> {
    fn read_both(&self, paths: [&str; 2]) -> NodeResult<[Option<Vec<u8>>; 2]> {
        self.read(paths)
    }

    fn make_dirs(&self, paths: Vec<String>) -> NodeResult<()> {
        Guest::make_dirs(self, paths)
    }
}

/// The machine's architecture as the option `arch` names it.
pub(crate) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "i386",
        "aarch64" => "arm64",
        "arm" => "armhf",
        other => other,
    }
}

/// Puts what an image says into the configuration of the container whose root file system it was unpacked into.
///
/// # Errors
/// When a value has control characters, or the image does not have the user.
pub(crate) fn apply(
    image: &ImageConfig,
    files: &impl GuestFiles,
    config: &mut ContainerConfig,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    let mut directories = volumes(image, log)?;
    set_command(image, config, log)?;
    let mut raw = |key: &str, value: String| config.main.raw.push((key.to_owned(), value));
    if let Some(user) = plain("User", image.user.as_ref())? {
        let found = User::find(user, files)?;
        for (key, value) in
            [("lxc.init.uid", found.uid), ("lxc.init.gid", found.gid), ("lxc.init.groups", found.groups)]
        {
            if let Some(value) = value {
                raw(key, value);
            }
        }
    }
    if let Some(directory) = plain("WorkingDir", image.working_dir.as_ref())? {
        // Image builders leave it to the runtime to create the directory, and LXC does not start the program without
        // it.
        directories.push(directory.to_owned());
        raw("lxc.init.cwd", format!("/{}", directory.trim_start_matches('/')));
    }
    let signal = plain("StopSignal", image.stop_signal.as_ref())?.unwrap_or(STOP_SIGNAL);
    raw("lxc.signal.halt", signal.to_owned());
    if let Some(variables) = &image.env {
        all_plain("Env", variables)?;
        let is_set = |text: &&String| text.split_once('=').is_some_and(|(name, _)| !name.is_empty());
        config.main.env = variables.iter().filter(is_set).cloned().collect();
    }
    if directories.is_empty() { Ok(()) } else { files.make_dirs(directories) }
}

/// The directories of the image's volumes; mount points with the same paths are mounted over them.
fn volumes(image: &ImageConfig, log: &mut dyn FnMut(&str)) -> NodeResult<Vec<String>> {
    let mut directories = Vec::new();
    for path in image.volumes.iter().flatten().map(|(path, _)| path) {
        if is_controlled(path) {
            let text = "OCI config data-volumes path contains forbidden control characters!";
            return Err(Failure::new(text));
        }
        log(&format!("creating base directory for volume at {path}"));
        directories.push(path.clone());
    }
    Ok(directories)
}

/// The program, and what it needs because it is not an init system: its console, and a network that the host
/// configures.
fn set_command(
    image: &ImageConfig,
    config: &mut ContainerConfig,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    let (entrypoint, command) = (image.entrypoint.iter().flatten(), image.cmd.iter().flatten());
    for (name, words) in [("Entrypoint", &image.entrypoint), ("Cmd", &image.cmd)] {
        all_plain(name, words.as_deref().unwrap_or_default())?;
    }
    let words: Vec<&str> = entrypoint.chain(command).map(String::as_str).collect();
    if words.first().is_none_or(|first| *first == "/sbin/init") {
        return Ok(());
    }
    config.main.set("entrypoint", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
    config.main.set("cmode", "console");
    let networks: Vec<(String, String)> = config
        .main
        .family("net")
        .into_iter()
        .map(|(_, key, text)| (key.to_owned(), text.to_owned()))
        .collect();
    for (key, text) in networks {
        let Ok(mut net) = NetInterface::parse(&key, &text) else { continue };
        if net.host_managed || net.written.contains(&"host-managed") {
            continue;
        }
        log(&format!("Auto-Enabling host-managed network for network device {key}."));
        net.host_managed = true;
        config.main.set(&key, net.to_string());
    }
    Ok(())
}

/// Quotes a word for a POSIX shell; LXC reads quotes in the same way.
fn quoted(word: &str) -> String {
    let is_safe = |c: char| c.is_alphanumeric() || "_!%+,-./:=@^".contains(c);
    if !word.is_empty() && word.chars().all(is_safe) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Bytes that would break a line of the configuration, or that the real pct refuses.
fn is_controlled(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_control() && c != '\t')
}

/// A value; an empty one counts as missing.
fn plain<'a>(name: &str, value: Option<&'a String>) -> NodeResult<Option<&'a str>> {
    let value = value.map(String::as_str).filter(|value| !value.is_empty());
    if value.is_some_and(is_controlled) {
        return Err(Failure::new(format!(
            "OCI config value for '{name}' contains forbidden control characters!"
        )));
    }
    Ok(value)
}

fn all_plain(name: &str, values: &[String]) -> NodeResult<()> {
    if values.iter().any(|value| is_controlled(value)) {
        let text = format!("OCI config array-value for '{name}' contains forbidden control characters!");
        return Err(Failure::new(text));
    }
    Ok(())
}

/// The ids of a user, as the image's files have them.
#[derive(Debug, Default, PartialEq, Eq)]
struct User {
    uid: Option<String>,
    gid: Option<String>,
    groups: Option<String>,
}

impl User {
    /// Finds `USER[:GROUP]` in `/etc/passwd` and `/etc/group`.
    fn find(text: &str, files: &impl GuestFiles) -> NodeResult<Self> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (text, None),
        };
        if user.is_empty() || group.is_some_and(|group| group.is_empty() || group.contains(':')) {
            return Err(Failure::new("OCI config value for 'User' has an invalid format"));
        }
        let tables = files.read_both(["/etc/passwd", "/etc/group"])?;
        let [passwd, groups] =
            tables.map(|bytes| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned());
        let (uid, name) = match is_number(user) {
            true => (Some(user.to_owned()), field(&passwd, 2, user, 0)),
            false => (field(&passwd, 0, user, 2), Some(user.to_owned())),
        };
        if uid.is_none() {
            // The real pct ignores such a user, and the program runs as root.
            return Err(Failure::new(format!("the image has no user '{user}'")));
        }
        let found = match group {
            Some(group) if is_number(group) => Self { uid, gid: Some(group.to_owned()), groups: None },
            Some(group) => {
                let gid = field(&groups, 0, group, 2);
                let missing = || Failure::new(format!("the image has no group '{group}'"));
                Self { uid, gid: Some(gid.ok_or_else(missing)?), groups: None }
            }
            None => {
                let gid = uid.as_ref().and_then(|uid| field(&passwd, 2, uid, 3));
                let groups = name.map(|name| supplementary(&groups, &name)).filter(|list| !list.is_empty());
                Self { uid, gid, groups }
            }
        };
        let ids = found.uid.iter().chain(&found.gid);
        let ids = ids.chain(&found.groups).flat_map(|list| list.split(','));
        match ids.into_iter().find(|id| !is_number(id)) {
            Some(id) => Err(Failure::new(format!("the image has the id '{}'", id.escape_debug()))),
            None => Ok(found),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.parse::<u32>().is_ok() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A column of the first line whose other column is this value.
fn field(table: &str, by: usize, value: &str, wanted: usize) -> Option<String> {
    let lines = table.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.into_iter().find(|columns| columns.get(by) == Some(&value))?;
    found.get(wanted).map(|text| (*text).to_owned())
}

fn supplementary(groups: &str, name: &str) -> String {
    let lines = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let of_user =
        lines.filter(|columns| columns.get(3).is_some_and(|list| list.split(',').any(|one| one == name)));
    of_user.filter_map(|columns| columns.get(2).copied()).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rooted::Rooted;

    /// Replaces the process that works on a guest's files.
    impl GuestFiles for Rooted {
        fn read_both(&self, paths: [&str; 2]) -> NodeResult<[Option<Vec<u8>>; 2]> {
            Ok(paths.map(|path| self.read(path).unwrap()))
        }

        fn make_dirs(&self, paths: Vec<String>) -> NodeResult<()> {
            for path in paths {
                Rooted::make_dirs(self, path.trim_start_matches('/'), 0o755).unwrap();
            }
            Ok(())
        }
    }

    fn files() -> (tempfile::TempDir, Rooted) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(
            dir.path().join("etc/passwd"),
            "root:x:0:0::/:\nweb:x:33:34::/srv:/bin/sh\nodd:x:1 2:3::/:\n",
        )
        .unwrap();
        std::fs::write(dir.path().join("etc/group"), "root:x:0:\nssl:x:40:a,web\nlog:x:41:web\n").unwrap();
        let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        let rooted = Rooted::open(dir.path(), me).unwrap();
        (dir, rooted)
    }

    #[test]
    fn users_are_found_in_the_files_of_the_image() {
        let (_dir, files) = files();
        let find = |text: &str| match User::find(text, &files) {
            Ok(User { uid, gid, groups }) => [uid, gid, groups].map(Option::unwrap_or_default).join(" "),
            Err(failure) => failure.text,
        };
        for (text, found) in [
            ("web", "33 34 40,41"),
            ("33", "33 34 40,41"),
            ("web:ssl", "33 40 "),
            ("web:7", "33 7 "),
            ("1000", "1000  "),
            ("1000:1000", "1000 1000 "),
            ("nobody", "the image has no user 'nobody'"),
            ("web:nobody", "the image has no group 'nobody'"),
            ("odd", "the image has the id '1 2'"),
            (":1", "OCI config value for 'User' has an invalid format"),
            ("a:b:c", "OCI config value for 'User' has an invalid format"),
        ] {
            assert_eq!(find(text), found, "{text}");
        }
    }

    #[test]
    fn the_words_of_a_command_are_quoted() {
        for (word, text) in
            [("/bin/sh", "/bin/sh"), ("", "''"), ("a b", "'a b'"), ("it's", r"'it'\''s'"), ("$x", "'$x'")]
        {
            assert_eq!(quoted(word), text);
        }
    }

    #[test]
    fn the_image_stands_above_what_was_asked() {
        if !rustix::process::geteuid().is_root() {
            pvect_testkit::skipped(module_path!(), "directories with owners need root");
            return;
        }
        let (dir, files) = files();
        let mut config = ContainerConfig::default();
        for (key, value) in [
            ("entrypoint", "/bin/mine"),
            ("net0", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth"),
            ("net1", "name=eth1,bridge=vmbr0,host-managed=0,hwaddr=BC:24:11:00:00:02,type=veth"),
        ] {
            config.main.set(key, value);
        }
        config.main.env.push("MINE=1".to_owned());
        let text = r#"{"Entrypoint":["/run me"],"Cmd":["-v"],"Env":["PATH=/bin","A=b c","NONE"],"User":"web",
            "WorkingDir":"/srv","StopSignal":"SIGQUIT","Volumes":{"/data/x":{}},"ExposedPorts":{"80/tcp":{}}}"#;
        let image: ImageConfig = serde_json::from_str(text).unwrap();
        let mut lines = Vec::new();
        apply(&image, &files, &mut config, &mut |line| lines.push(line.to_owned())).unwrap();
        assert_eq!(
            lines,
            [
                "creating base directory for volume at /data/x",
                "Auto-Enabling host-managed network for network device net0."
            ]
        );
        assert!(dir.path().join("data/x").is_dir() && dir.path().join("srv").is_dir());
        assert_eq!(
            config.to_text().unwrap(),
            "cmode: console\nentrypoint: '/run me' -v\n\
             net0: name=eth0,bridge=vmbr0,host-managed=1,hwaddr=BC:24:11:00:00:01,type=veth\n\
             net1: name=eth1,bridge=vmbr0,host-managed=0,hwaddr=BC:24:11:00:00:02,type=veth\n\
             lxc.environment.runtime: PATH=/bin\nlxc.environment.runtime: A=b c\n\
             lxc.init.uid: 33\nlxc.init.gid: 34\nlxc.init.groups: 40,41\nlxc.init.cwd: /srv\nlxc.signal.halt: SIGQUIT\n"
        );
    }

    #[test]
    fn control_characters_are_refused() {
        let (_dir, files) = files();
        for (text, words) in [
            (
                r#"{"Env":["A=\n"]}"#,
                "OCI config array-value for 'Env' contains forbidden control characters!",
            ),
            (
                r#"{"Cmd":["a\u0000"]}"#,
                "OCI config array-value for 'Cmd' contains forbidden control characters!",
            ),
            (
                r#"{"WorkingDir":"/\u007f"}"#,
                "OCI config value for 'WorkingDir' contains forbidden control characters!",
            ),
            (
                r#"{"Volumes":{"/\r":{}}}"#,
                "OCI config data-volumes path contains forbidden control characters!",
            ),
        ] {
            let image: ImageConfig = serde_json::from_str(text).unwrap();
            let failure = apply(&image, &files, &mut ContainerConfig::default(), &mut |_| {}).unwrap_err();
            assert_eq!(failure.text, words);
        }
    }
}
