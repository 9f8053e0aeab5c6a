//! What happens on a node, as it happens: states, configurations, tasks.
//!
//! The kernel tells of changed files (inotify) and of ended monitors (their command sockets close). A new container
//! makes its cgroup and its task's line, both of which inotify sees. What is reported by neither, such as a
//! configuration that another node of the cluster wrote, is found by a look every few seconds.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::Vmid;
use pvect_core::upid::Upid;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

use crate::{CommandSocket, NativeBackend};

/// How often everything is checked even if nothing was reported.
const LOOK: Duration = Duration::from_secs(3);
/// How often to check a container that is starting, or a task that is not in the index yet.
const STARTING: Duration = Duration::from_millis(50);

/// How long it may take until a task that ended is in the index.
const INDEXED: Duration = Duration::from_secs(2);

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A container has started or stopped.
    State {
        /// The container.
        vmid: Vmid,
        /// Whether it runs.
        running: bool,
    },
    /// A configuration file was created, removed or written.
    Config {
        /// The container.
        vmid: Vmid,
        /// What happened to it.
        change: Change,
    },
    /// A task began.
    TaskBegan {
        /// Its name.
        upid: Upid,
    },
    /// A task ended.
    TaskEnded {
        /// Its name.
        upid: Upid,
        /// Its result: `OK`, `WARNINGS: n` or the error; `None` if the index does not have it yet.
        status: Option<String>,
    },
}

/// What happened to a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was made.
    Made,
    /// It was changed.
    Changed,
    /// It was removed.
    Removed,
}

/// Watches a node.
#[derive(Debug)]
pub struct Watcher {
    backend: NativeBackend,
    tasks: PathBuf,
    told: OwnedFd,
    running: BTreeMap<Vmid, CommandSocket>,
    starting: BTreeSet<Vmid>,
    configs: BTreeMap<Vmid, Vec<u8>>,
    active: BTreeMap<String, Upid>,
    /// Tasks that are gone from the list and not in the index yet.
    ending: BTreeMap<String, (Upid, Instant)>,
    looked: Instant,
}

impl Watcher {
    /// Starts to watch; what exists already is not an event. `tasks` is the directory of the tasks' lists
    /// (`/var/log/pve/tasks`).
    ///
    /// # Errors
    /// When the kernel does not provide inotify, or the configurations cannot be watched.
    pub fn new(backend: NativeBackend, tasks: impl Into<PathBuf>) -> io::Result<Self> {
        let told = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let written = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::DELETE;
        inotify::add_watch(&told, backend.configs(), written)?;
        let tasks = tasks.into();
        // These may not exist yet; then only the check every few seconds notices changes.
        let _ = inotify::add_watch(&told, &tasks, written | WatchFlags::MODIFY);
        let names = backend.reader().names();
        for hierarchy in backend.reader().cgroups().hierarchies() {
            let cgroup = hierarchy.join(names.cgroup(Vmid::MIN));
            let parent = cgroup.parent().unwrap_or(&hierarchy);
            let flags = WatchFlags::CREATE | WatchFlags::DELETE;
            if inotify::add_watch(&told, parent, flags).is_err() {
                let _ = inotify::add_watch(&told, &hierarchy, flags);
            }
        }
        let mut watcher = Self {
            backend,
            tasks,
            told,
            running: BTreeMap::new(),
            starting: BTreeSet::new(),
            configs: BTreeMap::new(),
            active: BTreeMap::new(),
            ending: BTreeMap::new(),
            looked: Instant::now(),
        };
        watcher.look();
        Ok(watcher)
    }

    /// Waits until something happens, at most for `limit`; returns an empty list when the time is over.
    ///
    /// # Errors
    /// When waiting fails.
    pub fn wait(&mut self, limit: Duration) -> io::Result<Vec<Event>> {
        let until = Instant::now() + limit;
        loop {
            let step = if self.starting.is_empty() && self.ending.is_empty() { LOOK } else { STARTING };
            let left = until.saturating_duration_since(Instant::now()).min(step);
            let woken = self.sleep(left)?;
            let overdue = self.looked.elapsed() >= step;
            let events = if woken || overdue { self.look() } else { Vec::new() };
            if !events.is_empty() || Instant::now() >= until {
                return Ok(events);
            }
        }
    }

    /// Sleeps until the kernel reports something; returns whether it did.
    fn sleep(&mut self, limit: Duration) -> io::Result<bool> {
        let timeout = Timespec {
            tv_sec: limit.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: limit.subsec_nanos().into(),
        };
        let mut fds = vec![PollFd::new(&self.told, PollFlags::IN)];
        fds.extend(
            self.running.values().map(|socket| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)),
        );
        let ready = match poll(&mut fds, Some(&timeout)) {
            Ok(count) => count > 0,
            Err(rustix::io::Errno::INTR) => false,
            Err(error) => return Err(error.into()),
        };
        if ready {
            // It does not matter what was reported: everything is checked.
            let mut buffer = [MaybeUninit::uninit(); 4096];
            let mut reader = Reader::new(&self.told, &mut buffer);
            while reader.next().is_ok() {}
        }
        Ok(ready)
    }

    /// Compares the present state with the last one.
    fn look(&mut self) -> Vec<Event> {
        self.looked = Instant::now();
        let (mut events, mut effects) = (Vec::new(), Vec::new());
        // The effects of a task are checked between two checks of the tasks, so that they are reported after its start
        // and before its end.
        let ended = self.look_for_ended(&mut events);
        self.look_at_configs(&mut effects);
        self.look_at_states(&mut effects);
        self.look_for_begun(&self.active_text(), &mut events);
        events.extend(effects);
        events.extend(ended);
        events
    }

    fn look_at_states(&mut self, events: &mut Vec<Event>) {
        let reader = self.backend.reader();
        let gone: Vec<Vmid> =
            self.running.iter().filter(|(_, socket)| socket.is_closed()).map(|(vmid, _)| *vmid).collect();
        for vmid in gone {
            self.running.remove(&vmid);
            events.push(Event::State { vmid, running: false });
        }
        self.starting.clear();
        for vmid in reader.running() {
            if self.running.contains_key(&vmid) {
                continue;
            }
            let connect = || CommandSocket::connect(reader.names().lxc_path(), vmid);
            // A monitor answers one request for each connection; this connection is kept to notice its end.
            let Ok(socket) = connect() else { continue };
            if connect().and_then(CommandSocket::is_running).unwrap_or(false) {
                self.running.insert(vmid, socket);
                events.push(Event::State { vmid, running: true });
            } else {
                self.starting.insert(vmid);
            }
        }
    }

    fn look_at_configs(&mut self, events: &mut Vec<Event>) {
        let Ok(vmids) = self.backend.vmids() else { return };
        let gone: Vec<Vmid> =
            self.configs.keys().filter(|vmid| vmids.binary_search(vmid).is_err()).copied().collect();
        for vmid in gone {
            self.configs.remove(&vmid);
            events.push(Event::Config { vmid, change: Change::Removed });
        }
        for vmid in vmids {
            let Ok(text) = std::fs::read(self.backend.configs().join(format!("{vmid}.conf"))) else {
                continue;
            };
            let change = match self.configs.get(&vmid) {
                Some(known) if *known == text => continue,
                Some(_) => Change::Changed,
                None => Change::Made,
            };
            self.configs.insert(vmid, text);
            events.push(Event::Config { vmid, change });
        }
    }

    fn active_text(&self) -> String {
        std::fs::read_to_string(self.tasks.join("active")).unwrap_or_default()
    }

    fn look_for_begun(&mut self, text: &str, events: &mut Vec<Event>) {
        for upid in active(text) {
            if let Entry::Vacant(place) = self.active.entry(upid.to_string()) {
                events.push(Event::TaskBegan { upid: upid.clone() });
                place.insert(upid);
            }
        }
    }

    /// Returns the tasks that ended; those that began meanwhile are added to `events`.
    fn look_for_ended(&mut self, events: &mut Vec<Event>) -> Vec<Event> {
        let text = self.active_text();
        self.look_for_begun(&text, events);
        let now: BTreeMap<String, Upid> = active(&text).map(|upid| (upid.to_string(), upid)).collect();
        let before = std::mem::replace(&mut self.active, now);
        let gone = before.into_iter().filter(|(name, _)| !self.active.contains_key(name));
        self.ending.extend(gone.map(|(name, upid)| (name, (upid, Instant::now()))));
        let (tasks, mut ended) = (&self.tasks, Vec::new());
        self.ending.retain(|name, (upid, since)| {
            let status = status_of(tasks, &text, name);
            let known = status.is_some() || since.elapsed() > INDEXED;
            if known {
                ended.push(Event::TaskEnded { upid: upid.clone(), status });
            }
            !known
        });
        ended
    }
}

/// The running tasks, from the text of `active`: lines of a UPID, whether it is in the index, and, when it has ended,
/// its end and status. Source: `active` of `PVE::RESTEnvironment`.
fn active(text: &str) -> impl Iterator<Item = Upid> {
    text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let upid = words.next()?.parse().ok()?;
        // After the mark come the end and the status.
        words.nth(1).is_none().then_some(upid)
    })
}

/// How a task ended: by its line in `active`, else by the last one in the index (`UPID END STATUS`).
fn status_of(tasks: &Path, active: &str, name: &str) -> Option<String> {
    let rest = active.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    if let Some(status) = rest.and_then(|rest| rest.splitn(3, ' ').nth(2)) {
        return Some(status.to_owned());
    }
    let index = std::fs::read_to_string(tasks.join("index")).ok()?;
    let rest = index.lines().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    rest.split_once(' ').map(|(_, status)| status.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "UPID:pve1:00000001:00000002:00000003:vzstart:101:root@pam:";
    const TWO: &str = "UPID:pve1:00000009:00000002:00000003:vzstop:102:root@pam:";

    fn watcher(dir: &Path) -> Watcher {
        let (configs, tasks) = (dir.join("lxc"), dir.join("tasks"));
        std::fs::create_dir_all(&configs).unwrap();
        std::fs::create_dir_all(&tasks).unwrap();
        Watcher::new(NativeBackend::new(dir.join("none"), configs), tasks).unwrap()
    }

    fn shown(events: &[Event]) -> Vec<String> {
        events
            .iter()
            .map(|event| match event {
                Event::State { vmid, running } => format!("{vmid} {running}"),
                Event::Config { vmid, change } => format!("{vmid} {change:?}"),
                Event::TaskBegan { upid } => format!("began {}", upid.worker),
                Event::TaskEnded { upid, status } => format!("ended {} {status:?}", upid.worker),
            })
            .collect()
    }

    #[test]
    fn files_are_watched() {
        let dir = tempfile::tempdir().unwrap();
        let mut watcher = watcher(dir.path());
        let mut happens = |what: &dyn Fn(&Path)| {
            what(dir.path());
            shown(&watcher.wait(Duration::from_secs(30)).unwrap())
        };
        assert_eq!(
            happens(&|dir| std::fs::write(dir.join("lxc/101.conf.tmp"), "x")
                .and_then(|()| std::fs::rename(dir.join("lxc/101.conf.tmp"), dir.join("lxc/101.conf")))
                .unwrap()),
            ["101 Made"]
        );
        assert_eq!(
            happens(&|dir| std::fs::rename(dir.join("lxc/101.conf"), dir.join("lxc/102.conf")).unwrap()),
            ["101 Removed", "102 Made"]
        );
        assert_eq!(
            happens(&|dir| std::fs::write(dir.join("tasks/active"), format!("{ONE} 0\n")).unwrap()),
            ["began vzstart"]
        );
        let end = |dir: &Path| {
            std::fs::write(
                dir.join("tasks/index"),
                format!("{TWO} 00000001 OK\n{ONE} 00000005 command failed: x\n"),
            )
            .unwrap();
            std::fs::write(dir.join("tasks/active"), "").unwrap();
        };
        assert_eq!(happens(&end), ["ended vzstart Some(\"command failed: x\")"]);
    }

    #[test]
    fn nothing_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut watcher = watcher(dir.path());
        assert_eq!(watcher.wait(Duration::from_millis(1)).unwrap(), []);
    }

    #[test]
    fn lists_of_the_real_node_are_read() {
        let text = format!("{ONE} 0\n{TWO} 1 00000005 WARNINGS: 2\nnonsense\n");
        assert_eq!(active(&text).map(|upid| upid.worker).collect::<Vec<_>>(), ["vzstart"]);
        assert_eq!(status_of(Path::new("/none"), &text, TWO).as_deref(), Some("WARNINGS: 2"));
        assert_eq!(status_of(Path::new("/none"), &text, ONE), None);
    }
}
