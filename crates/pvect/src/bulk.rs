//! The same work on many containers, several at a time.
//!
//! [`rounds`] brings the containers into order, [`run`] works through them. Nothing here knows pct: the work is a
//! closure, so that any verb, reads included, can be done in bulk.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::num::NonZeroUsize;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use pvect_core::{Error, Events, Result};
use tokio::sync::mpsc;

use crate::select::Candidate;

/// In which direction the startup order is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Low orders first; those without one last.
    Start,
    /// The reverse.
    Stop,
}

/// Containers that are worked on together, and the pause before the next round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// Indices into the list that [`rounds`] was given.
    pub members: Vec<usize>,
    /// How long to wait when all have been done.
    pub pause: Duration,
}

/// Divides containers into rounds.
///
/// Without a direction there is one round. With one, containers of the same `order` of `startup` make a round; after
/// a round of starts comes a pause of the longest `up` among those that have one. Source: `startup` of
/// pct.conf, and how a node starts its guests.
pub fn rounds(chosen: &[Candidate], direction: Option<Direction>) -> Vec<Round> {
    let Some(direction) = direction else {
        return vec![Round { members: (0..chosen.len()).collect(), pause: Duration::ZERO }];
    };
    let mut by_order: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, one) in chosen.iter().enumerate() {
        by_order.entry(one.startup.order.unwrap_or(u32::MAX)).or_default().push(index);
    }
    let up =
        |members: &[usize]| members.iter().filter_map(|index| chosen[*index].startup.up).max().unwrap_or(0);
    let mut rounds: Vec<Round> = by_order
        .into_values()
        .map(|members| {
            let seconds = if direction == Direction::Start { up(&members) } else { 0 };
            Round { members, pause: Duration::from_secs(seconds.into()) }
        })
        .collect();
    if direction == Direction::Stop {
        rounds.reverse();
    }
    rounds
}

/// How many are worked on at a time, and whether a failure ends the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// How many at a time, at most.
    pub parallel: NonZeroUsize,
    /// After the first failure, do not start any more.
    pub fail_fast: bool,
}

impl Default for Limits {
    /// Twice the number of CPUs, because starting a container is as much waiting as computing; 16 at most, so that a
    /// large node's disks are not overloaded.
    fn default() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let parallel = NonZeroUsize::new((2 * cpus).clamp(2, 16)).unwrap_or(NonZeroUsize::MIN);
        Self { parallel, fail_fast: false }
    }
}

/// What happens during a run.
#[derive(Debug)]
pub enum Happening<'a, T> {
    /// Work on it began.
    Began,
    /// A line of its log.
    Log(&'a str),
    /// A line of its warnings.
    Warning(&'a str),
    /// Work on it ended.
    Ended(&'a Ended<T>),
}

/// The result for one container.
#[derive(Debug)]
pub enum Ended<T> {
    /// It was done.
    Done {
        /// What the work returned.
        value: T,
        /// How long it took.
        took: Duration,
    },
    /// It failed.
    Failed {
        /// Why.
        error: Error,
        /// How long it took.
        took: Duration,
    },
    /// It was not started, because another one failed and the run was to end then.
    Skipped,
}

impl<T> Ended<T> {
    /// Returns whether it was done.
    pub fn is_done(&self) -> bool {
        matches!(self, Self::Done { .. })
    }
}

/// Where the work on one container reports its log.
#[derive(Debug)]
pub struct Reporter {
    index: usize,
    lines: mpsc::UnboundedSender<(usize, Line)>,
}

#[derive(Debug)]
enum Line {
    Log(String),
    Warning(String),
}

impl Events for Reporter {
    fn log(&mut self, line: &str) {
        // The receiver lives as long as the work does.
        let _ = self.lines.send((self.index, Line::Log(line.to_owned())));
    }

    fn warning(&mut self, line: &str) {
        let _ = self.lines.send((self.index, Line::Warning(line.to_owned())));
    }
}

/// Works through the rounds and returns the result for each container, in the order of the list.
///
/// `watch` is called with everything that happens, as it happens. Dropping the future ends what runs.
pub async fn run<T, F, Fut>(
    rounds: &[Round],
    limits: Limits,
    work: F,
    mut watch: impl FnMut(usize, Happening<'_, T>),
) -> Vec<Ended<T>>
where
    F: Fn(usize, Reporter) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let (lines, mut heard) = mpsc::unbounded_channel();
    let mut ended: BTreeMap<usize, Ended<T>> = BTreeMap::new();
    let mut failed = false;
    for (number, round) in rounds.iter().enumerate() {
        let mut waiting: VecDeque<usize> = round.members.iter().copied().collect();
        let mut running = FuturesUnordered::new();
        loop {
            while running.len() < limits.parallel.get() && !(failed && limits.fail_fast) {
                let Some(index) = waiting.pop_front() else { break };
                watch(index, Happening::Began);
                let began = Instant::now();
                let doing = work(index, Reporter { index, lines: lines.clone() });
                running.push(async move { (index, doing.await, began.elapsed()) });
            }
            tokio::select! {
                biased;
                Some((index, line)) = heard.recv() => tell(&mut watch, index, &line),
                next = running.next() => {
                    let Some((index, result, took)) = next else { break };
                    failed |= result.is_err();
                    let end = match result {
                        Ok(value) => Ended::Done { value, took },
                        Err(error) => Ended::Failed { error, took },
                    };
                    while let Ok((index, line)) = heard.try_recv() {
                        tell(&mut watch, index, &line);
                    }
                    watch(index, Happening::Ended(&end));
                    ended.insert(index, end);
                }
            }
        }
        let stops = failed && limits.fail_fast;
        if number + 1 < rounds.len() && !stops {
            tokio::time::sleep(round.pause).await;
        }
    }
    let last = rounds.iter().flat_map(|round| &round.members).max().map_or(0, |last| last + 1);
    (0..last)
        .map(|index| {
            ended.remove(&index).unwrap_or_else(|| {
                watch(index, Happening::Ended(&Ended::Skipped));
                Ended::Skipped
            })
        })
        .collect()
}

fn tell<T>(watch: &mut impl FnMut(usize, Happening<'_, T>), index: usize, line: &Line) {
    match line {
        Line::Log(text) => watch(index, Happening::Log(text)),
        Line::Warning(text) => watch(index, Happening::Warning(text)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use pvect_core::property::Startup;
    use pvect_core::{Listing, RunState};

    use super::*;

    fn candidate(vmid: u32, startup: &str) -> Candidate {
        let listing = Listing {
            vmid: vmid.try_into().unwrap(),
            status: RunState::Stopped,
            lock: None,
            name: format!("CT{vmid}"),
            node: None,
        };
        let startup = if startup.is_empty() { Startup::default() } else { Startup::parse(startup).unwrap() };
        Candidate { startup, ..Candidate::new(listing, "pve1".parse().unwrap()) }
    }

    fn shape(rounds: &[Round]) -> Vec<(&[usize], u64)> {
        rounds.iter().map(|round| (round.members.as_slice(), round.pause.as_secs())).collect()
    }

    #[test]
    fn orders_make_rounds() {
        let all = [
            candidate(100, ""),
            candidate(101, "order=2,up=5"),
            candidate(102, "order=1"),
            candidate(103, "order=2,up=9"),
        ];
        assert_eq!(shape(&rounds(&all, None)), [(&[0, 1, 2, 3][..], 0)]);
        assert_eq!(
            shape(&rounds(&all, Some(Direction::Start))),
            [(&[2][..], 0), (&[1, 3][..], 9), (&[0][..], 0)]
        );
        assert_eq!(
            shape(&rounds(&all, Some(Direction::Stop))),
            [(&[0][..], 0), (&[1, 3][..], 0), (&[2][..], 0)]
        );
    }

    fn failure() -> Error {
        Error::NotFound { what: "not there".to_owned(), vmid: None }
    }

    fn one_round(count: usize) -> Vec<Round> {
        vec![Round { members: (0..count).collect(), pause: Duration::ZERO }]
    }

    fn limits(parallel: usize, fail_fast: bool) -> Limits {
        Limits { parallel: NonZeroUsize::new(parallel).unwrap(), fail_fast }
    }

    #[tokio::test]
    async fn so_many_at_a_time_and_no_more() {
        let (now, most) = (Cell::new(0), Cell::new(0));
        let work = async |_, _| {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            now.set(now.get() - 1);
            Ok(())
        };
        let ended = run(&one_round(10), limits(3, false), work, |_, _| {}).await;
        assert_eq!((ended.len(), ended.iter().filter(|end| end.is_done()).count(), most.get()), (10, 10, 3));
    }

    #[tokio::test]
    async fn a_failure_ends_the_run_only_when_asked() {
        for (fail_fast, words) in [(false, "done failed done done"), (true, "done failed skipped skipped")] {
            let work = async |index, _| if index == 1 { Err(failure()) } else { Ok(()) };
            let told = RefCell::new(0);
            let ended = run(&one_round(4), limits(1, fail_fast), work, |_, what| {
                *told.borrow_mut() += i32::from(matches!(what, Happening::Ended(_)));
            })
            .await;
            let found: Vec<&str> = ended
                .iter()
                .map(|end| match end {
                    Ended::Done { .. } => "done",
                    Ended::Failed { .. } => "failed",
                    Ended::Skipped => "skipped",
                })
                .collect();
            assert_eq!((found.join(" ").as_str(), told.into_inner()), (words, 4));
        }
    }

    #[tokio::test]
    async fn lines_come_before_the_end() {
        let work = async |index, mut reporter: Reporter| {
            reporter.log(&format!("hello {index}"));
            reporter.warning("careful");
            Ok(())
        };
        let mut told = Vec::new();
        run(&one_round(1), limits(1, false), work, |_, what| {
            told.push(match what {
                Happening::Began => "began".to_owned(),
                Happening::Log(line) | Happening::Warning(line) => line.to_owned(),
                Happening::Ended(_) => "ended".to_owned(),
            });
        })
        .await;
        assert_eq!(told, ["began", "hello 0", "careful", "ended"]);
    }
}
