//! What the demo shows.

use std::fs;
use std::future::Future;
use std::time::{Duration, Instant};

use pvect::{Client, Create, Manner};
use pvect_core::call::shell_quoted;
use pvect_core::{Call, Result, Verb, Vmid};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;

use super::stage::{Stage, failed};
use crate::app::App;
use crate::args::Form;
use crate::commands::list::COLUMNS;
use crate::render;

/// The containers.
const NAMES: [&str; 3] = ["web", "db", "cache"];
/// Their numbers.
pub const VMIDS: [u32; 3] = [101, 102, 103];
/// How much is copied into a container and back.
const SIZE: u32 = 16 << 20;

/// How long a container may take to get an address.
const PATIENCE: Duration = Duration::from_secs(30);

/// The steps of the demo.
pub struct Steps<'a> {
    app: &'a App,
    stage: &'a Stage,
    fast: bool,
}

impl<'a> Steps<'a> {
    /// Prepares the steps.
    pub fn new(app: &'a App, stage: &'a Stage, fast: bool) -> Self {
        Self { app, stage, fast }
    }

    /// Runs them one after the other; with `keep`, without the steps that remove everything.
    pub async fn run(&self, keep: bool) -> Result<()> {
        let what = if self.fast { "busybox" } else { "debian" };
        self.app.ui.print(format!("A standalone node below {}\n", self.stage.root().display()))?;
        if let Some(problem) = self.stage.problem() {
            self.app.ui.print(format!("The network is incomplete: {problem}\n"))?;
        }
        let title = format!("Build a template: pvect template build {what}");
        let template = self.step(&title, self.stage.build(what)).await?;
        self.step("Create three containers", self.create(&template)).await?;
        self.step("Start them together", self.each(Verb::Start)).await?;
        self.step("Show them: pvect list", self.show(Form::Table)).await?;
        self.step("Show them as JSON: pvect list --output json", self.show(Form::Json)).await?;
        self.step("Run a command in each: pvect exec NAME -- ...", self.exec()).await?;
        if self.stage.network().is_some_and(|network| network.dhcp) {
            self.step("They have addresses and find each other by name", self.names()).await?;
        }
        self.step("Copy 16 MiB in and out: pvect push, pvect pull", self.copy()).await?;
        if !keep {
            self.step("Stop them together", self.each(Verb::Stop)).await?;
            self.step("Destroy them", self.each(Verb::Destroy)).await?;
            self.step("Check that none is left", self.none()).await?;
        }
        Ok(())
    }

    async fn step<T>(&self, title: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        self.stage.check()?;
        self.app.ui.print(format!("\n==> {title}\n"))?;
        let started = Instant::now();
        let done = work.await;
        self.stage.check()?;
        let word = if done.is_ok() { "done in" } else { "failed after" };
        self.app.ui.print(format!("    {word} {:.2} s\n", started.elapsed().as_secs_f64()))?;
        done
    }

    fn say(&self, text: &str) -> Result<()> {
        self.app.ui.print(text.lines().map(|line| format!("    {line}\n")).collect::<String>())
    }

    async fn create(&self, template: &str) -> Result<()> {
        let mut all = JoinSet::new();
        for (index, name) in NAMES.into_iter().enumerate() {
            let vmid = number(index)?;
            let mut create = Create::new(template)
                .vmid(vmid)
                .option("hostname", name)
                .option("memory", "256")
                .option("rootfs", "local:1");
            if let Some(network) = self.stage.network() {
                let address =
                    if network.dhcp { "dhcp".to_owned() } else { format!("10.231.77.{}/24", 11 + index) };
                create = create.option("net0", format!("name=eth0,bridge={},ip={address}", network.bridge));
            }
            self.say(&format!("$ pvect {}", shell_quoted(&create.call(vmid).masked_argv())))?;
            let client = self.stage.client().clone();
            all.spawn(async move { client.create(&create, &mut ()).await.map(drop) });
        }
        finish(all).await
    }

    async fn each(&self, verb: Verb) -> Result<()> {
        let mut all = JoinSet::new();
        for index in 0..NAMES.len() {
            let call = Call::on(verb, number(index)?);
            self.say(&format!("$ pvect {}", shell_quoted(&call.masked_argv())))?;
            let client = self.stage.client().clone();
            all.spawn(async move { client.carry_out(&call, &Manner::default(), &mut ()).await.map(drop) });
        }
        finish(all).await
    }

    async fn show(&self, form: Form) -> Result<()> {
        let list = self.stage.client().list().await?;
        if running(&list) != NAMES.len() {
            return Err(failed("not all of them are running"));
        }
        self.say(&render::records(&self.app.ui.globals, form, COLUMNS, &list)?)
    }

    async fn exec(&self) -> Result<()> {
        let script =
            "echo \"$(hostname): $(sed -n 's/^PRETTY_NAME=//p' /etc/os-release), process $$ of its own\"";
        for name in NAMES {
            let client = self.stage.client();
            let vmid = client.resolve(name).await?;
            let done = client.exec(vmid, ["sh", "-c", script], None).await?;
            if done.status != 0 || !String::from_utf8_lossy(&done.stdout).starts_with(&format!("{name}:")) {
                return Err(failed(format!("exec in {name} ended with {}", done.status)));
            }
            self.say(&String::from_utf8_lossy(&done.stdout))?;
        }
        let done = self.stage.client().exec(number(0)?, ["sh", "-c", "exit 7"], None).await?;
        if done.status != 7 {
            return Err(failed(format!("`exit 7` in a container became {}", done.status)));
        }
        self.say("and `exit 7` in a container is exit status 7 here")
    }

    async fn names(&self) -> Result<()> {
        let (client, mut addresses) = (self.stage.client(), Vec::new());
        let show = "ip -4 addr show dev eth0 | sed -n 's/.* inet \\([0-9.]*\\).*/\\1/p' | grep .";
        for (index, name) in NAMES.into_iter().enumerate() {
            let vmid = number(index)?;
            let address = self.until(vmid, show).await?;
            self.say(&format!("{name} has {}", address.trim()))?;
            addresses.push(address.trim().to_owned());
        }
        let (first, second) = (number(0)?, NAMES[1]);
        // Debian's small system has no ping.
        let ask = if self.fast { format!("ping -c 1 {second}") } else { format!("getent hosts {second}") };
        self.say(&format!("$ pvect exec {} -- {ask}", NAMES[0]))?;
        let done = client.exec(first, ["sh", "-c", ask.as_str()], None).await?;
        let text = String::from_utf8_lossy(&done.stdout);
        if done.status != 0 || !text.contains(&addresses[1]) {
            return Err(failed(format!("{} does not find {second}", NAMES[0])));
        }
        self.say(text.lines().next().unwrap_or_default())
    }

    /// Runs a script until it succeeds: a network needs a moment after the start.
    async fn until(&self, vmid: Vmid, script: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.stage.check()?;
            let done = self.stage.client().exec(vmid, ["sh", "-c", script], None).await?;
            if done.status == 0 {
                return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
            }
            if Instant::now() > deadline {
                return Err(failed(format!("{vmid} has no address after {} s", PATIENCE.as_secs())));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn copy(&self) -> Result<()> {
        let (source, back) = (self.stage.root().join("source"), self.stage.root().join("back"));
        let io = |what: &'static str| move |source| pvect_core::Error::Io { what: what.to_owned(), source };
        let bytes: Vec<u8> =
            (0..SIZE / 4).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(7).to_le_bytes()).collect();
        let sum = sha256(&bytes);
        fs::write(&source, &bytes).map_err(io("cannot write the file to copy"))?;
        let (client, vmid): (&Client, Vmid) = (self.stage.client(), number(0)?);
        client.push(vmid, &source.to_string_lossy(), "/root/copy").await?;
        let inside = client.exec(vmid, ["sha256sum", "/root/copy"], None).await?;
        client.pull(vmid, "/root/copy", &back.to_string_lossy()).await?;
        let inside = String::from_utf8_lossy(&inside.stdout).split(' ').next().unwrap_or_default().to_owned();
        let after = sha256(&fs::read(&back).map_err(io("cannot read the copy"))?);
        self.say(&format!("here    {sum}\ninside  {inside}\nback    {after}"))?;
        if inside == sum && after == sum { Ok(()) } else { Err(failed("the copies differ")) }
    }

    async fn none(&self) -> Result<()> {
        let list = self.stage.client().list().await?;
        if list.is_empty() { self.say("none") } else { Err(failed("some are left")) }
    }
}

fn running(list: &[pvect_core::Listing]) -> usize {
    list.iter().filter(|entry| entry.status == pvect_core::RunState::Running).count()
}

fn number(index: usize) -> Result<Vmid> {
    let vmid = VMIDS.get(index).and_then(|id| Vmid::try_from(*id).ok());
    vmid.ok_or_else(|| failed("the demo has too many containers"))
}

/// Waits for all, and returns the first failure.
async fn finish(mut all: JoinSet<Result<()>>) -> Result<()> {
    let mut outcome = Ok(());
    while let Some(done) = all.join_next().await {
        let done = done.unwrap_or_else(|_| Err(failed("a task ended by itself")));
        if outcome.is_ok() {
            outcome = done;
        }
    }
    outcome
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
