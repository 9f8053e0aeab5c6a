//! `pvect top`: the containers of the node, live.

mod rows;
mod view;

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use clap::ArgMatches;
use pvect::live::{Frame, Sampler};
use pvect::select::{self, Selector};
use pvect::{Client, Manner};
use pvect_core::{Call, Error, Result, Verb, Vmid};
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::task::JoinHandle;

use crate::app::App;

use rows::{COLUMNS, Key, Row, cells};
use view::View;

/// Runs the command.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("top", words)?;
    // Without a handler for signals, so that closing the terminal ends this, too.
    let client = app.builder().connect()?;
    let sampler = client.sampler()?;
    let options = Options::read(app, &matches)?;
    let mut top = Top {
        node: client.node()?.to_string(),
        sampler,
        client,
        view: View::new(options.key, options.reverse),
        wanted: None,
        before: None,
        now: None,
    };
    if let Some(selector) = &options.selector {
        let all = select::candidates(&top.client, selector, false).await?;
        top.wanted = Some(selector.choose(&all)?.into_iter().map(|one| one.vmid).collect());
    }
    match options.frames {
        Some(count) => top.batch(app, count, options.delay).await,
        None if !std::io::stdout().is_terminal() || !std::io::stdin().is_terminal() => {
            Err(Error::bad_option("batch", "is needed without a terminal"))
        }
        None => top.live(options.delay).await,
    }
}

struct Options {
    delay: Duration,
    frames: Option<u32>,
    key: Key,
    reverse: bool,
    selector: Option<Selector>,
}

impl Options {
    fn read(app: &App, matches: &ArgMatches) -> Result<Self> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let delay = text("delay").unwrap_or_else(|| "1".to_owned());
        let delay: pvect::settings::Seconds =
            delay.parse().map_err(|error: String| Error::bad_option("delay", &error))?;
        let count = match text("count") {
            Some(text) => match text.parse::<u32>() {
                Ok(count) if count > 0 => Some(count),
                _ => {
                    return Err(Error::bad_option(
                        "count",
                        format!("'{text}' is not a whole number above 0"),
                    ));
                }
            },
            None => None,
        };
        let sort = app.ui.globals.sort.clone().unwrap_or_else(|| "cpu".to_owned());
        let (word, reverse) = sort.strip_prefix('-').map_or((sort.as_str(), false), |word| (word, true));
        let key = Key::from_word(word).ok_or_else(|| {
            let known: Vec<&str> = Key::ALL.iter().map(|(_, _, word)| *word).collect();
            Error::bad_option("sort", format!("'{word}' is not one of: {}", known.join(", ")))
        })?;
        let words: Vec<&String> = matches.get_many::<String>("container").unwrap_or_default().collect();
        let selector = if words.is_empty() { None } else { Some(Selector::parse(&words)?) };
        let batch = matches.get_flag("batch") || count.is_some();
        Ok(Self {
            delay: delay.duration(),
            frames: batch.then(|| count.unwrap_or(u32::MAX)),
            key,
            reverse,
            selector,
        })
    }
}

struct Top {
    node: String,
    client: Client,
    sampler: Sampler,
    view: View,
    /// The containers that were asked for.
    wanted: Option<Vec<Vmid>>,
    before: Option<Frame>,
    now: Option<Frame>,
}

/// What a key leads to.
enum Next {
    Go,
    Quit,
    Act(Verb, Vmid),
    Enter(Vmid),
}

impl Top {
    /// Reads the next frame; details only of visible rows, unless the sort order needs them of all.
    fn sample(&mut self, all: bool) -> Result<()> {
        let seen: Vec<Vmid> =
            self.rows().iter().take(self.view.height + 1).map(|row| row.sample.vmid).collect();
        let all = all || self.now.is_none() || self.view.key.needs_details();
        let selected = self.view.selected;
        let offset = self.view.state.offset();
        let shown: Vec<Vmid> =
            self.rows().iter().skip(offset).take(self.view.height).map(|row| row.sample.vmid).collect();
        let samples = self
            .sampler
            .sample(|vmid| all || seen.contains(&vmid) || shown.contains(&vmid) || Some(vmid) == selected)?;
        let wanted = self.wanted.as_ref();
        let samples =
            samples.into_iter().filter(|one| wanted.is_none_or(|wanted| wanted.contains(&one.vmid)));
        self.before = self.now.replace(Frame { at: Instant::now(), samples: samples.collect() });
        Ok(())
    }

    /// The rows as they are shown.
    fn rows(&self) -> Vec<Row> {
        let Some(now) = &self.now else { return Vec::new() };
        let mut rows = rows::rows(now, self.before.as_ref());
        rows::filter(&mut rows, &self.view.filter, self.view.running_only);
        rows::sort(&mut rows, self.view.key, self.view.reverse);
        rows
    }

    /// Prints frames as text, for files and pipes.
    async fn batch(&mut self, app: &App, count: u32, delay: Duration) -> Result<u8> {
        self.sample(true)?;
        for number in 0..count {
            if number > 0 {
                app.ui.print("\n")?;
            }
            tokio::time::sleep(delay).await;
            self.sample(true)?;
            let line = |cells: &[String]| {
                let padded = cells
                    .iter()
                    .zip(COLUMNS)
                    .map(|(text, (_, width))| format!("{text:<0$}", usize::from(width)));
                padded.collect::<Vec<_>>().join(" ").trim_end().to_owned() + "\n"
            };
            let mut text = line(&COLUMNS.map(|(name, _)| name.to_owned()));
            for row in self.rows() {
                text += &crate::visible::printable(&line(&cells(&row)));
            }
            app.ui.print(text)?;
        }
        Ok(0)
    }

    /// Draws until `q`.
    async fn live(&mut self, delay: Duration) -> Result<u8> {
        let failed = |source| Error::Io { what: "cannot draw on the terminal".to_owned(), source };
        let mut terminal = ratatui::try_init().map_err(failed)?;
        let outcome = async {
            let mut work: Option<JoinHandle<String>> = None;
            loop {
                self.sample(false)?;
                let until = Instant::now() + delay;
                loop {
                    if let Some(done) = work.take_if(|work| work.is_finished()) {
                        self.view.message = done.await.unwrap_or_default();
                    }
                    let (rows, all) = (self.rows(), self.now.as_ref().map_or(0, |now| now.samples.len()));
                    terminal.draw(|frame| self.view.draw(frame, &self.node, &rows, all)).map_err(failed)?;
                    let Some(key) = next_key(until, work.is_some()).await.map_err(failed)? else { break };
                    match self.key(key, &rows) {
                        Next::Go => {}
                        Next::Quit => return Ok(0),
                        Next::Act(verb, vmid) if work.is_none() => {
                            self.view.message = format!("{verb} {vmid} ...");
                            work = Some(tokio::spawn(act(self.client.clone(), verb, vmid)));
                        }
                        Next::Act(..) => "one thing at a time".clone_into(&mut self.view.message),
                        Next::Enter(vmid) => {
                            ratatui::restore();
                            let call = Call::on(Verb::Enter, vmid).flag("keep-env", false);
                            let left = match self.client.checked(call) {
                                Ok(call) => self.client.interactive(&call).await,
                                Err(error) => Err(error),
                            };
                            terminal = ratatui::try_init().map_err(failed)?;
                            self.view.message = match left {
                                Ok(status) => format!("the shell in {vmid} ended with status {status}"),
                                Err(error) => error.to_string(),
                            };
                        }
                    }
                }
            }
        }
        .await;
        ratatui::restore();
        outcome
    }

    fn key(&mut self, key: KeyEvent, rows: &[Row]) -> Next {
        self.view.message.clear();
        if key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL) {
            return Next::Quit;
        }
        if self.view.typing {
            match key.code {
                KeyCode::Enter => self.view.typing = false,
                KeyCode::Esc => (self.view.typing, self.view.filter) = (false, String::new()),
                KeyCode::Backspace => drop(self.view.filter.pop()),
                KeyCode::Char(letter) => self.view.filter.push(letter),
                _ => {}
            }
            return Next::Go;
        }
        let page = isize::try_from(self.view.height.max(1)).unwrap_or(1);
        match (key.code, self.view.selected) {
            (KeyCode::Char('q') | KeyCode::Esc, _) if !self.view.help => return Next::Quit,
            (KeyCode::Char('?' | 'q') | KeyCode::Esc, _) => self.view.help = !self.view.help,
            (KeyCode::Char('/'), _) => self.view.typing = true,
            (KeyCode::Char('a'), _) => self.view.running_only = !self.view.running_only,
            (KeyCode::Char('r'), _) => self.view.reverse = !self.view.reverse,
            (KeyCode::Down | KeyCode::Char('j'), _) => self.view.step(rows, 1),
            (KeyCode::Up | KeyCode::Char('k'), _) => self.view.step(rows, -1),
            (KeyCode::PageDown, _) => self.view.step(rows, page),
            (KeyCode::PageUp, _) => self.view.step(rows, -page),
            (KeyCode::Char('s'), Some(vmid)) => return Next::Act(Verb::Start, vmid),
            (KeyCode::Char('x'), Some(vmid)) => return Next::Act(Verb::Shutdown, vmid),
            (KeyCode::Char('e'), Some(vmid)) => return Next::Enter(vmid),
            (KeyCode::Char('s' | 'x' | 'e'), None) => {
                "choose a container first: Up and Down".clone_into(&mut self.view.message);
            }
            (KeyCode::Char(letter), _) => {
                if let Some((key, ..)) = Key::ALL.iter().find(|(_, known, _)| *known == letter) {
                    self.view.key = *key;
                }
            }
            _ => {}
        }
        Next::Go
    }
}

/// Waits for a key or a change of the terminal's size; `None` when it is time for the next frame.
async fn next_key(until: Instant, busy: bool) -> std::io::Result<Option<KeyEvent>> {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(None);
        }
        if !busy {
            if !event::poll(left)? {
                return Ok(None);
            }
        } else if !event::poll(Duration::ZERO)? {
            // Background work needs the runtime, so poll the terminal in steps.
            tokio::time::sleep(left.min(Duration::from_millis(25))).await;
            continue;
        }
        match event::read()? {
            Event::Key(key) if key.kind == KeyEventKind::Press => return Ok(Some(key)),
            Event::Resize(..) => return Ok(None),
            _ => {}
        }
    }
}

async fn act(client: Client, verb: Verb, vmid: Vmid) -> String {
    let call = Call::on(verb, vmid);
    match client.carry_out(&call, &Manner::default(), &mut ()).await {
        Ok(_) => format!("{verb} {vmid}: done"),
        Err(error) => format!("{verb} {vmid}: {error}"),
    }
}
