//! The tree of `pvect image`.

use clap::{Arg, ArgAction, Command};

/// Adds the commands of `pvect image`; `bare` makes one of a name and a sentence.
pub(super) fn command(command: Command, bare: fn(&'static str, &'static str) -> Command) -> Command {
    command.subcommand_required(true).subcommands([
        with_registry(
            bare("pull", "Pull images from their registries into the store.").arg(references(
                true,
                "The images, such as nginx:stable or ghcr.io/owner/name@sha256:DIGEST.",
            )),
        )
        .arg(
            Arg::new("arch").long("arch").value_name("ARCHITECTURE").help(
                "For this architecture, such as arm64, armhf or arm/v6; that of this machine by default.",
            ),
        ),
        bare("list", "List the images of the store."),
        bare("inspect", "Show what an image says about itself, and its layers.")
            .arg(Arg::new("ref").required(true).value_name("REF").help("The image.")),
        bare("remove", "Remove names of images; 'prune' then frees the space.")
            .arg(references(true, "The images.")),
        bare("prune", "Remove what no name holds, and downloads that nobody went on with for a day."),
        bare("tag", "Give an image of the store one more name.")
            .arg(Arg::new("ref").required(true).value_name("REF").help("The image."))
            .arg(Arg::new("new").required(true).value_name("NEW").help("The new name.")),
        bare("export", "Write an image as an archive that create takes.")
            .arg(Arg::new("ref").required(true).value_name("REF").help("The image."))
            .arg(
                Arg::new("file")
                    .long("file")
                    .short('f')
                    .required(true)
                    .value_name("FILE")
                    .value_hint(clap::ValueHint::FilePath)
                    .help("The archive, such as nginx.tar; - is stdout."),
            ),
        with_registry(
            bare("outdated", "Show for which images the registry has something newer under the same tag.")
                .arg(references(false, "The images; all if left out.")),
        ),
    ])
}

fn references(required: bool, text: &'static str) -> Arg {
    Arg::new("ref").required(required).num_args(0..).value_name("REF").help(text)
}

fn with_registry(command: Command) -> Command {
    let flag = |name: &'static str, text: &'static str| {
        Arg::new(name).long(name).action(ArgAction::SetTrue).help(text)
    };
    let file = |name: &'static str, text: &'static str| {
        Arg::new(name).long(name).value_name("FILE").value_hint(clap::ValueHint::FilePath).help(text)
    };
    command.args([
        Arg::new("username").long("username").value_name("NAME").help(
            "The user of the registry. The password is asked for, or comes from PVECT_REGISTRY_PASSWORD.",
        ),
        file("password-file", "Read the password from the first line of a file.").requires("username"),
        flag("password-stdin", "Read the password from the first line of stdin.")
            .requires("username")
            .conflicts_with("password-file"),
        file("ca-file", "Trust the authorities (PEM) in this file instead of the system's."),
        flag("plain-http", "Use plain HTTP also for registries that are not on this machine."),
    ])
}
