//! What a person sees while the story runs: one bar a phase.

use std::io::{IsTerminal as _, Write as _};

use crate::options::Progress;

/// Shows how far a phase is.
pub struct Bar {
    shown: Shown,
    title: &'static str,
    /// What was written last, so that nothing is written twice.
    last: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// One line, rewritten.
    Terminal,
    /// A line when the words change.
    Lines,
    Nothing,
}

const WIDTH: usize = 24;

impl Bar {
    /// Begins a phase.
    pub fn new(progress: Progress, title: &'static str) -> Self {
        let shown = match progress {
            Progress::Silent => Shown::Nothing,
            Progress::Bars if std::io::stderr().is_terminal() => Shown::Terminal,
            Progress::Bars => Shown::Lines,
        };
        Self { shown, title, last: String::new() }
    }

    /// Shows that `done` of `all` are done, how that is counted, and what is happening. Where lines cannot be written
    /// over, only a change of what is happening makes a new one.
    pub fn show(&mut self, done: usize, all: usize, count: &str, words: &str) {
        let mut stderr = std::io::stderr().lock();
        // A person who closed the terminal sees nothing, and the run goes on.
        let _ = match self.shown {
            Shown::Nothing => return,
            Shown::Terminal => {
                let filled = done.min(all) * WIDTH / all.max(1);
                let bar: String = (0..WIDTH).map(|place| if place < filled { '█' } else { '░' }).collect();
                write!(stderr, "\r\x1b[K{:<22} {bar} {count} {words}", self.title).and_then(|()| stderr.flush())
            }
            Shown::Lines if words == self.last => return,
            Shown::Lines => writeln!(stderr, "{}: {count} {words}", self.title),
        };
        words.clone_into(&mut self.last);
    }

    /// Ends the phase with a last word.
    pub fn done(mut self, words: &str) {
        self.show(1, 1, "", words);
        if self.shown == Shown::Terminal {
            eprintln!();
        }
    }
}
