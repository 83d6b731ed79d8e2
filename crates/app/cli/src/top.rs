//! `tidewatch top`: who spends what now, in band and out of band, most first.
//!
//! Not here: any figure of its own; all come from the running Tidewatch.

use std::path::Path;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded, tick};
use deadline::pulse::Pulses;
use engine::status::Status;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use report::json::json_text;
use sources::outlet::Stop;

use crate::Outcome;
use crate::args::TopArgs;
use crate::output::{is_terminal, say, style};
use crate::signals::stop_on_signals;
use crate::status::asked;
use crate::top::screen::Screen;

mod order;

mod words;

mod fitted;

mod sparkline;

mod columns;

mod books;

mod breakdown;

mod document;

mod screen;

pub(crate) use crate::top::order::Order;

/// How long one look at the keyboard may delay a redraw.
const LOOK: Duration = Duration::from_millis(200);

type Answer = Result<Box<Status>, String>;

pub(crate) fn run(args: &TopArgs) -> anyhow::Result<Outcome> {
    let data_dir = &args.data.data_dir;
    let limit = args.limit.unwrap_or(usize::MAX);
    let status = asked(data_dir)?;
    if args.json {
        say(&json_text(&document::json(&status, args.sort, limit)?));
    } else if args.once || !is_terminal() {
        let room = is_terminal().then(|| style().width);
        say(&document::text(&status, args.sort, limit, room));
    } else {
        let mut screen = Screen::new(args.sort, limit);
        screen.take(Ok(status));
        watch(screen, data_dir, args.interval)?;
    }
    Ok(Outcome::Fine)
}

/// Draws until the user or a signal ends it.
fn watch(screen: Screen, data_dir: &Path, interval: Duration) -> anyhow::Result<()> {
    let stop = stop_on_signals(&Pulses::default())?;
    let (sender, answers) = bounded(1);
    let data_dir = data_dir.to_owned();
    std::thread::spawn(move || ask_on(&data_dir, interval, &sender));
    let mut terminal = ratatui::init();
    let seen = show(&mut terminal, screen, &answers, (&stop, interval));
    ratatui::restore();
    seen
}

/// Asks beside the screen: an engine that answers late must not hold the keys up.
fn ask_on(data_dir: &Path, interval: Duration, answers: &Sender<Answer>) {
    for _ in tick(interval) {
        let answer = asked(data_dir).map_err(|error| format!("{error:#}"));
        if answers.send(answer).is_err() {
            return;
        }
    }
}

fn show(
    terminal: &mut DefaultTerminal,
    mut screen: Screen,
    answers: &Receiver<Answer>,
    (stop, interval): (&Stop, Duration),
) -> anyhow::Result<()> {
    let mut heard = Instant::now();
    while !stop.is_set() {
        for answer in answers.try_iter() {
            heard = Instant::now();
            screen.take(answer);
        }
        terminal.draw(|frame| screen.draw(frame, heard.elapsed().saturating_sub(interval)))?;
        if !event::poll(LOOK)? {
            continue;
        }
        if let Event::Key(key) = event::read()?
            && key.kind != KeyEventKind::Release
            && !screen.press(key)
        {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
