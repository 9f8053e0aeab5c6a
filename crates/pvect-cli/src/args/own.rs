//! The trees of pvect's own commands: for help, and to read their words.

use clap::builder::PossibleValuesParser;
use clap::{Arg, ArgAction, Command};

/// Commands of pvect itself, with one sentence each.
pub const OWN: &[(&str, &str)] = &[
    ("ip", "Print the addresses of a running container's own interfaces, one a line."),
    ("settings", "Show, check and migrate the settings."),
    ("doctor", "Check the set-up and find what interrupted commands left behind; --fix repairs it."),
    ("top", "Show the containers of the node live: cpu, memory, disk, net, io, pressure."),
    ("watch", "Stream the node's events as they happen: states, configurations, tasks."),
    ("tasks", "List what was done on the node, by whom and how it ended, or print the log of one task."),
    ("log", "Print what a container's last start, LXC and its console left to read."),
    ("compare", "Read the same through pct, the node's own files and the API; print what differs."),
    ("completion", "Print the completions for a shell."),
    ("man", "Print the manual page, or write all of them."),
    ("version", "Print the versions of pvect and pct."),
    ("demo", "Run three containers through their life cycle on a separate standalone node."),
    ("backup", "Back up containers with vzdump, or list the backups."),
    ("image", "Container images: pull them from registries, keep them on this node, hand them to create."),
    ("node", "The standalone node: start or stop all containers in order, its network, its API, its vzdump."),
    ("pct", "The pct of the standalone node."),
];

/// The tree of one of pvect's own commands.
pub fn own(name: &'static str) -> Command {
    with_negative_values(tree(name))
}

/// Lets every option that takes a value take `-1`: what is wrong with it is then said of the option.
fn with_negative_values(command: Command) -> Command {
    let is_valued =
        |arg: &Arg| !arg.is_positional() && matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let command =
        command.mut_args(|arg| if is_valued(&arg) { arg.allow_negative_numbers(true) } else { arg });
    command.mut_subcommands(with_negative_values)
}

fn tree(name: &'static str) -> Command {
    let text = OWN.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| *text);
    let command = bare(name, text);
    match name {
        "settings" => command.subcommand_required(true).subcommands([
            bare("show", "Show the settings in force, each with where it comes from; secrets are masked."),
            bare("check", "Find every problem in the settings file."),
            bare("schema", "Print the JSON schema of the settings file."),
            bare("migrate", "Convert a settings file of the old form to the present one; keeps a backup."),
        ]),
        "template" => bare("template", "Templates of containers.")
            .subcommand_required(true)
            .subcommands(template_commands()),
        "backup" => backup_command(command),
        "image" => super::image::command(command, bare),
        "node" => bare("node", text).subcommand_required(true).subcommands(node_commands()),
        "compare" => command
            .arg(Arg::new("ct").value_name("CT").num_args(0..).help("Numbers or names; all if left out.")),
        "ip" => command
            .arg(Arg::new("container").required(true).value_name("CONTAINER").help("Its number or name."))
            .arg(flag("4", "IPv4 addresses only.").long(None).short('4').conflicts_with("6"))
            .arg(flag("6", "IPv6 addresses only.").long(None).short('6')),
        "completion" => command.arg(
            Arg::new("shell")
                .required(true)
                .value_parser(PossibleValuesParser::new(["bash", "zsh", "fish"]))
                .help("The shell."),
        ),
        "man" => command
            .arg(
                Arg::new("command")
                    .num_args(0..)
                    .help("The command whose page to print; pvect's own if left out."),
            )
            .arg(Arg::new("dir").long("dir").value_name("DIR").help("Write every page into this directory.")),
        "top" => command
            .arg(
                Arg::new("container")
                    .num_args(0..)
                    .value_name("CONTAINER")
                    .help("The containers to show, as for verbs on many; all if left out."),
            )
            .arg(
                Arg::new("delay")
                    .long("delay")
                    .short('d')
                    .value_name("SECONDS")
                    .help("Between two frames; 1 by default."),
            )
            .arg(
                Arg::new("count")
                    .long("count")
                    .short('n')
                    .value_name("N")
                    .help("Print N frames as text and end."),
            )
            .arg(flag("batch", "Print frames as text, one after the other.")),
        "watch" => command
            .arg(
                Arg::new("container")
                    .num_args(0..)
                    .value_name("CONTAINER")
                    .help("The containers to watch, as for verbs on many; all if left out."),
            )
            .arg(Arg::new("count").long("count").short('n').value_name("N").help("End after N events.")),
        "tasks" => tasks_command(command),
        "log" => log_command(command),
        "demo" => command
            .arg(flag("fast", "Use a small busybox template instead of Debian."))
            .arg(flag("keep", "Keep everything at the end.")),
        "doctor" => command
            .arg(flag(
                "fix",
                "Repair what interrupted commands left behind on the standalone node; asks first.",
            ))
            .arg(flag("yes", "With --fix: do not ask. Needed if there is no terminal to ask on.")),
        "help" => help_command(),
        _ => command,
    }
}

fn flag(name: &'static str, text: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue).help(text)
}

fn lines(text: &'static str) -> Arg {
    Arg::new("lines").long("lines").short('n').value_name("N").help(text)
}

fn tasks_command(command: Command) -> Command {
    let task =
        "Only the tasks of this container, by number or name; of a UPID, as the list shows it, the log.";
    command
        .arg(Arg::new("task").value_name("CT|UPID").help(task))
        .arg(lines("At most N tasks, 50 by default; of a log the last N lines, all by default."))
        .arg(flag("errors", "Only tasks that did not end with OK; warnings count."))
        .arg(flag("running", "Only tasks that are under way."))
}

fn log_command(command: Command) -> Command {
    command
        .arg(Arg::new("ct").value_name("CT").required(true).help("The container, by number or name."))
        .arg(flag("follow", "Go on with what is added, until Ctrl-C.").short('f'))
        .arg(lines("The last N lines of each log, 100 by default."))
}

pub(super) fn template_commands() -> [Command; 3] {
    [
        bare("build", "Build a template into the storage 'local' of the standalone node.")
            .arg(Arg::new("what").required(true).value_name("busybox|debian[:SUITE]").help("What to build.")),
        bare("list", "List the templates of a storage.")
            .arg(Arg::new("storage").default_value("local").help("The storage.")),
        bare("remove", "Remove a template.")
            .arg(Arg::new("volume").required(true).help("Its volume id, such as local:vztmpl/x.tar.zst.")),
    ]
}

/// Keys of `etc/pve/network.cfg` that can be set, their values, and what they mean.
pub const NETWORK_KEYS: [(&str, &str, &str); 9] = [
    ("address", "ADDRESS/PREFIX", "The host's address on the bridge, and the network; chosen if never set."),
    ("ip6", "ADDRESS/64|auto|none", "The same for IPv6; auto: chosen when a container first asks for it."),
    ("dhcp", "0|1", "Whether addresses are given by DHCP."),
    ("dns", "0|1", "Whether name queries are answered."),
    ("nat", "0|1", "Whether containers reach other networks under the host's address."),
    ("domain", "DOMAIN", "The domain of the containers' names."),
    ("range", "FIRST-LAST", "The addresses that DHCP gives."),
    ("vlan-aware", "0|1", "Whether containers may have VLAN tags; needs a kernel with support for them."),
    ("ipfilter", "0|1", "Whether containers are restricted to their own IP addresses."),
];

fn network_commands() -> [Command; 3] {
    let bridge = |text: &'static str| Arg::new("bridge").long("bridge").value_name("NAME").help(text);
    let keys = NETWORK_KEYS
        .iter()
        .map(|(name, value, text)| Arg::new(*name).long(*name).value_name(*value).help(*text));
    [
        bare("up", "Make the node's bridge with DHCP, names and NAT; the options are kept for later.")
            .arg(bridge("The bridge; without options, all in network.cfg, or vmbr0 if there are none."))
            .args(keys),
        bare("down", "Remove the node's bridge and its services; the settings stay.")
            .arg(bridge("Only this one."))
            .arg(
                Arg::new("force").long("force").action(ArgAction::SetTrue).help("Even if containers use it."),
            ),
        bare("show", "Show the node's bridges, their networks and services."),
    ]
}

fn node_commands() -> [Command; 10] {
    let cts = |text: &'static str| Arg::new("ct").value_name("CT").num_args(0..).help(text);
    [
        bare("up", "Start the containers with onboot=1 that do not run, in startup order.")
            .arg(cts("Only these, whatever their onboot says.")),
        bare("down", "Shut down all running containers, in the reverse order.").arg(cts("Only these.")),
        bare("move-ids", "Give the files of stopped unprivileged containers host ids that nobody else has.")
            .arg(
                Arg::new("to").long("to").value_name("ID").value_parser(clap::value_parser!(u32)).help(
                    "The first of the 65536 ids; by default the node's own, or the first that are free.",
                ),
            )
            .arg(
                Arg::new("all")
                    .long("all")
                    .action(ArgAction::SetTrue)
                    .conflicts_with("ct")
                    .help("All unprivileged containers without lxc.idmap lines."),
            )
            .arg(cts("Only these; the others stay where they are.")),
        bare("network", "The node's own bridge: made at first use, or by this command.")
            .subcommand_required(true)
            .subcommands(network_commands()),
        bare("serve", "Serve the node's HTTPS API, like that of Proxmox VE, until SIGTERM.").arg(
            Arg::new("listen")
                .long("listen")
                .value_name("ADDRESS:PORT")
                .default_value("127.0.0.1:8006")
                .help("Where to listen; reachable from this machine alone by default."),
        ),
        bare("fingerprint", "Print the SHA-256 fingerprint of the API's certificate, for clients to pin."),
        bare("user", "The users of the API.").subcommand_required(true).subcommands(user_commands()),
        bare("token", "The tokens of the API.").subcommand_required(true).subcommands(token_commands()),
        bare("acl", "What users and tokens of the API may do.").subcommand_required(true).subcommands([
            bare("list", "List who has which role on which path."),
            bare("revoke", "Take a role on a path away.")
                .arg(Arg::new("who").required(true).value_name("USER@REALM[!ID]").help("The user or token."))
                .arg(Arg::new("path").required(true).help("The path, as 'list' shows it."))
                .arg(Arg::new("role").help("The role; all roles on this path if left out.")),
            bare("grant", "Grant a role on a path.")
                .arg(Arg::new("who").required(true).value_name("USER@REALM[!ID]").help("The user or token."))
                .arg(Arg::new("role").required(true).help("The role, such as PVEVMAdmin or PVEAuditor."))
                .arg(
                    Arg::new("path").default_value("/").help("The path, such as /vms/101 or /storage/local."),
                )
                .arg(
                    Arg::new("propagate")
                        .long("propagate")
                        .value_parser(PossibleValuesParser::new(["0", "1"]))
                        .default_value("1")
                        .help("Whether it also applies below the path."),
                ),
        ]),
        bare("vzdump", "The vzdump of the standalone node; it takes the arguments of the real one.")
            .arg(Arg::new("words").num_args(0..).help("Arguments for vzdump.")),
    ]
}

fn user_commands() -> [Command; 3] {
    let user =
        || Arg::new("user").required(true).value_name("USER@REALM").help("The user, such as root@pam.");
    [
        bare("add", "Add a user, or give one a new password.")
            .arg(user())
            .arg(
                Arg::new("password-file")
                    .long("password-file")
                    .value_name("FILE")
                    .value_hint(clap::ValueHint::FilePath)
                    .help("Read the password from the first line of a file."),
            )
            .arg(
                Arg::new("password-stdin")
                    .long("password-stdin")
                    .action(ArgAction::SetTrue)
                    .help("Read the password from the first line of stdin."),
            ),
        bare("list", "List the users."),
        bare("remove", "Remove a user with its tokens.").arg(user()),
    ]
}

fn token_commands() -> [Command; 3] {
    let token = || Arg::new("token").required(true).value_name("USER@REALM!ID").help("The token.");
    [
        bare("add", "Make a token and print its secret, once.").arg(token()).arg(
            Arg::new("privsep")
                .long("privsep")
                .value_parser(PossibleValuesParser::new(["0", "1"]))
                .default_value("1")
                .help(
                    "0: it may do everything that its user may. 1: only what is also granted to the token.",
                ),
        ),
        bare("list", "List the tokens."),
        bare("remove", "Remove a token.").arg(token()),
    ]
}

fn backup_command(command: Command) -> Command {
    let value = |name: &'static str, value: &'static str, text: &'static str| {
        Arg::new(name).long(name).value_name(value).help(text)
    };
    let choice = |name: &'static str, choices: &[&'static str], text: &'static str| {
        Arg::new(name).long(name).value_parser(PossibleValuesParser::new(choices.to_vec())).help(text)
    };
    command.args([
        Arg::new("ct")
            .value_name("CT...|list")
            .required(true)
            .num_args(1..)
            .help("The containers, by number or name; 'list' lists the backups of the storage instead."),
        value(
            "storage",
            "STORAGE",
            "The storage for the archives; 'local' if neither this nor a directory is given.",
        ),
        value("dumpdir", "DIR", "A directory of the node for the archives, instead of a storage."),
        choice(
            "mode",
            &["snapshot", "suspend", "stop"],
            "How a running container is kept from changing [default: snapshot].",
        ),
        choice("compress", &["0", "gzip", "lzo", "zstd"], "How archives are compressed.")
            .default_value("zstd"),
        value(
            "exclude-path",
            "PATTERN",
            "Leave these files out; a pattern that begins with / starts at the root.",
        )
        .action(ArgAction::Append),
        value(
            "notes-template",
            "TEXT",
            "Notes for the backup; may contain {{guestname}}, {{node}}, {{vmid}}.",
        ),
        Arg::new("protected")
            .long("protected")
            .action(ArgAction::SetTrue)
            .help("Protect the backup from removal."),
        value(
            "prune-backups",
            "KEEP",
            "Which backups of the container to keep, such as keep-last=3; the others are removed.",
        ),
        number(value(
            "zstd",
            "THREADS",
            "How many threads compress with zstd, 0 for half of the cores. Without it the standalone node uses all cores, \
             Proxmox VE one thread.",
        )),
        number(value("bwlimit", "KIB", "At most this many KiB per second.")),
        number(value("stopwait", "MINUTES", "With mode stop: how long the shutdown may take [default: 10].")),
    ])
}

/// A whole number from 0, handed on as it was typed.
fn number(arg: Arg) -> Arg {
    arg.value_parser(|text: &str| match text.parse::<u32>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("not a whole number from 0"),
    })
}

pub(super) fn help_command() -> Command {
    bare(
        "help",
        "Explain a command, the 'options' of all commands, the 'errors' by kind, or the 'traps' of pct.",
    )
    .arg(Arg::new("command").num_args(0..).help("The command."))
}

/// A command without the help and version that clap would add.
pub(super) fn bare(name: &'static str, text: &'static str) -> Command {
    Command::new(name)
        .about(text)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
}
