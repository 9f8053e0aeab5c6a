//! The help of a verb, in pct's layout. The sentences are ours: they come from the table of options.

use pvect_core::Verb;
use pvect_core::schema::{ArgSpec, Format, Kind, OptionSpec, PropertySchema, check};

use super::wrap::wrap;
use super::{by_name, line_after, named_options};

const INDENT: &str = "             ";

/// Describes verbs: one, or all of them by name. `prefix` is the text before a verb, usually `pct`.
pub(crate) fn describe(prefix: &str, verb: Option<Verb>) -> String {
    match verb {
        Some(verb) => one(prefix, verb),
        None => by_name().map(|verb| one(prefix, verb)).collect(),
    }
}

fn one(prefix: &str, verb: Verb) -> String {
    let spec = verb.spec();
    let mut text = format!("USAGE: {}\n", line_after(&format!("{prefix} {verb}"), verb));
    text += &format!("\n{}\n\n", wrap("  ", "  ", spec.text));
    for arg in spec.args {
        text += &entry(&format!("<{}>", arg.name), &argument_type(arg), None, arg.text);
    }
    for option in named_options(verb) {
        let name = format!("--{}", option.display_name());
        text += &entry(&name, &option_type(option), option.default, option.text);
    }
    text
}

fn entry(name: &str, type_text: &str, default: Option<&str>, description: &str) -> String {
    let default = default.map_or_else(String::new, |default| format!("   (default={default})"));
    let head = wrap("", INDENT, &format!("  {name:<10} {type_text}{default}\n"));
    format!("{head}{}\n\n", wrap(INDENT, INDENT, description))
}

fn argument_type(arg: &ArgSpec) -> String {
    if arg.rest { "<array>".to_owned() } else { kind_text(arg.kind) }
}

fn option_type(option: &OptionSpec) -> String {
    match option.name {
        "password" => "<password>".to_owned(),
        _ => kind_text(option.kind),
    }
}

fn kind_text(kind: Kind) -> String {
    match kind {
        Kind::Boolean => "<boolean>".to_owned(),
        Kind::Integer { min, max } => bounded("integer", min, max),
        Kind::Number { min, max } => bounded("number", min, max),
        Kind::Enum(words) => choice(words.iter().map(|word| (*word).to_owned()).collect()),
        Kind::VolumeKey { unused } => choice(check::volume_keys(unused)),
        Kind::List(_) => "<string>".to_owned(),
        Kind::Properties(schema) => properties(schema),
        Kind::Text(format) => format_text(format).to_owned(),
    }
}

/// The placeholder for a text: a description, or the pattern that it has to match.
fn format_text(format: Format) -> &'static str {
    match format {
        Format::Vmid => "<integer> (100 - 999999999)",
        Format::StorageId => "<storage ID>",
        Format::FilePath => "<filepath>",
        Format::EscapeChar => r"\^?[a-z]",
        Format::ResizeSize => r"\+?\d+(\.\d+)?[KMGT]?",
        Format::Startup => r"[[order=]\d+] [,up=\d+] [,down=\d+] ",
        Format::Entrypoint => r"(?^:[^\x00-\x08\x0a-\x1F\x7F]+)",
        Format::Environment => {
            r"(?^:(?:\w+=[^\x00-\x08\x0a-\x1F\x7F]*)(?:\0\w+=[^\x00-\x08\x0a-\x1F\x7F]*)*)"
        }
        _ => "<string>",
    }
}

fn bounded<T: std::fmt::Display>(name: &str, min: Option<T>, max: Option<T>) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("<{name}> ({min} - {max})"),
        (Some(min), None) => format!("<{name}> ({min} - N)"),
        (None, Some(max)) => format!("<{name}> (-N - {max})"),
        (None, None) => format!("<{name}>"),
    }
}

fn choice(mut words: Vec<String>) -> String {
    words.sort();
    format!("<{}>", words.join(" | "))
}

/// Describes a property string: the default key, then required keys, then the others.
fn properties(schema: &PropertySchema) -> String {
    let rank = |name: &str, required: bool| match schema.default_key {
        Some(default) if default == name => 0,
        _ if required => 1,
        _ => 2,
    };
    let mut keys: Vec<_> = schema.properties.iter().collect();
    keys.sort_by_key(|key| (rank(key.name, key.required), key.name));
    let parts = keys.iter().enumerate().map(|(index, key)| {
        let name = match schema.default_key {
            Some(default) if default == key.name => format!("[{}=]", key.name),
            _ => format!("{}=", key.name),
        };
        let comma = if index == 0 { "" } else { "," };
        let part = format!("{comma}{name}<{}>", key.placeholder);
        if key.required { part } else { format!("[{part}]") }
    });
    parts.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The recorded heads of entries; what follows each in the help is our sentence.
    const HEADS: &[(&str, &str)] = &[
        ("<vmid>", "  <vmid>     <integer> (100 - 999999999)\n"),
        ("<ostemplate>", "  <ostemplate> <string>\n"),
        (
            "--arch",
            "  --arch     <amd64 | arm64 | armhf | i386 | riscv32 | riscv64>  \n\t     (default=amd64)\n",
        ),
        (
            "--bwlimit",
            "  --bwlimit  <number> (0 - N)\t(default=restore limit from datacenter or\n\t     storage config)\n",
        ),
        ("--cmode", "  --cmode    <console | shell | tty>   (default=tty)\n"),
        ("--console", "  --console  <boolean>\t (default=1)\n"),
        ("--cores", "  --cores    <integer> (1 - 8192)\n"),
        ("--cpulimit", "  --cpulimit <number> (0 - 8192)   (default=0)\n"),
        (
            "--cpuunits",
            "  --cpuunits <integer> (0 - 500000)   (default=cgroup v1: 1024, cgroup v2:\n\t     100)\n",
        ),
        (
            "--dev[n]",
            "  --dev[n]   [[path=]<Path>] [,deny-write=<1|0>] [,gid=<integer>]\n\
             \t     [,mode=<Octal access mode>] [,uid=<integer>]\n",
        ),
        ("--entrypoint", "  --entrypoint (?^:[^\\x00-\\x08\\x0a-\\x1F\\x7F]+)\t (default=/sbin/init)\n"),
        (
            "--env",
            "  --env     \n\t     (?^:(?:\\w+=[^\\x00-\\x08\\x0a-\\x1F\\x7F]*)(?:\\0\\w+=[^\\x00-\\x08\\x0a\n\
             \t     -\\x1F\\x7F]*)*)\n",
        ),
        (
            "--features",
            "  --features [force_rw_sys=<1|0>] [,fuse=<1|0>] [,keyctl=<1|0>]\n\
             \t     [,mknod=<1|0>] [,mount=<fstype;fstype;...>] [,nesting=<1|0>]\n",
        ),
        ("--force", "  --force    <boolean>\n"),
        ("--ha-managed", "  --ha-managed <boolean>   (default=0)\n"),
        (
            "--lock",
            "  --lock     <backup | create | destroyed | disk | fstrim | migrate |\n\
             \t     mounted | rollback | snapshot | snapshot-delete>\n",
        ),
        ("--memory", "  --memory   <integer> (16 - N)   (default=512)\n"),
        (
            "--mp[n]",
            "  --mp[n]    [volume=]<volume> ,mp=<Path> [,acl=<1|0>] [,backup=<1|0>]\n\
             \t     [,idmap=<type:container:disk:range-size[;type:container:disk:r\n\
             \t     ange-size;...]>] [,keepattrs=<1|0>]\n\
             \t     [,mountoptions=<opt[;opt...]>] [,quota=<1|0>]\n\
             \t     [,replicate=<1|0>] [,ro=<1|0>] [,shared=<1|0>]\n\
             \t     [,size=<DiskSize>]\n",
        ),
        (
            "--net[n]",
            "  --net[n]   name=<string> [,bridge=<bridge>] [,firewall=<1|0>]\n\
             \t     [,gw=<GatewayIPv4>] [,gw6=<GatewayIPv6>] [,host-managed=<1|0>]\n\
             \t     [,hwaddr=<XX:XX:XX:XX:XX:XX>] [,ip=<(IPv4/CIDR|dhcp|manual)>]\n\
             \t     [,ip6=<(IPv6/CIDR|auto|dhcp|manual)>] [,link_down=<1|0>]\n\
             \t     [,mtu=<integer>] [,rate=<mbps>] [,tag=<integer>]\n\
             \t     [,trunks=<vlanid[;vlanid...]>] [,type=<veth>]\n",
        ),
    ];

    #[test]
    fn the_heads_of_create_are_those_of_pct() {
        let text = describe("pct", Some(Verb::Create));
        assert!(text.starts_with("USAGE: pct create <vmid> <ostemplate> [OPTIONS]\n\n  Make a container"));
        let mut from = 0;
        for (name, head) in HEADS {
            let at = text[from..].find(&format!("\n  {name} ")).map(|at| from + at + 1).unwrap();
            assert!(text[at..].starts_with(head), "{name}:\n{}", &text[at..at + 200]);
            from = at;
        }
    }

    #[test]
    fn a_whole_help_has_the_layout_of_pct() {
        assert_eq!(
            describe("pct", Some(Verb::Config)),
            "USAGE: pct config <vmid> [OPTIONS]\n\n  Show the configuration of a container.\n\n  \
             <vmid>     <integer> (100 - 999999999)\n\t     The number of the container.\n\n  \
             --current  <boolean>\t (default=0)\n\t     What is in force now, without pending changes.\n\n  \
             --snapshot <string>\n\t     What this snapshot recorded.\n\n"
        );
        assert_eq!(
            describe("pct", Some(Verb::List)),
            "USAGE: pct list \n\n  List the containers of the node.\n\n"
        );
        let all = describe("pct", None);
        assert_eq!(all.matches("USAGE: ").count(), Verb::ALL.len());
        assert!(all.contains("\n\nUSAGE: pct config <vmid> [OPTIONS]\n\n"));
    }
}
