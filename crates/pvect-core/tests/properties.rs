//! Properties that are true of any input: nothing panics, and what is printed parses back to itself.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;
use pvect_core::config::{ContainerConfig, ParseMode, PendingDelete, Section, decode, encode};
use pvect_core::property::{self, DeviceEntry, Features, MountPoint, NetInterface, RootFs, Startup};
use pvect_core::schema::properties::{DEV, FEATURES, MOUNT_POINT, NET, REMOTE, ROOTFS, UNUSED};
use pvect_core::schema::{PropertySchema, Report, VERBS, check};
use pvect_core::size::DiskSize;
use pvect_core::tags::normalise;
use pvect_core::upid::Upid;
use pvect_core::{Call, Vmid};

const SCHEMAS: [&PropertySchema; 7] = [&DEV, &FEATURES, &MOUNT_POINT, &NET, &REMOTE, &ROOTFS, &UNUSED];

/// Lines that come near the grammar, so that the parsers are reached in their depth.
fn near_config() -> impl Strategy<Value = Vec<u8>> {
    let words = [
        "#",
        "%41",
        "%",
        "[pve:pending]",
        "[snap1]",
        "[x",
        "lxc.idmap",
        "lxc.environment.runtime",
        "lxc.bogus",
        "=",
        ":",
        " ",
        "\n",
        "\r",
        "\t",
        "\0",
        "memory",
        "512",
        "delete",
        "!swap,",
        "description",
        "snapstate",
        "prepare",
        "net0",
        "name=eth0",
        ",",
        "mp10",
        "local:1/a.raw",
        "mp=/a",
        "rootfs",
        "unused0",
        "u 0 1 2",
        "ü",
        "onboot",
        "yes",
        "parent",
        "env",
    ];
    vec(select(words.to_vec()), 0..60).prop_map(|words| words.concat().into_bytes())
}

/// Texts that come near a property string.
fn near_property() -> impl Strategy<Value = String> {
    let words = [
        "name",
        "bridge",
        "mp",
        "size",
        "ro",
        "nesting",
        "mode",
        "ip",
        "ip6",
        "hwaddr",
        "tag",
        "trunks",
        "order",
        "up",
        "=",
        ",",
        "eth0",
        "vmbr0",
        "/data",
        "8G",
        "0.5G",
        "1",
        "0",
        "yes",
        "off",
        "0660",
        "dhcp",
        "10.0.0.1/24",
        "fe80::1/64",
        "BC:24:11:AA:BB:02",
        "4094",
        "1;2;3",
        "local:4",
        "local:1/a.raw",
        "/dev/fuse",
        "idmap",
        "u:0:1:2",
        "mount",
        "nfs;cifs",
        "mountoptions",
        "noatime",
        "replicate",
        "firewall",
        " ",
        "\n",
        "..",
        "/",
    ];
    vec(select(words.to_vec()), 0..24).prop_map(|words| words.concat())
}

/// A value that Proxmox VE keeps as it is: no blanks at its ends, no control characters.
fn plain_value() -> impl Strategy<Value = String> {
    "[!-~ü]([ -~ü]{0,20}[!-~ü])?"
}

fn options() -> impl Strategy<Value = BTreeMap<String, String>> {
    let known = prop_oneof![
        ("memory", "[1-9][0-9]{0,6}"),
        ("onboot", "[01]"),
        ("hostname", "[a-z]{1,8}(\\.[a-z]{1,8}){0,2}"),
        ("cpulimit", "[0-9]{1,3}(\\.[0-9]{1,2})?"),
        ("arch", "[a-z0-9]{1,6}"),
        ("(net|mp)[0-9]{1,2}", "[!-~]{1,30}"),
        ("unused[0-9]", "local:[0-9]{3}/[a-z]{1,8}"),
        ("[a-z][a-z_]{0,12}[0-9]{0,3}", plain_value()),
    ];
    // Keys that are lines of another kind, or that the writer leaves out.
    let special =
        ["description", "delete", "snapstate", "env", "digest", "lxc", "pending", "snapname", "snapshots"];
    btree_map_of(known.prop_filter("a key of another kind", move |(key, value)| {
        !special.contains(&key.as_str()) && !value.ends_with("prepare") && !value.ends_with("delete")
    }))
    .prop_map(|mut options| {
        // The file's reader puts integers and booleans into their canonical form, the only form for this test.
        options.retain(|key, value| check::stored(key, value).map_or(true, |canonical| canonical == *value));
        options
    })
}

fn btree_map_of(
    pair: impl Strategy<Value = (String, String)>,
) -> impl Strategy<Value = BTreeMap<String, String>> {
    vec(pair, 0..8).prop_map(|pairs| pairs.into_iter().collect())
}

fn section() -> impl Strategy<Value = Section> {
    let description = proptest::option::of("([^\r]{0,20}\n){0,3}[^\n\r]{1,20}\n");
    let env = vec("[A-Z]{1,5}=[!-~]{0,10}", 0..3);
    let raw_key = select(vec!["lxc.idmap", "lxc.cap.drop", "lxc.net.0.type", "lxc.id_map"]);
    let raw = vec((raw_key.prop_map(str::to_owned), prop_oneof![Just(String::new()), plain_value()]), 0..4);
    (description, options(), env, raw).prop_map(|(description, options, env, raw)| Section {
        description,
        options,
        env,
        raw,
        ..Section::default()
    })
}

fn config() -> impl Strategy<Value = ContainerConfig> {
    let delete = btree_map("[a-z]{2,8}[0-9]{0,2}", any::<bool>(), 0..4).prop_map(|entries| {
        entries.into_iter().map(|(key, force)| PendingDelete { key, force }).collect::<Vec<_>>()
    });
    let pending = (section(), delete).prop_map(|(section, delete)| {
        let text = pvect_core::config::print_delete(&delete);
        Section { delete_text: (!delete.is_empty()).then_some(text), delete, ..section }
    });
    let pending = proptest::option::of(pending.prop_filter("empty", |section| !section.is_empty()));
    (section(), pending, btree_map("[a-zA-Z][a-zA-Z0-9_-]{1,12}", section(), 0..3))
        .prop_map(|(main, pending, snapshots)| ContainerConfig { main, pending, snapshots, id_base: None })
}

fn upid() -> impl Strategy<Value = String> {
    "UPID:[a-z-]{0,4}:[0-9A-Fa-f]{7,9}:[0-9A-F]{8,10}:[0-9A-F]{8}:[a-z]{0,6}:[0-9]{0,4}:[a-z@]{0,6}:?"
}

/// Printing what was parsed is stable, and typed values keep theirs.
fn typed<T: std::fmt::Display>(text: &str, parse: impl Fn(&str) -> Option<T>) -> Result<(), TestCaseError> {
    let Some(value) = parse(text) else { return Ok(()) };
    let printed = value.to_string();
    let again = parse(&printed).ok_or_else(|| TestCaseError::fail(format!("'{printed}' does not parse")))?;
    prop_assert_eq!(again.to_string(), printed);
    Ok(())
}

fn stable(bytes: &[u8]) -> Result<(), TestCaseError> {
    let _ = ContainerConfig::parse(bytes, ParseMode::Strict);
    let Ok((config, _)) = ContainerConfig::parse(bytes, ParseMode::Lenient) else { return Ok(()) };
    let _ = (config.volumes(), config.nets(), config.devices(), config.features(), config.id_maps());
    let _ = (config.snapshot_entries(), config.pending_items(), config.merged().to_output());
    let printed = config.to_text().map_err(|error| TestCaseError::fail(error.to_string()))?;
    let (again, _) = ContainerConfig::parse(printed.as_bytes(), ParseMode::Lenient)
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    prop_assert_eq!(again.to_text(), Ok(printed));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_configuration_prints_and_parses_back(config in config()) {
        // The writer drops unused volumes that are in use; no configuration of ours has any.
        let text = config.to_text().unwrap();
        let (again, _) = ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap();
        prop_assert_eq!(&again, &config, "{}", text);
        prop_assert_eq!(again.to_text().unwrap(), text);
    }

    #[test]
    fn any_output_prints_and_parses_back(section in section()) {
        let output = section.to_output();
        let again = ContainerConfig::parse_output(output.as_bytes()).unwrap();
        prop_assert_eq!(&again.main, &section, "{}", output);
    }

    #[test]
    fn any_bytes_are_a_configuration_or_an_error(bytes in vec(any::<u8>(), 0..200)) {
        stable(&bytes)?;
    }

    #[test]
    fn any_lines_are_a_configuration_or_an_error(bytes in near_config()) {
        stable(&bytes)?;
    }

    #[test]
    fn any_bytes_are_an_output_or_an_error(bytes in prop_oneof![vec(any::<u8>(), 0..200), near_config()]) {
        if let Ok(config) = ContainerConfig::parse_output(&bytes) {
            let again = ContainerConfig::parse_output(config.main.to_output().as_bytes());
            prop_assert_eq!(again, Ok(config));
        }
    }

    #[test]
    fn any_text_is_a_property_string_or_violations(text in prop_oneof![any::<String>(), near_property()]) {
        for schema in SCHEMAS {
            if let Ok(pairs) = property::parse(schema, "x", &text) {
                let printed = property::print(schema, &pairs);
                let again = property::parse(schema, "x", &printed);
                prop_assert!(again.is_ok(), "{}", printed);
                prop_assert_eq!(property::print(schema, &again.unwrap()), printed);
            }
        }
        typed(&text, |text| NetInterface::parse("net0", text).ok())?;
        typed(&text, |text| MountPoint::parse("mp0", text).ok())?;
        typed(&text, |text| RootFs::parse(text).ok())?;
        typed(&text, |text| DeviceEntry::parse("dev0", text).ok())?;
        typed(&text, |text| Features::parse(text).ok())?;
        let _ = Startup::parse(&text);
    }

    #[test]
    fn any_text_is_checked_by_every_option(text in prop_oneof![any::<String>(), near_property()]) {
        for spec in &VERBS {
            for option in spec.all_options() {
                let name = option.max_index.map_or_else(|| option.name.to_owned(), |_| format!("{}0", option.name));
                let call = Call::on(spec.verb, Vmid::MIN).option(name, text.clone());
                if let Err(found) = call.checked() {
                    prop_assert!(Report::new(&found).text.ends_with('\n'));
                }
            }
        }
    }

    #[test]
    fn any_text_is_a_upid_or_an_error(text in prop_oneof![any::<String>(), upid()]) {
        if let Ok(parsed) = text.parse::<Upid>() {
            prop_assert_eq!(parsed.to_string().parse::<Upid>(), Ok(parsed));
        }
    }

    #[test]
    fn any_text_is_a_size_or_none(text in prop_oneof![any::<String>(), "[0-9]{0,20}(\\.[0-9]{0,3})?[KMGT]?(iB)?"]) {
        if let Some(size) = DiskSize::parse(&text) {
            prop_assert_eq!(DiskSize::parse(&size.to_string()), Some(size));
        }
        let _ = DiskSize::from_gib(&text);
    }

    #[test]
    fn encoding_and_tags_are_stable(text in any::<String>()) {
        prop_assert_eq!(decode(&encode(&text)), text.clone());
        prop_assert_eq!(normalise(&normalise(&text)), normalise(&text));
        let _ = decode(&text);
    }
}
