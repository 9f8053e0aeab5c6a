//! The view on a terminal.

use pvect_core::Vmid;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table, TableState};

use super::rows::{COLUMNS, Key, Row, cells, size};

/// What is shown, and how.
#[derive(Debug)]
pub(super) struct View {
    pub(super) key: Key,
    pub(super) reverse: bool,
    pub(super) running_only: bool,
    pub(super) filter: String,
    /// Whether typed keys go to the filter.
    pub(super) typing: bool,
    pub(super) help: bool,
    /// The container under the cursor.
    pub(super) selected: Option<Vmid>,
    /// One line about the last action.
    pub(super) message: String,
    pub(super) state: TableState,
    /// How many rows fit.
    pub(super) height: usize,
}

impl View {
    pub(super) fn new(key: Key, reverse: bool) -> Self {
        Self {
            key,
            reverse,
            running_only: false,
            filter: String::new(),
            typing: false,
            help: false,
            selected: None,
            message: String::new(),
            state: TableState::default(),
            height: 50,
        }
    }

    /// Moves the cursor by rows.
    pub(super) fn step(&mut self, rows: &[Row], by: isize) {
        if rows.is_empty() {
            self.selected = None;
            return;
        }
        let at = self.position(rows).map_or(if by > 0 { -1 } else { 0 }, |at| at as isize);
        let to = (at + by).clamp(0, rows.len() as isize - 1) as usize;
        self.selected = rows.get(to).map(|row| row.sample.vmid);
    }

    fn position(&self, rows: &[Row]) -> Option<usize> {
        rows.iter().position(|row| Some(row.sample.vmid) == self.selected)
    }

    /// Draws everything.
    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, node: &str, rows: &[Row], all: usize) {
        let parts = Layout::vertical([Constraint::Length(1), Constraint::Min(1), Constraint::Length(1)])
            .split(frame.area());
        frame.render_widget(Paragraph::new(title(node, rows, all)), parts[0]);
        self.height = usize::from(parts[1].height.saturating_sub(1));
        if self.help {
            frame.render_widget(Paragraph::new(help()), parts[1]);
        } else {
            self.state.select(self.position(rows));
            frame.render_stateful_widget(self.table(rows), parts[1], &mut self.state);
        }
        frame.render_widget(Paragraph::new(self.footer()), parts[2]);
    }

    fn table<'a>(&self, rows: &[Row]) -> Table<'a> {
        let header = COLUMNS.iter().map(|(name, _)| Cell::from(*name));
        let bold = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
        let lines = rows.iter().map(|row| {
            let style = match (&row.sample.lock, row.sample.running) {
                (Some(_), _) => Style::new().fg(Color::Yellow),
                (None, true) => Style::new(),
                (None, false) => Style::new().fg(Color::DarkGray),
            };
            TableRow::new(cells(row).map(|text| Cell::from(crate::visible::printable(&text)))).style(style)
        });
        Table::new(lines, COLUMNS.iter().map(|(_, width)| Constraint::Length(*width)))
            .header(TableRow::new(header).style(bold))
            .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
            .column_spacing(1)
    }

    fn footer(&self) -> Line<'_> {
        if self.typing {
            return Line::from(format!("filter: {}_   (Enter keeps it, Esc drops it)", self.filter));
        }
        if !self.message.is_empty() {
            return Line::from(crate::visible::printable(&self.message));
        }
        let key = Key::ALL.iter().find(|(key, ..)| *key == self.key).map_or("", |(_, _, word)| word);
        let order = if self.reverse { "reversed" } else { "" };
        let filter =
            if self.filter.is_empty() { String::new() } else { format!("  filter '{}'", self.filter) };
        Line::from(format!(
            "by {key} {order}{filter}   ? help  / filter  s start  x shutdown  e enter  q quit"
        ))
    }
}

fn title(node: &str, rows: &[Row], all: usize) -> Line<'static> {
    let running = rows.iter().filter(|row| row.sample.running).count();
    let cpu: f64 = rows.iter().map(|row| row.rates.cpu).sum();
    let memory: u64 = rows.iter().map(|row| row.sample.mem).sum();
    Line::from(format!(
        "pvect top  node {node}  {} of {all} containers, {running} running  cpu {:.0}%  mem {}",
        rows.len(),
        cpu * 100.0,
        size(memory as f64)
    ))
    .style(Style::new().add_modifier(Modifier::BOLD))
}

fn help() -> Vec<Line<'static>> {
    let mut lines: Vec<Line<'static>> = [
        "Up, Down, j, k, PgUp, PgDn   move       /   filter by name or number",
        "s   start      x   shut down            a   show all, or only running ones",
        "e   enter: a shell in the container     r   reverse the order",
        "q   quit       ?   this page",
        "",
        "Sort by:",
    ]
    .into_iter()
    .map(Line::from)
    .collect();
    lines.extend(Key::ALL.iter().map(|(_, letter, word)| Line::from(format!("  {letter}   {word}"))));
    lines.push(Line::from(""));
    lines.push(Line::from(
        "CPU% is of one CPU. NET and IO are bytes a second. PRESSURE is cpu/io/memory, per cent of 10 s.",
    ));
    lines
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::rows::{rows, sort, tests::frames};
    use super::*;

    #[test]
    fn the_view_is_drawn() {
        let (before, now) = frames();
        let mut rows = rows(&now, Some(&before));
        sort(&mut rows, Key::Cpu, false);
        let mut view = View::new(Key::Cpu, false);
        view.step(&rows, 1);
        view.step(&rows, 1);
        let mut terminal = Terminal::new(TestBackend::new(126, 6)).unwrap();
        terminal.draw(|frame| view.draw(frame, "pve1", &rows, 3)).unwrap();
        insta::assert_snapshot!(terminal.backend(), @r#"
        "pvect top  node pve1  3 of 3 containers, 2 running  cpu 55%  mem 100M                                                         "
        "VMID      NAME             STATE     CPU%   MEM         SWAP        DISK        NET IN/OUT  IO R/W      PRESSURE  UPTIME      "
        "101       web              running   50.0   10M/512M    0/512M      5.0M/1.0G   500K/0      0/0         0/12/0    1h1m        "
        "102       db               running   5.0    90M/512M    0/512M      5.0M/1.0G   50K/0       0/0         0/12/0    1h1m        "
        "103       old              backup                                                                                             "
        "by cpu    ? help  / filter  s start  x shutdown  e enter  q quit                                                              "
        "#);
        assert_eq!(view.selected.map(Vmid::get), Some(102));
        view.step(&rows, 100);
        assert_eq!(view.selected.map(Vmid::get), Some(103));
        view.step(&rows, -100);
        assert_eq!(view.selected.map(Vmid::get), Some(101));
    }
}
